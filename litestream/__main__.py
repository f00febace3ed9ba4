"""`python -m litestream` is the command `apsw-litestream`."""

import sys

from litestream.cli import main

if __name__ == "__main__":
    sys.exit(main())
