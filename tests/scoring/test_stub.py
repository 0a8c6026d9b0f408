"""The stub that scores for tests: what its scores mean, its faults on request, and that no line gets it."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from support.daemon import Daemon, camera_table, settings

import inspectd
from inspectd.scoring.stub import EVERY_NTH_BYTE, Behaviour, bank_sha256
from inspectd.wire import Evaluation, Reason

STALL = "\n[scoring]\nstall_timeout_ms = 1000\n"


def newest(daemon: Daemon, reason: Reason) -> None:
    """Wait until verdicts are of that reason."""
    daemon.until(lambda: daemon.reader.verdicts and daemon.reader.verdicts[-1].reason == reason)


def test_a_score_is_the_mean_grey_and_one_more_for_a_label_that_is_not_good(
    start_daemon, stub_bank, mixed_folder, good_folder
):
    folders = {"left": mixed_folder, "right": good_folder}
    cameras = "".join(camera_table(name, images, fps=50, loop=False) for name, images in folders.items())
    daemon = start_daemon(settings(stub_bank, cameras)).ready()
    daemon.until(lambda: daemon.phases() == ["ended", "ended"])
    assert daemon.stop() == 0
    verdicts = daemon.reader.verdicts
    assert len(verdicts) == 80
    for verdict in verdicts:
        pixels = cv2.imread(str(folders[verdict.camera] / verdict.source))
        grey = pixels.ravel()[::EVERY_NTH_BYTE].mean() / 255
        assert grey == pytest.approx(pixels.mean() / 255, abs=0.01)
        assert verdict.score == pytest.approx(grey + (verdict.label == "defective"))
        assert verdict.evaluation == (Evaluation.FAIL if verdict.label == "defective" else Evaluation.PASS)
        assert verdict.bank_sha256 == bank_sha256("cell")
    assert 'scoring_ready process=scoring detail="stub, ' in daemon.log.read_text()


def test_it_fails_in_every_way_on_request_and_nothing_passes_meanwhile(start_daemon, stub_bank, good_folder):
    text = settings(stub_bank, camera_table("cam", good_folder, fps=20), deadline_ms=400) + STALL
    daemon = start_daemon(text).ready()
    newest(daemon, Reason.WITHIN_THRESHOLD)
    for behaviour, reason in (
        (Behaviour(fault="error"), Reason.SCORING_ERROR),
        (Behaviour(bank="another"), Reason.SCORING_ERROR),
        (Behaviour(latency_ms=500), Reason.DEADLINE),
        (Behaviour(fault="die"), Reason.SCORING_LOST),
    ):
        daemon.behave(behaviour)
        newest(daemon, reason)
        daemon.behave(Behaviour())
        newest(daemon, Reason.WITHIN_THRESHOLD)
    daemon.reader.events.clear()
    daemon.behave(Behaviour(fault="hang"))
    daemon.until(lambda: daemon.reader.event("scoring_lost"))
    assert "no progress" in daemon.reader.event("scoring_lost").detail
    daemon.behave(Behaviour(bank="another"))  # what it finds when it is started again
    daemon.until(lambda: daemon.reader.event("bank_changed"))
    assert daemon.stop() == 0


def test_banks_it_refuses_end_the_start(start_daemon, stub_bank, good_folder):
    text = settings(stub_bank, camera_table("cam", good_folder))
    daemon = start_daemon(text, behaviour=Behaviour(fault="refuse"))
    assert daemon.process.wait(20) == 2
    assert "asked to refuse its banks" in daemon.log.read_text()


def test_nothing_in_the_product_names_it():
    """No setting can then choose it."""
    package = Path(inspectd.__file__).parent
    naming = [
        file.relative_to(package) for file in package.rglob("*.py") if "scoring.stub" in file.read_text()
    ]
    assert naming == [Path("scoring/stub.py")]
