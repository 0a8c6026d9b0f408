"""In what order verdicts, and what names them, go out."""

from __future__ import annotations

from pathlib import Path

from support.daemon import camera_table, settings
from support.journal_line import Line

from inspectd import config
from inspectd.metrics import Metrics
from inspectd.publish.bus import Bus
from inspectd.publish.stage import PublishStage
from inspectd.records import FrameRef, Inspection, JudgedBy, Outcome, Score
from inspectd.wire import Evaluation, Kind, Reason
from inspectd.wire.shadow import ShadowScore


def test_what_names_a_verdict_goes_out_after_it(tmp_path: Path) -> None:
    file, run = tmp_path / "line.toml", tmp_path / "run"
    file.write_text(settings(tmp_path / "bank", camera_table("cam", tmp_path)))
    run.mkdir()
    sent: list[str] = []
    line, of_line = Line(tmp_path / "state"), config.load(file)
    bus = Bus(of_line.publish, run, "p", "l", sent.append, events=None, is_triggered=False)
    stage = PublishStage(of_line, bus, Metrics("line", ["cam"], 100), line.journal)
    first, second = (
        Inspection(number, FrameRef("cam", 1, 0, number, 0, 0, 2, 2), "cell", 0, 100, JudgedBy("sha", 1.0))
        for number in (1, 2)
    )
    score = Score(1, 1, 0.5, bytes(2), 1, 1, "sha", {})
    for inspection in (first, second):
        stage.record_verdict(inspection, Outcome(Evaluation.UNDECIDABLE, Reason.DEADLINE, 100))
    stage.publish_shadow(
        ShadowScore(
            "p", "l", "cam", line.journal.epoch, 2, 2, None, None, "a", 1, "sha", 0.5, 1.0, Evaluation.PASS,
            1.0, Evaluation.PASS, 0.5, 1.0,
        )
    )  # fmt: skip
    stage.publish_late(first, score, 101)
    assert sent == []  # the disk does not have them yet
    line.until(lambda: stage.last_seq == 2)
    assert sent == [Kind.VERDICT, Kind.LATE, Kind.HEATMAP, Kind.VERDICT, Kind.SHADOW]
    stage.publish_late(second, score, 101)
    assert sent[5:] == [Kind.LATE, Kind.HEATMAP]
    line.journal.close()
    bus.close()
