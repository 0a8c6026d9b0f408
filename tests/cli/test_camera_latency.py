"""`inspectd camera latency` against a real camera in front of a light."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.lit_camera import LitCamera

from inspectd.client import TriggerSender
from inspectd.ipc.runtime_dir import RuntimeDir
from inspectd.wire import Refusal, TriggerRequest

LATENCY_MS, PERIOD_MS = 80, 50
PULSE_SECONDS = 0.1
"""Of the light that triggers switch: more than a frame's period, so that one which is late sees it too."""
TOLERANCE_MS = 60
"""A busy machine: a frame that is served, read or stamped late has that latency, and it is measured."""

WORDS = [
    sys.executable,
    "-m",
    "inspectd",
    "camera",
    "latency",
    "cam",
    "--flashes",
    "16",
    "--hold-ms",
    "300",
    "--json",
]


class Lamp:
    """A light that is a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.options = ["--flash", "command", "--on", f"touch '{path}'", "--off", f"rm -f '{path}'"]

    def __call__(self) -> bool:
        return self.path.exists()


@pytest.fixture
def lamp(tmp_path):
    return Lamp(tmp_path / "a lamp")


@pytest.fixture
def configured(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))

    def write(source: str, kind: str = "opencv", key: str = "source") -> Path:
        file = tmp_path / "line.toml"
        file.write_text(
            '[[recipes]]\nname = "r"\nbank = "none.safetensors"\n[[cameras]]\nname = "cam"\nrecipe = "r"\n'
            f'kind = "{kind}"\n{key} = "{source}"\nmode = "triggered"\nstall_timeout_ms = 3000\n'
        )
        return file

    return write


def measured(file, *options):
    return subprocess.run([*WORDS, "--config", file, *options], capture_output=True, text=True, check=False)


def check(found):
    assert found["seen"] >= 14
    assert LATENCY_MS <= found["latency_ms"] <= LATENCY_MS + 2 * PERIOD_MS + found["margin_ms"] + TOLERANCE_MS
    assert found["latency_min_ms"] <= LATENCY_MS + PERIOD_MS
    assert found["shortest_ms"] >= LATENCY_MS - 2 * PERIOD_MS - found["switching_ms"] - TOLERANCE_MS / 2
    assert found["frame_interval_ms"] == pytest.approx(PERIOD_MS, abs=12)


@pytest.mark.timed
def test_a_light_that_commands_switch(configured, lamp):
    with LitCamera(lamp, LATENCY_MS / 1000, PERIOD_MS / 1000) as camera:
        file = configured(camera.url)
        words = [word for word in WORDS if word != "--json"]
        words += ["--config", file, *lamp.options]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = re.search(
        r"Set for camera cam in (.*):\n  latency_ms = (\d+)\n  latency_min_ms = (\d+)\n", done.stdout
    )
    assert written[1] == str(file)
    assert LATENCY_MS <= int(written[2]) <= LATENCY_MS + 2 * PERIOD_MS + 2 * TOLERANCE_MS
    assert LATENCY_MS - 2 * PERIOD_MS - TOLERANCE_MS <= int(written[3]) <= LATENCY_MS + PERIOD_MS
    assert "a margin of " in done.stdout


@pytest.mark.timed
def test_the_terminals_own_screen(configured):
    shown = [b""]
    here, there = pty.openpty()

    def look():
        while True:
            try:
                shown[0] = (shown[0] + os.read(here, 1024))[-4000:]
            except OSError:  # the terminal is closed
                return

    threading.Thread(target=look, daemon=True).start()

    def is_white():
        return shown[0].rfind(b"48;2;255;255;255m") > shown[0].rfind(b"48;2;0;0;0m")

    with LitCamera(is_white, LATENCY_MS / 1000, PERIOD_MS / 1000) as camera:
        words = [*WORDS, "--config", configured(camera.url), "--flash", "terminal"]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=there, check=False)
    os.close(there)
    assert done.returncode == 0, shown[0]
    found = json.loads(done.stdout)
    check(found)
    assert found["latency_min_ms"] == 0
    assert "display" in found["unknown"]
    assert shown[0].endswith(b"\x1b[?1049l")  # the screen is as it was


@pytest.mark.timed
def test_the_light_of_the_plants_triggers(configured, tmp_path):
    lit_until, stop, answers = [0.0], threading.Event(), []

    def send():
        with TriggerSender(f"ipc://{tmp_path}/run/control.sock") as sender:
            for number in range(1000):
                if stop.wait(0.45 + number % 7 * 0.009):
                    return
                lit_until[0] = time.monotonic() + PULSE_SECONDS
                answers.append(sender.send(TriggerRequest(str(number)), timeout_seconds=0.2))

    with LitCamera(lambda: time.monotonic() < lit_until[0], LATENCY_MS / 1000, PERIOD_MS / 1000) as camera:
        thread = threading.Thread(target=send)
        thread.start()
        done = measured(configured(camera.url), "--flash", "triggers")
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))
    refusals = [answer for answer in answers if answer is not None]
    assert len(refusals) >= 16
    assert {(type(answer), str(answer.reason)) for answer in refusals} == {(Refusal, "not_ready")}


def test_what_is_wrong_is_said_with_its_exit_code(configured, lamp, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        away = f"http://127.0.0.1:{free.getsockname()[1]}/video"
    with LitCamera(lamp, bright=6) as dark:
        cases = [
            (
                configured,
                dark.url,
                ["--flash", "command", "--on", "true", "--off", "true"],
                1,
                "the picture is dark",
            ),
            (configured, away, lamp.options, 3, "cannot be opened"),
            (
                configured,
                dark.url,
                ["--flash", "command", "--on", "nosuch", "--off", "true"],
                2,
                "--on: nosuch cannot",
            ),
            (
                configured,
                dark.url,
                ["--flash", "command", "--on", "true", "--off", "false"],
                2,
                "ended with 1",
            ),
            (configured, dark.url, ["--flash", "command"], 2, "expected --on COMMAND and --off COMMAND"),
            (configured, dark.url, ["--flash", "terminal"], 2, "is not a terminal"),
            (
                configured,
                dark.url,
                [*lamp.options, "--flashes", "3"],
                2,
                "--flashes: got 3, expected at least 10",
            ),
        ]
        for write, source, options, code, said in cases:
            done = measured(write(source), *options)
            assert (done.returncode, said in done.stderr) == (code, True), done.stderr
            assert "Traceback" not in done.stderr
    with RuntimeDir(tmp_path / "run"):
        done = measured(configured(away), *lamp.options)
    assert done.returncode == 3
    assert "another inspectd uses" in done.stderr
    assert "a running line holds its cameras: stop it first" in done.stderr
    done = measured(configured("pictures", "images", "folder"), *lamp.options)
    assert (done.returncode, "is replayed from files" in done.stderr) == (2, True)
