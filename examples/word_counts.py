"""Counts the words of the standard library's own source files: one file after the other, in threads, in processes.

    python word_counts.py [WORKERS]

The text is real, and so is the work: each file is split into its tokens as Python itself would, and names, comments and
strings are counted word by word. Threads share one interpreter, which computes for one of them at a time.
"""

import os
import re
import sys
import sysconfig
import time
import tokenize
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

# As many files as make a second or two of work, from the largest on.
FILES = 120
WORD = re.compile(r"[A-Za-z]{3,}")


def count_words(path: str) -> Counter[str]:
    """How often each word stands in a file, by kind of token: a word in a comment is another one than in the code."""
    words: Counter[str] = Counter()
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            kind = tokenize.tok_name[token.type].lower()
            words.update(f"{kind}:{word.lower()}" for word in WORD.findall(token.string))
    return words


def total(counts) -> Counter[str]:
    words: Counter[str] = Counter()
    for count in counts:
        words.update(count)
    return words


def sources() -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [
        path
        for part in (".", "asyncio", "email", "json", "xml/dom", "logging")
        for path in (folder / part).glob("*.py")
    ]
    files.sort(key=lambda path: (-path.stat().st_size, path.name))
    return [str(path) for path in files[:FILES]]


def main() -> None:
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else len(os.sched_getaffinity(0))
    files = sources()

    start = time.perf_counter()
    words = total(map(count_words, files))
    print(f"{len(files)} files, {sum(words.values()):,} words")
    print("most of all: " + ", ".join(f"{word} {count:,}" for word, count in words.most_common(5)))
    print(f"one after the other: {time.perf_counter() - start:.2f} seconds")

    for kind, pool in (("threads", ThreadPoolExecutor), ("processes", ProcessPoolExecutor)):
        start = time.perf_counter()
        with pool(max_workers=workers) as executor:
            same = total(executor.map(count_words, files)) == words
        print(
            f"{workers} {kind}: {time.perf_counter() - start:.2f} seconds, {'the same words' if same else 'OTHER WORDS'}"
        )


if __name__ == "__main__":
    main()
