"""The reader written from docs/wire.md alone reads what the bus format's own encoder writes."""

import ast
import subprocess
import sys
from pathlib import Path

import zmq

from inspectd import wire
from inspectd.wire import Evaluation, Reason, Verdict

TOOL = Path(__file__).parents[2] / "tools" / "print_verdicts.py"


def test_imports_only_json_sys_and_zmq() -> None:
    imported = {
        name.name
        for node in ast.walk(ast.parse(TOOL.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    }
    assert imported == {"json", "sys", "zmq"}


def test_prints_verdicts_and_says_when_the_line_is_silent(tmp_path: Path) -> None:
    counts = wire.Counts(captured=1, verdicts=1, drops=0, in_flight=0)
    heartbeat = wire.Heartbeat("demo", "line1", 5, 0, 0, 20.0, "running", counts, {})
    verdict = Verdict(
        "demo", "line1", "camera1", 5, 1, 1, 1, 1, Evaluation.FAIL, Reason.ABOVE_THRESHOLD, 3.25, 2.5,
        0, 0, 31.0, 500.0, False, "cells", None, 0,
    )  # fmt: skip
    endpoint = f"ipc://{tmp_path}/v.sock"
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(endpoint)
        with subprocess.Popen([sys.executable, TOOL, endpoint], stdout=subprocess.PIPE, text=True) as process:
            assert socket.poll(10_000), "the tool did not subscribe"
            socket.recv()
            socket.send_multipart(
                [wire.topic("demo", "line1", "camera1", wire.Kind.VERDICT), wire.encode(verdict)]
            )
            assert process.stdout.readline() == "1 camera1 fail above_threshold 3.250\n"
            socket.send_multipart(
                [wire.topic("demo", "line1", "-", wire.Kind.HEARTBEAT), wire.encode(heartbeat)]
            )
            assert process.stdout.readline().startswith("STALE")
            process.terminate()


def test_says_that_nothing_comes_and_what_no_endpoint_is(tmp_path: Path) -> None:
    wrong = subprocess.run(
        [sys.executable, TOOL, "verdicts.sock"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("verdicts.sock: ")
    assert "expected ipc:///PATH/verdicts.sock" in wrong.stderr
    endpoint = f"ipc://{tmp_path}/nobody.sock"
    with subprocess.Popen([sys.executable, TOOL, endpoint], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline().startswith(f"nothing from {endpoint} in 5 s: does the line run")
        process.terminate()


def test_ends_quietly_when_its_reader_has_seen_enough(tmp_path: Path) -> None:
    verdict = Verdict(
        "demo", "line1", "camera1", 5, 1, 1, 1, 1, Evaluation.FAIL, Reason.ABOVE_THRESHOLD, 3.25, 2.5,
        0, 0, 31.0, 500.0, False, "cells", None, 0,
    )  # fmt: skip
    message = [wire.topic("demo", "line1", "camera1", wire.Kind.VERDICT), wire.encode(verdict)]
    endpoint = f"ipc://{tmp_path}/v.sock"
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(endpoint)
        with subprocess.Popen(
            [sys.executable, TOOL, endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert socket.poll(10_000), "the tool did not subscribe"
            socket.recv()
            process.stdout.close()
            socket.send_multipart(message)
            assert process.stderr.read() == b""
