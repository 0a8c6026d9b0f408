"""`inspectd status` on a real line, and the screen it prints."""

import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import zmq
from rich.console import Console
from support.daemon import camera_table, settings

from inspectd import wire
from inspectd.cli import line_folders, line_sockets
from inspectd.cli.status_screen import screen
from inspectd.client import ask_status
from inspectd.errors import InputError
from inspectd.scoring.stub import Behaviour
from inspectd.wire import Counts, HealthCondition
from inspectd.wire.shadow import ShadowStatus
from inspectd.wire.sync import (
    CameraStatus,
    Error,
    ErrorReason,
    GoldenStatus,
    KeysStatus,
    LineStatus,
    RecipeStatus,
    decode_answer,
)


def status(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inspectd", "status", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.daemon
def test_a_line_says_how_it_is_in_good_days_and_bad(start_daemon, stub_bank, small_good):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=20))).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 5 and daemon.reader.heartbeats[-1].health == "good")
    endpoint = f"ipc://{daemon.runtime_dir}/sync.sock"

    good = status(endpoint)
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.splitlines()[0].startswith(" GOOD   test/line  running for 0:00:"), good.stdout
    facts = json.loads(status(endpoint, "--json").stdout)
    assert (facts["health"], facts["conditions"], facts["device"]) == ("good", [], "stub")
    (camera,), (recipe,) = facts["cameras"], facts["recipes"]
    assert camera["phase"] == "up"
    assert camera["verdicts"]["pass"] > 0
    assert recipe["bank_sha256"] == daemon.reader.verdicts[0].bank_sha256
    assert set(facts["connections"]) == {"verdicts", "heatmaps", "previews", "sync", "control"}

    daemon.behave(Behaviour(fault="error"))
    daemon.until(lambda: daemon.reader.heartbeats[-1].health != "good")
    assert daemon.reader.event("health").detail == "good -> out_of_specification: cam scoring_errors"
    bad = status(endpoint)
    assert bad.returncode == 1
    assert bad.stdout.startswith(" OUT OF SPECIFICATION   test/line")
    assert "scoring_errors  cam: " in bad.stdout
    (error,) = json.loads(status(endpoint, "--json").stdout)["conditions"]
    assert [error["since_utc_ns"]] == [each.since_utc_ns for each in daemon.reader.heartbeats[-1].conditions]


@pytest.mark.daemon
def test_an_answer_is_of_now_and_not_of_the_last_heartbeat(start_daemon, stub_bank, small_good):
    rare = "[publish]\nheartbeat_ms = 10000"
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=20), extra=rare))
    daemon.until(lambda: len(daemon.reader.verdicts) > 1)
    facts = json.loads(status(f"ipc://{daemon.runtime_dir}/sync.sock", "--json").stdout)
    assert ask_status(f"ipc://{daemon.runtime_dir}/sync.sock", line=("test", "line")).line == "line"
    with pytest.raises(InputError, match="is of line test/line, expected test/line2"):
        ask_status(f"ipc://{daemon.runtime_dir}/sync.sock", line=("test", "line2"))
    assert (facts["state"], facts["health"], facts["conditions"]) == ("running", "good", [])


@pytest.mark.daemon
def test_the_configuration_leads_to_the_line(start_daemon, stub_bank, small_good, monkeypatch):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=5))).ready()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    assert status(daemon.file).stdout.split()[1] == "test/line"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setattr(line_folders, "_RUN", daemon.folder)
    daemon.runtime_dir.rename(daemon.folder / "line")  # as the unit names it by its configuration file
    assert line_sockets.socket_of(daemon.file, "sync") == f"ipc://{daemon.folder}/line/sync.sock"
    (daemon.folder / "line").rename(daemon.runtime_dir)
    nowhere = status(daemon.file)
    assert nowhere.returncode == 3
    assert f"{daemon.file}: its line does not run here, or may not be seen" in nowhere.stderr


