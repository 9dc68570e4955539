"""`python -m gateway.cli`: the command line of a checkout that is not installed."""

import sys

from gateway.cli import main

sys.exit(main())
