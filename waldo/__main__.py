"""`python -m waldo` is the command `waldo`."""

from waldo.cli import main

if __name__ == "__main__":
    main()