def test_an_older_line_is_named(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.bind(f"ipc://{tmp_path}/sync.sock")

        def refuse() -> None:
            client, _ = socket.recv_multipart()
            socket.send_multipart(
                [client, wire.encode(Error(None, ErrorReason.MALFORMED, "no such request"))]
            )

        older = threading.Thread(target=refuse)
        older.start()
        asked = status(f"ipc://{tmp_path}/sync.sock")
        older.join()
    assert asked.returncode == 3
    assert "this line's inspectd is older and cannot say how it is" in asked.stderr


@pytest.mark.parametrize("name", ["utc_ns", "journal_bytes"])
def test_an_answer_with_impossible_numbers_is_refused(name: str) -> None:
    answer = LineStatus(
        "", "plant", "line", 1, "0", 0, 0, "running", "good", [], Counts(*[0] * 8), [], [], None,
        0, 0, "recording", None, None, None, 0, {},
    )  # fmt: skip
    assert decode_answer(wire.encode(answer)) == answer
    with pytest.raises(ValueError, match=name):
        decode_answer(wire.encode(msgspec.structs.replace(answer, **{name: 10**400})))


HOUR_NS = 3_600 * 10**9


def line(**changes: object) -> LineStatus:
    """A line in good days: two cameras, golden parts, keys."""
    facts: dict[str, object] = {
        "request": "", "plant": "demo", "line": "line1", "epoch": 1, "software": "0.1.0",
        "started_utc_ns": 0, "utc_ns": 100 * HOUR_NS, "state": "running", "health": "good", "conditions": [],
        "counts": Counts(9000, 8990, 10, 0, 3, 4500, 4500, 0),
        "cameras": [CameraStatus(n, "up", "cells@3", {"pass": 60, "fail": 1}, 0.61, 0.58) for n in "ab"],
        "recipes": [RecipeStatus("cells@3", "ab" * 32, 5.25, 4.0, 88.8)], "device": "cpu", "waiting": 0,
        "with_scoring": 1, "journal": "recording", "journal_bytes": 12_000_000,
        "disk_free_bytes": 40 * 10**9, "evidence_bytes": 10**9, "evidence_quota_bytes": 10**10,
        "connections": {"verdicts": 1, "sync": 1, "tcp verdicts": 2}, "in_force": "cells@3",
        "prepared": ["glass@1"], "golden": [golden()], "keys": KeysStatus(3, False, [], []),
    }  # fmt: skip
    return LineStatus(**(facts | changes))


def golden(state: str = "passed", **changes: object) -> GoldenStatus:
    facts: dict[str, object] = {
        "is_held": state in {"overdue", "failed"}, "due_utc_ns": 103 * HOUR_NS, "due_parts": None,
        "overdue_utc_ns": None, "last_outcome": "passed", "last_utc_ns": 99 * HOUR_NS, "last_who": "kim",
    }  # fmt: skip
    return GoldenStatus("cells", state, **(facts | changes))


def shown(status: LineStatus) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=200, color_system=None)
    for part in screen(status):
        console.print(part, no_wrap=True, overflow="ellipsis", width=80)
    lines = out.getvalue().splitlines()
    assert len(lines) <= 24, out.getvalue()
    assert max(map(len, lines)) <= 80, out.getvalue()
    assert "\x1b" not in out.getvalue()
    return lines


def test_the_screen_of_a_line_in_good_days_says_all_and_cuts_nothing() -> None:
    lines = shown(line())
    text = "\n".join(lines)
    assert "…" not in text
    assert lines[0] == " GOOD   demo/line1  running for 4 days, 4:00:00, inspectd 0.1.0"
    assert lines[1].split()[-3:] == ["undec.", "score", "good"]
    assert lines[2].split() == ["a", "up", "cells@3", "60", "1", "0", "61%", "58%"]
    for fact in (
        "drift     score: median of the last 200; good: the bank's good parts; limit 100%",
        "in force  cells@3; prepared: glass@1",
        "golden    cells: next check in 3 h 0 min; last passed 1 h 0 min ago by kim",
        "disk      journal recording, 12.0 MB; evidence 1.0 GB of 10.0 GB; 40.0 GB free",
        "clients   verdicts 1, sync 1",
        "keys      3 allowed; over TCP: verdicts 2",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (golden("failed", last_outcome="failed"), "check FAILED; last failed 1 h 0 min ago by kim"),
        (golden("failed", last_outcome="abandoned",
                problems=["good-1 on top: fail with score 5, expected pass"]),
         "check FAILED: good-1 on top: fail with score 5, expected pass; last abandoned 1 h 0 min ago"),
        (golden("overdue", overdue_utc_ns=98 * HOUR_NS), "check OVERDUE for 2 h 0 min; last passed"),
        (golden("overdue", is_held=False), "check OVERDUE (parts are judged); last"),
        (golden("due", overdue_utc_ns=100 * HOUR_NS + 9 * 60 * 10**9), "check DUE, do it within 9 min"),
        (golden(due_parts=4200), "next check in 3 h 0 min or after 4,200 parts"),
        (golden("overdue", under_way="kim-1", last_outcome=None), "check OVERDUE, one is under way; no"),
        (golden(under_way="kim-1"), "cells: a check is under way; last passed"),
        (golden(due_utc_ns=None), "next check not due by time; last passed"),
    ],
)  # fmt: skip
def test_the_check_with_golden_parts_is_said_in_words(status: GoldenStatus, said: str) -> None:
    assert said in " ".join(" ".join(shown(line(golden=[status]))).split())


