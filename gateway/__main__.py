"""`python -m gateway` is `hushtap`."""

import sys

from gateway.cli import main

sys.exit(main())
