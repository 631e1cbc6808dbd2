"""Inside a guest: run the checks of its card. With pytest as everywhere else, but without its plugins, which load slowly here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # read when pytest is imported
import pytest

HERE = Path(__file__).resolve().parent
RULES = HERE / "check_rules.py"  # of the one emulated card that has n-tuple rules, and no XDP
CLOCKS = HERE / "check_clocks.py"  # of the one that has a PTP clock
with_rules, with_clock = (os.environ["NIC_DRIVER"] == each for each in ("macb", "igb"))
checks = [path for path in sorted(HERE.glob("check_*.py")) if (path == RULES) is with_rules and (with_clock or path != CLOCKS)]
only = ["-k", os.environ["NIC_ONLY"]] if os.environ.get("NIC_ONLY") else []
sys.exit(pytest.main(["-v", *only, "--no-header", "--tb=short", "--color=no", "-c", str(HERE / "pytest.ini"), *map(str, checks)]))
