"""`python -m waldo` is the command `waldo`."""

import sys

from waldo.cli import main

if __name__ == "__main__":
    sys.exit(main())
