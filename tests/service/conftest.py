"""Fixtures of the tests that run a whole daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.daemon import Daemon
from support.triggers import Plant


@pytest.fixture
def plant() -> Iterator[Callable[[Daemon], Plant]]:
    """Connects plants to daemons' control sockets, and disconnects them after the test."""
    plants: list[Plant] = []

    def connect(daemon: Daemon) -> Plant:
        plants.append(Plant(daemon))
        return plants[-1]

    yield connect
    for each in plants:
        each.close()
