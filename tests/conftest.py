"""Fixtures every test may use: real images, a real bank, a real daemon."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

import hypothesis
import pytest
from support.cells import cells, link, shrink
from support.daemon import WELL, Daemon
from support.once import made_once

from inspectd import cli
from inspectd.scoring.stub import Behaviour

# As the command does for itself: busy-waiting threads make everything here many times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests run side by side, a process for each core: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Banks are converted once for the machine, and tests leave nothing in a user's own cache.
os.environ.setdefault("CACHE_DIRECTORY", str(Path(tempfile.gettempdir()) / f"inspectd-tests-{os.getuid()}"))

# These two look at the wall clock: a busy machine, or the first text drawn in a fresh checkout, which reads
# all of Unicode, would fail a test that found nothing.
hypothesis.settings.register_profile(
    "no-clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("no-clock")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs so, and the commands tested here would be deaf to Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 good cells that are in no test bank."""
    return link(cells(defective=False)[1:80:2], tmp_path_factory.mktemp("good") / "good")


@pytest.fixture(scope="session")
def mixed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 good and 20 defective cells, in a folder for each label."""
    root = tmp_path_factory.mktemp("mixed")
    link(cells(defective=False)[1:40:2], root / "good")
    link(cells(defective=True)[:20], root / "defective")
    return root


@pytest.fixture(scope="session")
def small_good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 small pictures of good cells, for lines on which the stub scores."""
    return shrink(cells(defective=False)[1:40:2], tmp_path_factory.mktemp("small") / "good")


@pytest.fixture(scope="session")
def small_mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 small pictures of good and 10 of defective cells, in a folder for each label; likewise."""
    root = tmp_path_factory.mktemp("small_mixed")
    shrink(cells(defective=False)[1:20:2], root / "good")
    shrink(cells(defective=True)[:10], root / "defective")
    return root


@pytest.fixture(scope="session")
def bank_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bank of real cells, made by the real command, in this process: it loads torch once."""

    def build(folder: Path) -> None:
        images = link(cells(defective=False)[0:60:2], folder / "images")
        command = ["bank", "build", "--images", str(images), "--out", str(folder / "cells.safetensors")]
        command += ["--pastes", "0", "--size", "128", "--precision", "float32"]
        assert cli.main(command) == 0

    return made_once(tmp_path_factory, "bank", build) / "cells.safetensors"


@pytest.fixture(scope="session")
def stub_bank() -> Path:
    """What settings name as a bank where the stub scores, which reads none."""
    return Path("stub.bank")


class StartDaemon(Protocol):
    """Starts a daemon on these settings; `behaviour` is the stub's, where that scores."""

    def __call__(
        self, text: str, environment: dict[str, str] | None = None, behaviour: Behaviour = WELL
    ) -> Daemon: ...


@contextmanager
def _daemons(root: Path, *, real: bool) -> Iterator[StartDaemon]:
    with ExitStack() as running:

        def start(
            text: str, environment: dict[str, str] | None = None, behaviour: Behaviour = WELL
        ) -> Daemon:
            folder = Path(tempfile.mkdtemp(prefix="d", dir=root))
            daemon = Daemon(folder, text, environment, behaviour=None if real else behaviour)
            running.callback(daemon.close)
            return daemon

        yield start


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts daemons on which the stub scores, and ends them after the test."""
    with _daemons(tmp_path, real=False) as start:
        yield start


@pytest.fixture(scope="module")
def start_shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDaemon]:
    """As `start_daemon`, for a whole file: its tests only look at what they share."""
    with _daemons(tmp_path_factory.mktemp("shared"), real=False) as start:
        yield start


@pytest.fixture
def start_real_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Starts daemons with the real scoring process, and ends them after the test."""
    with _daemons(tmp_path, real=True) as start:
        yield start


_TIER_OF_FIXTURE: Final = {
    "bank_file": "system",
    "detector_banks": "system",
    "parts_bank": "system",
    "start_real_daemon": "system",
    "metrics_url": "system",
    "prometheus": "system",
    "machine": "system",
    "start_daemon": "daemon",
    "start_shared_daemon": "daemon",
}
"""A test that takes one of them belongs to this tier, whether its author thought of it or not."""


_OF_MODELS: Final = {"backends", "bank", "bench", "evaluation", "model", "test_bank.py", "test_demo.py"}
"""Tests that load torch or scikit-learn, which takes seconds. `make quick` does not even collect them."""


_LONG: Final = {"test_endpoint.py", "test_journal.py", "test_stream.py", "test_video.py", "test_worker.py"}
"""Files of pure tests that take seconds, most of them waiting."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage among what tests make, and not, again and again, among what is there to stay.

    That is a million objects of modules and tests, in each worker.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # libraries complain of what is left at the very end


@pytest.hookimpl(tryfirst=True)  # before -m looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the tier of what it takes, the dearest of them."""
    tiers = ("system", "daemon", "pure")
    rank = {}
    for item in items:
        found = {_TIER_OF_FIXTURE.get(name) for name in getattr(item, "fixturenames", ())}
        found |= {marker.name for marker in item.iter_markers()}
        if _OF_MODELS & set(item.path.parts):
            found.add("system")
        tier = next((tier for tier in tiers if tier in found), "pure")
        if tier != "pure":
            item.add_marker(tier)
        rank[item] = tiers.index(tier)
    # The long ones first, so that workers end together.
    items.sort(key=lambda item: (rank[item], item.path.name not in _LONG))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what was skipped: a promise of the continuous build that was not kept."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In the continuous build a skipped test is a failed one."""
    if os.environ.get("CI") and _skipped and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


_skipped: list[str] = []
