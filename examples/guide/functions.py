"""Two functions to ask `forkful which` about; run as a program, it measures what the answers are worth.

    forkful which functions.py:look_up --arg 0.05
    forkful which functions.py:count_primes --arg 100000
    python functions.py [SCALE]

SCALE makes every call that many times as long; without it, the whole takes about four seconds.
"""

import os
import sys
import time

from forkful import ProcessPoolExecutor, ThreadPoolExecutor

CALLS = 8


def look_up(seconds):
    """Waits for an answer that is `seconds` away."""
    time.sleep(seconds)
    return "found"


def count_primes(limit):
    """How many prime numbers there are below `limit`, by Eratosthenes' sieve in plain Python."""
    prime = [False, False] + [True] * (limit - 2)
    for number in range(2, int(limit**0.5) + 1):
        if prime[number]:
            for multiple in range(number * number, limit, number):
                prime[multiple] = False
    return sum(prime)


def main():
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    cpus = len(os.sched_getaffinity(0))
    pools = {f"{CALLS} threads": ThreadPoolExecutor(CALLS), f"{cpus} processes": ProcessPoolExecutor(cpus)}
    for pool in pools.values():
        list(pool.map(time.sleep, [0.05] * CALLS))  # starts the workers
    print(f"{f'{CALLS} calls of':16}{'in turn':>12}" + "".join(f"{how:>22}" for how in pools))
    for function, argument in ((look_up, 0.05 * scale), (count_primes, max(10, int(1_000_000 * scale)))):
        times = []
        for run in (map, *(pool.map for pool in pools.values())):
            start = time.perf_counter()
            list(run(function, [argument] * CALLS))
            times.append(time.perf_counter() - start)
        texts = [f"{each:.2f} s ({times[0] / each:4.1f} x)" for each in times[1:]]
        print(f"{function.__name__:16}{times[0]:10.2f} s" + "".join(f"{text:>22}" for text in texts))
    for pool in pools.values():
        pool.shutdown()


if __name__ == "__main__":
    main()
