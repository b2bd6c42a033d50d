"""Three sums, each of which takes three seconds of waiting: three threads wait at the same time."""

import time
from concurrent.futures import ThreadPoolExecutor


def sleep_and_add(a: int, b: int) -> None:
    start = time.perf_counter()
    time.sleep(3)
    # The end of the line is part of what is written, so that lines of different threads never mix.
    print(f"{a} + {b} = {a + b} ({time.perf_counter() - start:.2f} seconds)\n", end="", flush=True)


start = time.perf_counter()
with ThreadPoolExecutor(max_workers=3) as e:
    e.submit(sleep_and_add, 1, 2)
    e.submit(sleep_and_add, 3, 4)
    e.submit(sleep_and_add, 5, 6)
print("done!")
print(f"execution time: {time.perf_counter() - start:.2f} seconds")
