"""One cluster and one installed chart for the whole session; every test starts with no filter and programs idle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import Cluster
from tests.cluster.layout import home
from tests.cluster.products import locked
from tests.e2e.product import Product
from tests.e2e.streams import Studio

KEEP = bool(os.environ.get("KEEP"))  # for work on one test: the cluster stays, and the next run finds it


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes and two traffic hosts on one switch. Taken down at the end, also after a failure.

    One run at a time: a second one would join the first one's cluster, and take it down under it.
    """
    with locked(home().root.with_name("tests.lock"), "another run of these tests has the cluster; waiting for its end"):
        cluster = Cluster.up(nodes=2, hosts=("attacker", "client"))
        try:
            yield cluster
        finally:
            if not KEEP:
                cluster.down()


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Product:
    """The chart, installed with its default values but for the images; dataplane pods are ready on every node."""
    product = Product(cluster)
    if product.is_installed():
        product.refresh()
    else:
        product.install()
    product.wait_pods_ready()
    return product


@pytest.fixture
def product(installed: Product) -> Iterator[Product]:
    """The installed product without any filter, before and after."""
    installed.delete_filters()
    yield installed
    installed.delete_filters()


@pytest.fixture(scope="session")
def studio(installed: Product, cluster: Cluster) -> Studio:
    """The same release with queues of `eth1` granted; it stays so for what comes later."""
    studio = Studio(installed, cluster)
    studio.open()
    return studio


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """A failed test shows what the product said: objects, events and logs."""
    report: Any = yield
    found = getattr(item, "funcargs", {}).get("installed")
    if report.when == "call" and report.failed and isinstance(found, Product):
        report.sections.append(("the product at that moment", found.describe()))
    return report
