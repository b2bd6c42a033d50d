"""The same three sums as in sleeping_sums_threads.py, each in a process of its own."""

import time
from concurrent.futures import ProcessPoolExecutor


def sleep_and_add(a: int, b: int) -> None:
    start = time.perf_counter()
    time.sleep(3)
    # The end of the line is part of what is written, so that lines of different processes never mix.
    print(f"{a} + {b} = {a + b} ({time.perf_counter() - start:.2f} seconds)\n", end="", flush=True)


def main() -> None:
    start = time.perf_counter()
    with ProcessPoolExecutor(max_workers=3) as e:
        e.submit(sleep_and_add, 1, 2)
        e.submit(sleep_and_add, 3, 4)
        e.submit(sleep_and_add, 5, 6)
    print("done!")
    print(f"execution time: {time.perf_counter() - start:.2f} seconds")


# Worker processes may import this file to find sleep_and_add; they must not start the work again.
if __name__ == "__main__":
    main()