@pytest.mark.parametrize(
    ("frames", "state", "said"),
    [
        ({}, "loading", "shadow cells@4 loading"),
        ({}, "down", "shadow cells@4 down: why it is so"),
        ({"scored": 40, "busy": 2}, "running", "cells@4: 40 of 42 frames; would fail 3 passes, pass 1 fails"),
        ({"scored": 40, "quality": 3, "format": 1, "error": 1}, "running",
         "cells@4: would not judge 4, fail 3 passes, pass 1 fails of 45"),
        ({"scored": 0, "busy": 2, "camera_settings": 9}, "running",
         "cells@4 compares NONE of 11 frames, most as camera_settings"),
    ],
)  # fmt: skip
def test_what_a_shadow_would_judge_otherwise_and_why_it_cannot_say(frames, state, said) -> None:
    shadow = ShadowStatus("cells@4", "cells@3", 0, state, "why it is so", frames, 3, 1, 0, {}, {}, {})
    assert said in " ".join(" ".join(shown(line(shadow=shadow))).split())


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (KeysStatus(3, True, [], []), "keys      list UNREAD, the one read last is in force"),
        (KeysStatus(None, False, [], []), "keys      nobody can connect over TCP"),
        (KeysStatus(None, False, ["publish.sync_tcp"], []), "none needed on this host for publish.sync_tcp"),
        (KeysStatus(None, False, ["publish.sync_tcp"], ["publish.sync_tcp"]), "NONE, and other hosts reach"),
    ],
)
def test_keys_are_said_in_words(keys: KeysStatus, said: str) -> None:
    assert said in "\n".join(shown(line(keys=keys)))


def test_frames_that_no_trigger_asked_for_are_no_losses() -> None:
    text = "\n".join(shown(line(counts=Counts(11_752, 2_752, 8_999, 1, untriggered=8_999))))
    assert "frames    11,752 = 2,752 verdicts + 8,999 untriggered + 0 drops + 1 in flight\n" in text


def test_six_conditions_and_six_cameras_are_all_shown() -> None:
    conditions = [
        HealthCondition("failure", "golden_overdue", "recipe cells: undecidable until a check passes"),
        HealthCondition("failure", "camera_down", "it delivers no frames", "camera-top-left"),
        *(HealthCondition("out_of_specification", name, "12 of 60 verdicts of the last minute", "camera-top")
          for name in ("too_fast", "late", "bad_frames")),
        HealthCondition("maintenance_required", "keys_unread", "their disk does not answer " * 3),
    ]  # fmt: skip
    cameras = [
        CameraStatus(f"camera-top-left-{n}", "opening", "product-a@12/camera-2", {"pass": 10**6}, 1.41, 0.58)
        for n in range(6)
    ]
    text = "\n".join(shown(line(conditions=conditions, cameras=cameras, golden=[golden("overdue")])))
    assert all(f"  {each.condition}  " in text for each in conditions)
    assert all(f"camera-t…-left-{n} " in text for n in range(6)), text
    assert "more (--json)" not in text


def test_for_how_long_a_condition_holds_is_said_where_the_line_says_it() -> None:
    now = line().utc_ns
    conditions = [
        HealthCondition("failure", "camera_down", "it delivers no frames", "top", now - 65 * 60 * 10**9),
        HealthCondition("maintenance_required", "insecure", "tcp://*:1", None, now + 10**9),
        HealthCondition("maintenance_required", "door_shut", "verdicts"),
        HealthCondition("out_of_specification", "late", "in the last minute", None, now - 7 * 10**9),
    ]
    rows = shown(line(conditions=conditions))
    assert "  camera_down  top: it delivers no frames (for 1 h 5 min)" in rows
    assert "  insecure  tcp://*:1 (for 0 s)" in rows
    assert "  late  in the last minute (for 7 s)" in rows
    assert "  door_shut  verdicts" in rows


def test_the_screen_fits_80_by_24_however_much_there_is_and_shows_no_control_characters() -> None:
    conditions = [
        HealthCondition(
            "failure", "camera_down", f"it delivers no frames \x1b[31m {'x' * 90}", f"camera{number}"
        )
        for number in range(40)
    ]
    full = LineStatus(
        request="", plant="plant", line="l" * 63, epoch=1, software="0.1.0", started_utc_ns=0,
        utc_ns=400_000 * 10**9, state="running", health="of a later version", conditions=conditions,
        counts=Counts(10**9, 10**9, 10, 5, 3, 10**8, 10**8, 2),
        cameras=[CameraStatus(f"{'c' * 60}{n}", "up", "r" * 63, {"pass": 10**6}, 0.41) for n in range(40)],
        recipes=[RecipeStatus(f"{'r' * 60}{n}", "ab" * 32, 5.25, 4.0, 88.8) for n in range(40)],
        device="cuda:0", waiting=0, with_scoring=8, journal="recording", journal_bytes=12_000_000,
        disk_free_bytes=40 * 10**9, evidence_bytes=10**9, evidence_quota_bytes=10 * 10**9,
        connections={f"{side}{name}": 12 for side in ("", "tcp ") for name in ("verdicts", "sync", "keys")},
    )  # fmt: skip
    full = msgspec.structs.replace(
        full, in_force="i" * 63, prepared=["p" * 63] * 3, golden=[golden("overdue")] * 40,
        keys=KeysStatus(9, False, [], []),
    )  # fmt: skip
    lines = shown(full)
    assert sum("more (--json)" in each for each in lines) == 4
