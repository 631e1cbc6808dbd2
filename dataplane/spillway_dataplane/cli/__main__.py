"""`python -m spillway_dataplane.cli` is `spillway`."""

from __future__ import annotations

import sys

from spillway_dataplane.cli.main import main

sys.exit(main())
