"""The C extension of spillway_stream; all else about the package is in pyproject.toml.

It is left out, with a warning, where a compiler or libxdp's and Python's headers are missing: the operator's image has none and
needs none. SPILLWAY_RING_REQUIRED=1 makes that an error (tools/setup.sh, images/dataplane/Dockerfile).
"""

import os
from pathlib import Path

from setuptools import Extension, setup

CORE = Path("dataplane/spillway_stream/core")

setup(
    ext_modules=[
        Extension(
            "spillway_stream._ring",
            sources=sorted(str(each) for each in CORE.glob("*.c")),
            depends=sorted(str(each) for each in CORE.glob("*.h")),
            extra_compile_args=["-std=c11", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
            extra_link_args=["-pthread"],
            define_macros=[("_GNU_SOURCE", "1")],
            optional=not os.environ.get("SPILLWAY_RING_REQUIRED"),
        )
    ]
)
