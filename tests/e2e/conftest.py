"""One cluster and one installed chart for the whole session; every test starts with no filter and programs idle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import Cluster
from tests.e2e.product import Product


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes and two traffic hosts on one switch. Taken down at the end, also after a failure."""
    cluster = Cluster.up(nodes=2, hosts=("attacker", "client"))
    try:
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Product:
    """The chart, installed with its default values but for the images; dataplane pods are ready on every node."""
    product = Product(cluster)
    product.install()
    product.wait_pods_ready()
    return product


@pytest.fixture
def product(installed: Product) -> Iterator[Product]:
    """The installed product without any filter, before and after."""
    installed.delete_filters()
    yield installed
    installed.delete_filters()
