"""Inside a guest: run the checks of its card. With pytest as everywhere else, but without its plugins, which load slowly here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # read when pytest is imported
import pytest

HERE = Path(__file__).resolve().parent
checks = sorted(str(path) for path in HERE.glob("check_*.py"))
only = ["-k", os.environ["NIC_ONLY"]] if os.environ.get("NIC_ONLY") else []
sys.exit(pytest.main(["-v", *only, "--no-header", "--tb=short", "--color=no", "-c", str(HERE / "pytest.ini"), *checks]))
