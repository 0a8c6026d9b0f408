"""Fixtures every test may use: real images, a real bank, a real daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from support.cells import cells, link
from support.daemon import Daemon

# As the command does for itself: busy-waiting threads make everything here many times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
def bank_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bank of real cells, made by the real command."""
    root = tmp_path_factory.mktemp("bank")
    images = link(cells(defective=False)[0:60:2], root / "images")
    bank = root / "cells.safetensors"
    subprocess.run(
        [sys.executable, "-m", "inspectd", "bank", "build", "--images", str(images), "--out", str(bank)],
        check=True,
        capture_output=True,
    )
    return bank


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons, and ends them after the test."""
    daemons: list[Daemon] = []

    def start(settings: str, environment: dict[str, str] | None = None) -> Daemon:
        folder = tmp_path / f"daemon{len(daemons)}"
        folder.mkdir()
        daemons.append(Daemon(folder, settings, environment))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what was skipped: a promise of the continuous build that was not kept."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In the continuous build a skipped test is a failed one."""
    if os.environ.get("CI") and _skipped and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


_skipped: list[str] = []
