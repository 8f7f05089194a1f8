"""`python -m aestream` is the same as the command `aestream`."""

import sys

from aestream.cli import main

if __name__ == "__main__":
    sys.exit(main())
