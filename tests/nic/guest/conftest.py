"""A guest has one card under test; what a check changes of it, it puts back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from spillway_dataplane.stream.keeper import RingKeeper
from tests.nic.guest.cable import Cable, lay_cable


@pytest.fixture(scope="session")
def cable() -> Cable:
    return lay_cable(os.environ["NIC_DRIVER"])


@pytest.fixture(scope="module")
def programmed(cable: Cable) -> Iterator[Cable]:
    """The card with a native program that passes everything: an attach restarts its link, so once for all checks of a file."""
    with cable.native_program():
        yield cable


@pytest.fixture
def spread(cable: Cable) -> Iterator[None]:
    """The card's table spread over all queues, before and after."""
    cable.spread_over(0, 1, 2, 3)
    yield
    cable.spread_over(0, 1, 2, 3)


@pytest.fixture
def native(programmed: Cable, spread: None) -> Cable:
    """The card with a native program, and its table spread over all queues after the attach."""
    return programmed


@pytest.fixture
def keeper(cable: Cable) -> Iterator[RingKeeper]:
    cable.wait_for_carrier()
    made = RingKeeper(patience_s=5)
    yield made
    for status in made.statuses():
        made.close(status.key)
    made.stop()
