"""Message queues: chunks of numbers go to whoever is free, and the primes found in them come back."""

from multiprocessing import Process, Queue

LIMIT, CHUNK, WORKERS = 120_000, 5_000, 3


def is_prime(number):
    if number < 2 or number % 2 == 0:
        return number == 2
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))


def work(chunks, found):
    """In each worker: chunks until there is a None instead."""
    for start in iter(chunks.get, None):
        primes = [number for number in range(start, start + CHUNK) if is_prime(number)]
        found.put((start, len(primes), primes[-1] if primes else None))
    found.put(None)


def main():
    # A queue that is full makes its producer wait: the chunks can't outrun the workers.
    chunks, found = Queue(maxsize=2 * WORKERS), Queue()
    workers = [Process(target=work, args=(chunks, found)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()

    for start in range(0, LIMIT, CHUNK):
        chunks.put(start)
    for _ in workers:
        chunks.put(None)

    # Read before they are joined: a worker's end waits until what it has put has been taken.
    results, running = [], WORKERS
    while running:
        message = found.get()
        if message is None:
            running -= 1
        else:
            results.append(message)
    for worker in workers:
        worker.join()

    # They come in the order in which they were ready.
    results.sort()
    print(len(results), "chunks,", sum(count for _, count, _ in results), "primes below", LIMIT)
    print("the last one is", results[-1][2])


if __name__ == "__main__":
    main()
