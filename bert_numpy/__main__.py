"""`python -m bert_numpy` is the command `bert-numpy`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
