"""Shared memory: workers count the bytes of one block of data that none of them is sent, into a table that all of them see."""

import random
from multiprocessing import Process
from multiprocessing.shared_memory import SharedMemory

SIZE, WORKERS, BINS = 1_000_000, 3, 16


def count(data_name, table_name, worker):
    """In each worker: its part of the data, into its own row of the table, so nobody has to wait for anybody."""
    data, table = SharedMemory(data_name), SharedMemory(table_name)
    try:
        # Views end before the memory does: `close` refuses while one is alive.
        with data.buf[:SIZE] as octets, table.buf[: WORKERS * BINS * 8] as raw, raw.cast("Q") as counts:
            start, stop = SIZE * worker // WORKERS, SIZE * (worker + 1) // WORKERS
            row = [0] * BINS
            for octet in octets[start:stop].tobytes():
                row[octet * BINS // 256] += 1
            for place, number in enumerate(row):
                counts[worker * BINS + place] = number
    finally:
        data.close()
        table.close()


def main():
    data = SharedMemory(create=True, size=SIZE)
    table = SharedMemory(create=True, size=WORKERS * BINS * 8)
    try:
        # The product of two bytes: small ones are more frequent.
        draw = random.Random(7)
        pairs = zip(draw.randbytes(SIZE), draw.randbytes(SIZE), strict=True)
        data.buf[:SIZE] = bytes(one * other >> 8 for one, other in pairs)
        workers = [Process(target=count, args=(data.name, table.name, worker)) for worker in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        with table.buf[: WORKERS * BINS * 8] as raw, raw.cast("Q") as counts:
            total = [sum(counts[place::BINS]) for place in range(BINS)]
        print(sum(total), "bytes counted by", WORKERS, "workers")
        for place, number in enumerate(total):
            if place % 4 == 0:
                print(f"{place * 16:3} to {place * 16 + 15:3} {number:7} {'#' * (30 * number // max(total))}")
    finally:
        # The one who has made it takes it away: else it stays until the machine is switched off.
        for memory in (data, table):
            memory.close()
            memory.unlink()


if __name__ == "__main__":
    main()
