"""`inspectd camera list`, `probe` and `record`, against cameras on loopback."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from support.disks import needs_root, tmpfs
from support.gentl_camera import GentlCamera
from support.mjpeg_camera import MjpegCamera, stamped
from support.ordinary import run_without_rights
from support.pictures import noise, write_images
from support.ports import free_port
from support.rtsp_refusal import RtspRefusal

from inspectd import config
from inspectd.cli import main
from inspectd.cli.stopped_line import stopped_line
from inspectd.client import TriggerSender
from inspectd.ipc.runtime_dir import RuntimeDir
from inspectd.ipc.state_hold import StateHold
from inspectd.pictures.folder import list_pictures
from inspectd.wire import TriggerRequest


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def camera(capfd, monkeypatch):
    """Runs the command in this process, which has loaded the cameras' libraries already."""

    def run(*words, text=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        returncode = main(["camera", *map(str, words)])
        return Done(int(returncode), *capfd.readouterr())

    return run


@pytest.fixture
def configured(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))

    def write(source, kind="opencv", more=""):
        key = "folder" if kind == "images" else "source"
        file = tmp_path / "line.toml"
        file.write_text(
            '[[recipes]]\nname = "r"\nbank = "none.safetensors"\n[[cameras]]\nname = "cam"\nrecipe = "r"\n'
            f'kind = "{kind}"\n{key} = "{source}"\nstall_timeout_ms = 1500\n{more}\n'
        )
        return file

    return write


