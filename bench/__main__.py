"""`python -m bench`: the same as `hushtap bench`."""

import sys

from gateway.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
