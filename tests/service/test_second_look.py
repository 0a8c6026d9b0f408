"""`check_above` through the real daemon: marked passes are passes, on the bus, in the journal and counted."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from support.daemon import camera_table, settings
from support.ports import free_port

from inspectd.publish.journal.recorded import recorded_verdicts
from inspectd.wire import Evaluation

LIMIT = 0.65
"""The stub's score of a good image is its mean grey level; its threshold is 1."""


def test_passes_above_the_second_limit_are_marked_and_nothing_else(start_daemon, stub_bank, mixed_folder):
    port = free_port()
    cameras = camera_table("cam", mixed_folder, fps=25, loop=False)
    recipe, patient = f"check_above = {LIMIT}", "[journal]\nmax_wait_ms = 10000\n"
    text = settings(stub_bank, cameras, recipe=recipe, metrics_port=port, extra=patient)
    daemon = start_daemon(text).ready()
    daemon.until(lambda: daemon.phases() == ["ended"] and len(daemon.reader.verdicts) == 40)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = {f.name: f for f in text_string_to_metric_families(answer.read().decode())}
    seen = daemon.reader.verdicts
    for verdict in seen:
        assert verdict.second_look is (LIMIT < verdict.score <= verdict.threshold)
        assert (verdict.evaluation is Evaluation.PASS) is (verdict.score <= verdict.threshold)
    marked = sum(verdict.second_look for verdict in seen)
    assert 0 < marked < 20
    (count,) = (s.value for s in families["inspectd_second_looks"].samples if s.name.endswith("_total"))
    assert count == marked
    recorded = list(recorded_verdicts(daemon.runtime_dir.parent / "state"))  # while the daemon has it
    assert seen == recorded