def cut(seed, jpeg):
    return jpeg if seed % 3 else jpeg[: len(jpeg) // 2]


def test_probe_says_what_came_and_what_of_it_the_line_would_judge(camera):
    with MjpegCamera(stamped, cut, period_seconds=0.02) as source:
        done = camera("probe", source.url, "--seconds", "1.5", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (found["sizes"], found["bit_depth"], found["facts"]["codec"]) == (["512x64"], 8, "mjpeg")
    assert found["qualities"]["ok"] == pytest.approx(2 * found["qualities"]["partial"], abs=3)
    assert 15 < found["interval_ms"] < 25
    assert 35 < found["frames_per_second"] < 60
    assert found["are_dated"]
    assert 0 < found["cpu_ms"] < 20


def test_probe_ends_with_1_where_the_line_would_judge_hardly_any_frame(camera):
    with MjpegCamera(lambda _: noise(1), period_seconds=0.02) as source:
        done = camera("probe", source.url, "--seconds", "3")
    assert done.returncode == 1
    assert " frozen, 1 ok" in done.stdout


def test_frames_that_change_in_size_are_none_that_the_line_would_judge(camera):
    with MjpegCamera(lambda seed: noise(seed, 64, 512 + 64 * (seed % 2)), period_seconds=0.02) as source:
        done = camera("probe", source.url, "--seconds", "3", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["frames"], len(found["sizes"])) == (1, 1, 1)
    (left_out,) = (count for reason, count in found["left_out"].items() if "size_changed" in reason)
    assert left_out > 5


def test_what_is_wrong_with_a_camera_is_one_line_that_shows_no_password(camera, tmp_path):
    video = tmp_path / "v.avi"
    video.write_bytes(b"no video")
    with RtspRefusal(401) as locked, RtspRefusal(404) as empty, MjpegCamera(login=("u", "right")) as http:
        wrong = http.url.replace("right", "S3cret")
        cases = [
            (["rtsp://u:S3cret@127.0.0.1:9/x"], "", 2, "may hold a password"),
            (["http://127.0.0.1:9/x?pwd=S3cret"], "", 2, "may hold a password"),
            (["-"], f"rtsp://u:S3cret@127.0.0.1:{free_port()}/x", 3, "connection refused"),
            (["-"], f"rtsp://u:S3cret@127.0.0.1:{locked.port}/x", 3, "refuses the user name or password"),
            (["-"], f"rtsp://u:S3cret@127.0.0.1:{empty.port}/x", 3, "no stream under that path"),
            (["-"], wrong, 3, "refuses the user name or password"),
            (["-"], "http://u:S3cr/et@127.0.0.1/", 3, "has to be percent-encoded"),
            (["-"], "", 2, "standard input is empty"),
            (["/dev/video98"], "", 3, "cannot be opened; is it connected"),
            (["nosuch"], "", 2, "is neither a URL, a device, a file nor a folder"),
            ([video], "", 3, "cannot be opened as a video"),
            (["srt://127.0.0.1:9"], "", 3, "srt://127.0.0.1:9"),
            ([video, "--seconds", "0"], "", 2, "--seconds: got 0"),
        ]
        for words, text, code, said in cases:
            done = camera("probe", *words, text=text + "\n")
            assert (done.returncode, said in done.stderr) == (code, True), (words, done.stderr)
            # OpenCV, which this test loaded before the command could silence it, says its own.
            said_lines = [line for line in done.stderr.splitlines() if not line.startswith("[ WARN:")]
            assert len(said_lines) == 1, done.stderr
            assert "S3cr" not in done.stdout + done.stderr


def test_a_camera_of_a_running_line_is_left_alone(camera, configured, tmp_path):
    file = configured("http://127.0.0.1:9/")
    out = tmp_path / "out"
    with RuntimeDir(tmp_path / "run"):
        for words in (["probe", "cam"], ["record", "cam", "--out", out, "--images", "3"]):
            done = camera(*words, "--config", file)
            assert (done.returncode, "a running line holds its cameras: stop it first" in done.stderr) == (
                3,
                True,
            )


def test_a_line_whose_sockets_were_removed_keeps_its_cameras_too(camera, configured, tmp_path, monkeypatch):
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    file = configured("http://127.0.0.1:9/")
    with stopped_line(config.load(file), file, needed=False):
        assert not state.exists()  # the line's own user has to make it
    with StateHold(state, ""):
        for words in (["probe", "cam"], ["record", "cam", "--out", tmp_path / "out", "--images", "3"]):
            done = camera(*words, "--config", file)
            assert done.returncode == 3
            assert f"another inspectd uses {state} (a running line holds its cameras" in done.stderr


_PROBE = """
import sys
from inspectd.cli import main

sys.stderr = sys.stdout
print(main(["camera", "probe", "cam", "--config", sys.argv[1]]))
"""


@needs_root
def test_who_cannot_see_whether_the_line_runs_is_told_so(configured, tmp_path, monkeypatch):
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    file = configured("http://127.0.0.1:9/")
    with StateHold(state, ""):
        state.chmod(0o700)
        os.chown(state, 65534, 65534)
        said = run_without_rights(_PROBE, file)
    assert "cannot be locked: Permission denied (so this user cannot see whether the line runs: do " in said
    assert said.endswith("3\n")


def test_a_directory_that_cannot_be_made_is_not_said_to_be_a_running_lines(camera, configured, tmp_path):
    (tmp_path / "run").write_text("")
    done = camera("probe", "cam", "--config", configured("http://127.0.0.1:9/"))
    assert (done.returncode, "cannot make" in done.stderr, "running line" in done.stderr) == (3, True, False)


def test_only_whole_frames_are_recorded_and_the_others_are_counted(camera, configured, tmp_path):
    with MjpegCamera(stamped, cut, period_seconds=0.02) as source:
        file = configured(source.url)
        file.write_text(file.read_text().replace("stall_timeout_ms = 1500", "stall_timeout_ms = 10000"))
        words = ["record", "cam", "--config", file, "--out", tmp_path / "out", "--json"]
        done = camera(*words, "--images", "12")
        found = json.loads(done.stdout)
        assert (done.returncode, found["recorded"]) == (0, 12), done.stderr
        assert found["left_out"]["partial: the line would not judge it"] >= 5
        again = camera(*words, "--images", "2", "--label", "scratch")
        empty = camera(*words, "--images", "2", "--empty")
    assert (again.returncode, empty.returncode) == (0, 0)
    listed = {
        kind: len(list_pictures(tmp_path / "out" / kind).pictures)
        for kind in ("train/good", "test/scratch", "empty")
    }
    assert listed == {"train/good": 12, "test/scratch": 2, "empty": 2}
    pictures = [cv2.imread(str(path)) for path in (tmp_path / "out/train/good").iterdir()]
    assert {picture.shape for picture in pictures} == {(64, 512, 3)}
    assert len({picture.tobytes() for picture in pictures}) == 12


def test_a_recording_goes_on_beside_what_is_there_and_ends_with_a_replay(camera, configured, tmp_path):
    write_images(tmp_path / "in", [f"{number}.png" for number in range(4)])
    file = configured(tmp_path / "in", "images", "fps = 100")
    words = ["record", "cam", "--config", file, "--out", tmp_path / "out", "--images", "3"]
    assert camera(*words).returncode == 0
    done = camera(*words[:-1], "9", "--every", "0")
    assert done.returncode == 1
    assert "4 of 9 pictures recorded" in done.stdout
    assert len(list((tmp_path / "out/train/good").iterdir())) == 7


@needs_root
def test_a_full_disk_is_said_and_leaves_no_half_picture(camera, configured, tmp_path):
    with tmpfs(tmp_path / "disk", "1m") as disk, MjpegCamera(stamped, period_seconds=0.01) as source:
        done = camera("record", "cam", "--config", configured(source.url), "--out", disk, "--images", "500")
        assert (done.returncode, "No space left on device" in done.stderr) == (3, True), done.stderr
        pictures = list((disk / "train/good").iterdir())
        assert f"{len(pictures)} of 500 pictures recorded" in done.stdout
        assert all(cv2.imread(str(path)) is not None for path in pictures)


def test_a_triggered_camera_is_recorded_at_the_plants_triggers(camera, configured, tmp_path):
    """The part is there for a moment after each trigger; between them the picture is dark."""
    lit, stop = threading.Event(), threading.Event()

    def plant():
        with TriggerSender(f"ipc://{tmp_path}/run/control.sock") as sender:
            number = 0
            while not stop.wait(0.3):
                number += 1
                lit.set()
                sender.send(TriggerRequest(str(number)), timeout_seconds=0.2)
                stop.wait(0.3)
                lit.clear()

    def picture(number):
        return noise(number) // 8 + (150 if lit.is_set() else 10)

    with MjpegCamera(picture, period_seconds=0.02) as source:
        more = 'mode = "triggered"\nlatency_ms = 60\n[triggers]\nwindow_ms = 400'
        file = configured(source.url, more=more)
        thread = threading.Thread(target=plant)
        thread.start()
        done = camera("record", "cam", "--config", file, "--out", tmp_path / "out", "--images", "4")
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stderr + done.stdout
    pictures = [cv2.imread(str(path)) for path in (tmp_path / "out/train/good").iterdir()]
    assert len(pictures) == 4
    assert min(np.mean(picture) for picture in pictures) > 120


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--images", "0"], "--images: got 0, expected 1 to 100000"),
        (["--images", "3", "--every", "-1"], "--every: got -1"),
        (["--images", "3", "--label", "../x"], "--label: got '../x'"),
    ],
)
def test_options_that_make_no_sense_are_refused(camera, configured, tmp_path, words, said):
    file = configured("http://127.0.0.1:9/")
    done = camera("record", "cam", "--config", file, "--out", tmp_path, *words)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_list_shows_a_lines_cameras_without_their_passwords(camera, configured):
    file = configured("rtsp://u:S3cret@127.0.0.1:9/x")
    done = camera("list", "--no-broadcast", "--config", file, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["networks"]) == (0, [])
    assert found["configured"] == [
        {"name": "cam", "kind": "opencv", "source": "rtsp://127.0.0.1:9", "state": ""}
    ]
    assert "its line does not run here" in found["line"]


