"""`python -m tests.cluster`; the commands are in cli.py."""

import sys

from tests.cluster.cli import main

sys.exit(main())
