"""How this machine reaches package archives: certificate authorities, proxies, indexes. Read here, given to image builds.

A Dockerfile knows nothing of this; a build on another machine gets that machine's settings.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import output

INSIDE_CA = "/run/machine-ca.crt"
PIP_FILE = "/etc/pip.conf"
APT_FILE = "/etc/apt/apt.conf.d/90machine"
CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
DEBIAN_CA = "/etc/ssl/certs/ca-certificates.crt"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "proxy", "find-links")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine, read-only in a build."""

    source: Path
    target: str

    @property
    def argument(self) -> str:
        return f"--volume={self.source}:{self.target}:ro"


def machine_mounts(scratch: Path) -> list[Mount]:
    """What a build needs of this machine's settings; files made for it go to `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    settings = parse_pip_settings(output([sys.executable, "-m", "pip", "config", "list"]))
    authorities = find_authorities(os.environ)
    mounts = [Mount(authorities, INSIDE_CA)] if authorities else []
    mounts.append(Mount(written(scratch / "pip.conf", pip_file(settings, authorities is not None)), PIP_FILE))
    if proxies := apt_proxies():
        mounts.append(Mount(written(scratch / "apt.conf", "\n".join(proxies) + "\n"), APT_FILE))
    return mounts + [Mount(folder, str(folder)) for folder in wheel_folders(settings)]


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def find_authorities(environment: Mapping[str, str]) -> Path | None:
    """The machine's bundle of certificate authorities, or None."""
    named = [environment[name] for name in CA_VARIABLES if environment.get(name)]
    return next((Path(each) for each in [*named, DEBIAN_CA] if Path(each).is_file()), None)


def parse_pip_settings(listing: str) -> dict[str, str]:
    """The settings in the output of `pip config list`; later lines win, as they do in pip."""
    settings = {}
    for line in listing.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def pip_file(settings: Mapping[str, str], own_authorities: bool) -> str:
    """A pip.conf for the build: this machine's indexes and proxies, and its authorities by their place in the build."""
    kept = {name: settings[name] for name in PIP_SETTINGS if name in settings}
    if own_authorities:
        kept["cert"] = INSIDE_CA
    return "".join(
        ["[global]\n", *(f"{name} = {value}\n".replace("\n", "\n    ").rstrip() + "\n" for name, value in kept.items())]
    )


def wheel_folders(settings: Mapping[str, str]) -> list[Path]:
    """Folders of this machine that pip looks into."""
    return [Path(each) for each in settings.get("find-links", "").split() if Path(each).is_absolute() and Path(each).is_dir()]


def apt_proxies() -> list[str]:
    """The lines of apt's configuration that name a proxy."""
    lines = output(["apt-config", "dump"]).splitlines()
    return [line for line in lines if line.startswith("Acquire::http") and "::Proxy" in line and not line.endswith('"";')]