@pytest.mark.system
def test_a_producers_cameras_are_listed_and_one_of_them_is_probed(camera):
    with GentlCamera() as left, GentlCamera("SIM08", "right side", folder=left.folder):
        listed = camera("list", "--no-broadcast", "--cti", left.cti).stdout
        asked = json.loads(camera("list", "--no-broadcast", "--cti", left.cti, "--json").stdout)["producers"]
        probed = camera("probe", "id:SIM::SIM08", "--cti", left.cti, "--seconds", 0.5)
    assert f"Cameras by the GenTL producer {left.cti} (inspectd test producer 1.0):" in listed
    assert '  inspectd Simulated serial SIM08 named "right side", id SIM::SIM08, mac 00:11:1c:' in listed
    assert {found["serial"] for found in asked[0]["found"]} == {"SIM07", "SIM08"}
    assert probed.returncode == 0, probed.stderr
    assert "reached_through          inspectd test producer 1.0" in probed.stdout
    assert "256x192; 8 bits a channel" in probed.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--no-broadcast", "--cti", "/nowhere/p.cti"), "cti: /nowhere/p.cti cannot be read"),
        (("probe", "/dev/video0", "--cti", "/nowhere/p.cti"), "expected serial:..., name:... or id:..."),
        (
            ("probe", "cam", "--cti", "/p.cti", "--config", "line.toml"),
            "a configuration has the settings backend and cti",
        ),
    ],
)
def test_a_producer_that_cannot_be_asked_is_said_in_one_line(camera, words, said):
    done = camera(*words)
    assert (done.returncode != 0, said in done.stderr, done.stderr.count("\n")) == (True, True, 1), (
        done.stderr
    )


def test_a_name_that_no_file_can_have_is_told(camera):
    done = camera("probe", "x" * 300)
    assert (done.returncode, "xxx: cannot be read: File name too long" in done.stderr) == (2, True)
