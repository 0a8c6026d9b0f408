"""The real daemon shows what it judges, to whoever looks, and no verdict knows of it."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq
from support.daemon import Daemon, camera_table, settings
from support.ports import free_port

from inspectd.client import Preview, PreviewReader, heat_of
from inspectd.pictures.reading import decode_levels
from inspectd.scoring.stub import Behaviour
from inspectd.wire import Evaluation

REGION = """
[[cameras.regions]]
name = "left"
recipe = "cell"
rectangle = {left = 10, top = 20, width = 100, height = 80}
"""
OF_VERDICT = (
    "camera", "region", "epoch", "evaluation", "reason", "score", "threshold", "rectangle", "captured_utc_ns",
)  # fmt: skip


def reader_of(daemon: Daemon, *cameras: str) -> PreviewReader:
    reader = PreviewReader(f"ipc://{daemon.runtime_dir}/previews.sock", "test", "line")
    reader.show(cameras)
    return reader


def seen(daemon: Daemon, reader: PreviewReader, enough: Callable[[list[Preview]], Any]) -> list[Preview]:
    previews: list[Preview] = []

    def look() -> Any:
        while (preview := reader.receive(0.02)) is not None:
            previews.append(preview)
        return enough(previews)

    daemon.until(look)
    return previews


def is_sound(daemon: Daemon) -> None:
    """Stops a daemon and checks that each frame has one verdict in time, numbered without a gap."""
    assert daemon.stop() == 0
    counts = daemon.reader.event("stopped").counts
    assert counts.captured + counts.further == counts.verdicts
    assert counts.drops == 0
    assert [v.seq for v in daemon.reader.verdicts] == list(range(1, counts.verdicts + 1))
    assert "Traceback" not in daemon.log.read_text()


def results(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("inspectd_previews_total{")]
    return {line.split('result="')[1].split('"')[0]: float(line.split()[-1]) for line in found}


def test_what_was_judged_is_shown_while_somebody_looks(start_daemon, stub_bank, mixed_folder):
    port = free_port()
    cameras = camera_table("cam", mixed_folder, fps=20, shuffle_seed=1)
    cameras += camera_table("parted", mixed_folder, fps=10) + REGION
    text = settings(stub_bank, cameras, metrics_port=port, extra="[preview]\nwidth_px = 100\n")
    daemon = start_daemon(text).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 10)
    assert sum(results(port).values()) == 0
    with reader_of(daemon, "cam") as reader:
        began = time.monotonic()
        previews = seen(daemon, reader, lambda found: len(found) > 10)
        elapsed_seconds = time.monotonic() - began
        assert len(previews) <= 5 * elapsed_seconds + 3
        assert {p.header.camera for p in previews} == {"cam"}
        reader.show(["parted"])
        parted = seen(daemon, reader, lambda found: len(found) > 2)
        daemon.behave(Behaviour(fault="error"))
        without = seen(daemon, reader, lambda found: found and found[-1].header.heat is None)[-1]
        reader.show([])
        # The door hears of it and says so, and what was under way comes to its end.
        daemon.until(lambda: is_quiet(port))
    is_sound(daemon)
    verdicts = {v.seq: v for v in daemon.reader.verdicts}
    for preview in [*previews, *parted, without]:
        header, verdict = preview.header, verdicts[preview.header.seq]
        assert {name: getattr(verdict, name) for name in OF_VERDICT} == {
            name: getattr(header, name) for name in OF_VERDICT
        }
        assert decode_levels(np.frombuffer(preview.jpeg, np.uint8)).shape[:2] == (header.height, header.width)
        assert header.width <= 100
        if verdict.score is not None:
            assert preview.heat == heat_of([np.float16(verdict.score)], verdict.threshold) * 16
            assert (preview.heat[0] > 128) == (verdict.evaluation is Evaluation.FAIL)
    for preview in parted:
        assert (preview.header.region, preview.header.height, preview.header.width) == ("left", 80, 100)
    assert (without.header.evaluation, without.header.reason, without.heat) == (
        "undecidable",
        "scoring_error",
        b"",
    )


def is_quiet(port: int) -> bool:
    """Whether previews are made no more."""
    before = results(port)
    time.sleep(0.3)
    return before == results(port) and before["published"] > 0


def test_whatever_becomes_of_it_no_verdict_knows(start_daemon, stub_bank, good_folder):
    """The process killed and stopped, a reader that does not read, readers that come and go without end."""
    cameras = camera_table("cam", good_folder, fps=20)
    extra = "[preview]\nfps = 30\njpeg_quality = 100\n"
    daemon = start_daemon(settings(stub_bank, cameras, extra=extra)).ready()
    context = zmq.Context()
    deaf = context.socket(zmq.SUB)  # as a page that is stopped: its buffers fill, and nothing is taken
    deaf.setsockopt(zmq.RCVHWM, 1)
    deaf.subscribe(b"")
    deaf.connect(f"ipc://{daemon.runtime_dir}/previews.sock")
    with reader_of(daemon, "cam") as reader:
        seen(daemon, reader, lambda found: len(found) > 20)
        killed = daemon.children()["preview"]
        os.kill(killed, signal.SIGKILL)
        daemon.until(lambda: daemon.reader.event("process_restarted"))
        while reader.receive(0) is not None:
            pass
        seen(daemon, reader, len)
        stopped = daemon.children()["preview"]
        assert stopped != killed
        os.kill(stopped, signal.SIGSTOP)
        had = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > had + 30)  # longer than slots are held
        os.kill(stopped, signal.SIGCONT)
        while reader.receive(0) is not None:
            pass
        seen(daemon, reader, len)
        crowd = [context.socket(zmq.XSUB) for _ in range(20)]
        for number, noisy in enumerate(crowd):
            noisy.setsockopt(zmq.LINGER, 0)
            noisy.connect(f"ipc://{daemon.runtime_dir}/previews.sock")
            for topic in range(100):
                noisy.send(b"\x01i1/test/line/%d/%d" % (number, topic), zmq.NOBLOCK)
        had = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > had + 40)
        while reader.receive(0) is not None:
            pass
        seen(daemon, reader, len)
    context.destroy(linger=0)
    is_sound(daemon)
    assert not any(v.late for v in daemon.reader.verdicts)
    assert {v.reason for v in daemon.reader.verdicts} == {"within_threshold"}
