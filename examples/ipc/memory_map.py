"""A memory map: two processes edit one file in place at the same time, without reading or writing it as a whole."""

import mmap
import os
import struct
import tempfile
from multiprocessing import Process

# One account: its number, its balance in cents, the rate of interest in hundredths of a per cent.
ACCOUNT = struct.Struct("<IqH2x")
ACCOUNTS = 10_000


def add_interest(path, first, step):
    """In each process: every other account, where it lies in the file."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as accounts:
        for place in range(first, len(accounts) // ACCOUNT.size, step):
            number, balance, rate = ACCOUNT.unpack_from(accounts, place * ACCOUNT.size)
            ACCOUNT.pack_into(accounts, place * ACCOUNT.size, number, balance + balance * rate // 10_000, rate)
        # The other process sees it without this; after a power cut the disk does only with it.
        accounts.flush()


def total(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as accounts:
        return sum(balance for _, balance, _ in ACCOUNT.iter_unpack(accounts))


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "accounts")
        with open(path, "wb") as file:
            for number in range(ACCOUNTS):
                file.write(ACCOUNT.pack(number, number * 100, 150 + number % 3 * 50))

        size = os.path.getsize(path)
        print("before:", total(path) // 100, "in", ACCOUNTS, "accounts")
        # No two of them touch the same bytes, so they need no lock.
        editors = [Process(target=add_interest, args=(path, first, 2)) for first in range(2)]
        for editor in editors:
            editor.start()
        for editor in editors:
            editor.join()
        print("after: ", total(path) // 100)
        print("the file has kept its size" if os.path.getsize(path) == size else "the file has changed its size")


if __name__ == "__main__":
    main()
