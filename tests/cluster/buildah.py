"""Build images from ordinary Dockerfiles without a registry.

`FROM debian:bookworm-slim` finds a base made here from Debian's archive under the name it has everywhere. buildah gets a
storage of its own and a mount namespace that ends with it: nothing of the machine's own containers is touched, no mount stays.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from tests.cluster.archives import add_bytes, write_single_layer
from tests.cluster.keys import key
from tests.cluster.layout import REPOSITORY, Cache
from tests.cluster.machine import apt_proxies, machine_mounts
from tests.cluster.products import product, remove
from tests.cluster.shell import DIES_WITH_CALLER, logged, run, step, words

BASE = "docker.io/library/debian:bookworm-slim"
SETTINGS = {  # variable: file and content; the second keeps a lock file out of /etc/cni
    "CONTAINERS_REGISTRIES_CONF": ("registries.conf", 'unqualified-search-registries = ["docker.io"]\n'),
    "CONTAINERS_CONF": ("containers.conf", '[network]\nnetwork_config_dir = "{folder}/networks"\n'),
}
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
BOOTSTRAP = (
    "mmdebstrap",
    "--variant=minbase",
    "--mode=root",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--include=usr-is-merged",
    '--aptopt=APT::Install-Recommends "false"',
    *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap',
)
SUITE = "bookworm"
FORGET = '{ "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; }'
DOCKER_CLEAN = f"""\
DPkg::Post-Invoke {FORGET};
APT::Update::Post-Invoke {FORGET};
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
""".encode()


def isolated(cache: Cache, *args: str | Path) -> list[str]:
    """A command of the containers family with the cache's own settings and mounts; it dies with this process."""
    settings = {name: cache.containers / file for name, (file, _) in SETTINGS.items()}
    variables = [f"{name}={file}" for name, file in settings.items()]
    return words(*DIES_WITH_CALLER, "unshare", "--mount", "env", *variables, *args)


def buildah(cache: Cache, *args: str | Path) -> list[str]:
    """A buildah command on the cache's own storage."""
    storage = cache.containers
    where = words("--root", storage / "storage", "--runroot", storage / "run", "--storage-driver", "overlay")
    return isolated(cache, "buildah", *where, *args)


def prepare_storage(cache: Cache) -> Path:
    """Write the settings; return the file with the signature policy."""
    cache.containers.mkdir(parents=True, exist_ok=True)
    for file, template in SETTINGS.values():
        (cache.containers / file).write_text(template.format(folder=cache.containers))
    policy = cache.containers / "policy.json"
    policy.write_text(POLICY)
    return policy


# ---- the base image ---------------------------------------------------------------------------------------------------


def base_key() -> str:
    return key(*BOOTSTRAP, SUITE, DOCKER_CLEAN)


def base_archive(cache: Cache) -> Path:
    """What docker.io/library/debian:bookworm-slim is, from Debian's archive, as an image archive."""
    place = cache.images / f"base-{base_key()}.tar"
    return product(place, lambda unfinished: bootstrap(cache, unfinished), "making the base image from Debian's archive")


def bootstrap(cache: Cache, archive: Path) -> None:
    tree = archive.with_name("base-tree.tar")
    remove(tree)
    proxies = [f"--aptopt={line}" for line in apt_proxies()]
    logged([*BOOTSTRAP, *proxies, SUITE, tree], cache.logs / "base.log")
    with tarfile.open(tree, "a") as tar:
        add_bytes(tar, "./etc/apt/apt.conf.d/docker-clean", DOCKER_CLEAN)
    write_single_layer(archive, BASE, tree, os.uname().machine)
    remove(tree)


def ensure_base(cache: Cache) -> None:
    """Have the base image in the storage under its public name."""
    policy = prepare_storage(cache)
    mark = f"localhost/spillway-base:{base_key()}"
    if run(buildah(cache, "inspect", "--type", "image", mark), check=False).returncode == 0:
        return
    archive = base_archive(cache)
    with step("loading the base image"):
        pull = words("pull", "--signature-policy", policy, "--quiet", f"oci-archive:{archive}")
        image = run(buildah(cache, *pull)).stdout.split()[-1]
        run(buildah(cache, "tag", image, BASE, mark))


# ---- our images -------------------------------------------------------------------------------------------------------


def build_image(cache: Cache, name: str, dockerfile: Path, tag: str) -> None:
    """Build one Dockerfile with the repository as its context, unchanged layers from the storage."""
    policy = prepare_storage(cache)
    mounts = [mount.argument for mount in machine_mounts(cache.containers / "settings")]
    flags = ["--layers", "--pull=false", "--isolation=chroot", "--network=host", f"--signature-policy={policy}"]
    ignored = f"--ignorefile={dockerfile.with_name('Dockerfile.dockerignore')}"
    run(buildah(cache, "rm", "--all"))  # what interrupted builds left
    argv = buildah(cache, "build", *flags, *mounts, ignored, "--file", dockerfile, "--tag", tag, REPOSITORY)
    logged(argv, cache.logs / f"{name}.log")


def export_image(cache: Cache, tag: str, layout: Path, reference: str) -> None:
    """Add an image to an OCI layout, layers uncompressed; layers that are there already are not written again."""
    policy = prepare_storage(cache)
    storage = f"[overlay@{cache.containers / 'storage'}+{cache.containers / 'run'}]"
    flags = ["--quiet", "--dest-oci-accept-uncompressed-layers", "--format=oci"]
    source, target = f"containers-storage:{storage}{tag}", f"oci:{layout}:{reference}"
    run(isolated(cache, "skopeo", f"--policy={policy}", "copy", *flags, source, target))
