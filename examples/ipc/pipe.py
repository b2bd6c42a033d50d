"""A pipe: a child counts the words of the lines that it is sent, and answers with its statistics when there are no more."""

from collections import Counter
from multiprocessing import Pipe, Process

TEXT = """
the harbour wakes before the town does
a bell on the mole and a bell on the boat
the nets come up heavy and the nets come up light
and the gulls count both of them twice
by noon the square smells of salt and of bread
and nobody in the town can say who came first
the bread or the boat or the bell
"""


def count_words(lines, to_child, answers):
    """In the child: until the other end is closed."""
    # A forked child has a copy of the parent's end as well, and would wait for itself.
    to_child.close()
    words, lengths = Counter(), []
    while True:
        try:
            line = lines.recv()
        except EOFError:
            # Whoever sends has closed its end, and what it had sent before has been read.
            break
        words.update(line.split())
        lengths.append(len(line))
    answers.send({"words": words, "longest line": max(lengths), "lines": len(lengths)})


def main():
    # Two one-way pipes: each end has one owner, so its end is heard at the other.
    lines, to_child = Pipe(duplex=False)
    answers, to_parent = Pipe(duplex=False)
    child = Process(target=count_words, args=(lines, to_child, to_parent))
    child.start()
    # The child has its own copies. While this process keeps these open, nobody would hear of the child's end.
    lines.close()
    to_parent.close()

    for line in TEXT.strip().splitlines():
        to_child.send(line)
    to_child.close()

    found = answers.recv()
    child.join()
    print(found["lines"], "lines, the longest of", found["longest line"], "characters")
    print(sum(found["words"].values()), "words,", len(found["words"]), "of them different")
    for word, times in found["words"].most_common(3):
        print(f"{times:3} {word}")


if __name__ == "__main__":
    main()
