"""Makes `python -m forkful` the command line."""

import sys

from forkful.cli import main

if __name__ == "__main__":
    sys.exit(main())
