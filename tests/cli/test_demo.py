"""`inspectd demo`: its images, its figures, and the whole of it on a few cells through the real daemon."""

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from support.cells import cells, link

from inspectd import config
from inspectd.cli import main
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.cli.demo import _own_command
from inspectd.cli.demo_data import CAMERAS, DemoData, Part, lay_out, own_folder, solar_cells
from inspectd.cli.demo_line import LineFile, LineRun, free_ports, runtime_dir
from inspectd.cli.demo_result import Result, Summary, write_contact_sheet
from inspectd.client import Heatmap, LineTracker, LiveReader
from inspectd.errors import InputError, InspectdError
from inspectd.ipc.state_hold import StateHold
from inspectd.wire import Counts, Evaluation, HeatmapHeader, Reason, Verdict

DEMO = [sys.executable, "-m", "inspectd", "demo"]


@pytest.fixture
def own_images(tmp_path: Path) -> Path:
    """An MVTec-style folder: 10 good cells to learn from, 6 good and 6 cracked ones to inspect."""
    root = tmp_path / "own"
    link(cells(defective=False)[0:20:2], root / "train" / "good")
    link(cells(defective=False)[1:12:2], root / "test" / "good")
    link(cells(defective=True)[:6], root / "test" / "crack")
    return root


# --- the whole demo -----------------------------------------------------------------------------------------


@pytest.mark.system
def test_demo_runs_from_images_to_figures_and_ends_by_itself(own_images: Path, tmp_path: Path) -> None:
    work, figures = tmp_path / "work", tmp_path / "figures.json"
    command = [*DEMO, "--images", own_images, "--out", work, "--json", figures, "--fps", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("1 Building the bank", "2 Starting the line", "3 Inspecting", "4 Result", "Next"):
        assert step in done.stdout

    found = msgspec.json.decode(figures.read_bytes())
    assert list(found) == ["captured", "verdicts", "drops", "undecidable", "image_auroc", "latency_ms"]
    assert found["captured"] == 12
    assert found["captured"] == found["verdicts"] + found["drops"]
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert found["undecidable"] + 2 <= 12, "too busy a machine to score at least one of each"
    sheet = cv2.imread(str(work / "contact-sheet.png"))
    assert sheet is not None
    assert sheet.std() > 20

    left = config.load(work / "demo.toml")
    assert [camera.name for camera in left.cameras] == list(CAMERAS)
    assert all(camera.loop for camera in left.cameras)
    assert Path(left.recipes[0].bank).is_file()
    assert not list(left.runtime_path.glob("*.sock"))
    assert not running_with(work)


def test_the_next_steps_can_be_typed_in_the_shell_that_started_the_demo(tmp_path, monkeypatch) -> None:
    program = tmp_path / "bin" / "inspectd"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/inspectd", "demo"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert _own_command() == "bin/inspectd"
    monkeypatch.setenv("PATH", str(program.parent))
    assert _own_command() == "inspectd"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py"), "demo"])
    assert _own_command() == f"{sys.executable} -m inspectd"


@pytest.mark.system
def test_ctrl_c_stops_the_line_and_leaves_nothing_running(own_images: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    command = [*DEMO, "--images", own_images, "--out", work, "--seconds", "600", "--fps", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        said = []
        for line in demo.stdout:
            said.append(line)
            if line.startswith("3 Inspecting"):
                break
        assert running_with(work), said
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert "nothing is left running" in rest
    assert "Traceback" not in rest
    assert not running_with(work)


def running_with(path: Path) -> list[str]:
    """Command lines of processes that name `path`, other than the demo's own."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(path) in command and " demo " not in command:
            found.append(command)
    return found


@pytest.mark.system
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fps", "0"], "--fps: got 0.0, expected more than 0"),
        (["--seconds", "-1"], "--seconds: got -1.0"),
        (["--images", "/nonexistent"], "--images /nonexistent: is not a folder"),
        (["--json", "/nonexistent/x.json"], "folder /nonexistent does not exist"),
        (["--out", "/proc/demo"], "cannot be used as work folder"),
    ],
)
def test_bad_options_are_refused_before_any_work(
    options: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", *options]) in {2, 3}
    said = capsys.readouterr().err
    assert complaint in said
    assert "Traceback" not in said
    assert not (tmp_path / "demo-run").exists()


@pytest.mark.system
def test_a_folder_that_is_no_demos_is_not_touched(
    own_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "images" / "holiday.png"
    mine.parent.mkdir()
    mine.write_bytes(b"dear to me")
    assert main(["demo", "--images", str(own_images), "--out", str(tmp_path)]) == 2
    assert "is not empty and not from an earlier demo" in capsys.readouterr().err
    assert mine.read_bytes() == b"dear to me"


def test_the_folder_of_a_line_that_runs_is_not_touched(
    own_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".inspectd-demo").touch()
    replayed = tmp_path / "images" / "top" / "part.png"
    replayed.parent.mkdir(parents=True)
    replayed.write_bytes(b"the line reads it")
    with StateHold(tmp_path / "state", ""):
        assert main(["demo", "--images", str(own_images), "--out", str(tmp_path)]) == 3
    assert "its line runs, or another demo; stop it" in capsys.readouterr().err
    assert replayed.read_bytes() == b"the line reads it"


# --- its images ---------------------------------------------------------------------------------------------


def test_solar_cells_are_split_by_position_and_never_shared() -> None:
    data = solar_cells()
    labels = [part.label for part in data.replay]
    assert (len(data.train), labels.count("good"), labels.count("defective")) == (294, 294, 313)
    assert not set(data.train) & {part.path for part in data.replay}
    good = sorted([*data.train, *(part.path for part in data.replay if part.label == "good")])
    assert data.train == good[::2]
    assert all(path.is_file() for path in good)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InputError, match=r"pip install --constraint constraints.txt '\.\[demo\]'"):
        solar_cells()


def test_own_folder_takes_the_kind_of_defect_as_label(own_images: Path) -> None:
    data = own_folder(own_images)
    assert (data.name, len(data.train)) == ("own", 10)
    assert [part.label for part in data.replay] == ["crack"] * 6 + ["good"] * 6


def test_own_folder_without_images_says_how_it_should_look(tmp_path: Path) -> None:
    (tmp_path / "train" / "good").mkdir(parents=True)
    with pytest.raises(InputError, match="found no image in train/good; expected good ones"):
        own_folder(tmp_path)


def test_each_camera_gets_every_other_image_of_each_label(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(9)]
    for file in files:
        file.touch()
    replay = [Part(path, "good") for path in files[:3]] + [Part(path, "crack") for path in files[3:8]]
    for _ in range(2):  # a second demo replaces the first one's links
        lay_out(DemoData("x", [files[8]], replay), tmp_path / "images")
    laid = {str(path.relative_to(tmp_path / "images")) for path in (tmp_path / "images").rglob("*.png")}
    assert laid == {
        "train/8.png",
        *(f"camera1/{name}.png" for name in ("good/0", "good/2", "crack/3", "crack/5", "crack/7")),
        *(f"camera2/{name}.png" for name in ("good/1", "crack/4", "crack/6")),
    }


# --- its line -----------------------------------------------------------------------------------------------


def test_a_daemon_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        LiveReader(f"ipc://{tmp_path}/v.sock") as reader,
        DaemonProcess(tmp_path / "missing.toml", tmp_path / "daemon.log") as daemon,
    ):
        run = LineRun(daemon, reader, lambda _: None, lambda: None)
        with pytest.raises(
            InspectdError, match=r"the daemon died \(exit code 2\)(.|\n)*missing\.toml: 1 problem"
        ):
            run.start()


def test_the_written_configuration_is_valid_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" \\ü'
    folder.mkdir()
    file = LineFile(folder / "demo.toml", 7.5, False, runtime_dir(folder), free_ports())
    file.write()
    loaded = config.load(file.path)
    assert loaded.recipes[0].bank == str(folder / "demo.bank")
    assert loaded.runtime_path == file.runtime_dir
    assert not loaded.recipes[0].any_size
    msgspec.structs.replace(file, any_size=True).write()
    assert config.load(file.path).recipes[0].any_size
    assert file.endpoint("verdicts") == f"ipc://{loaded.runtime_path}/verdicts.sock"


def test_the_socket_directory_is_short_and_differs_by_work_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    assert len(str(runtime_dir(deep))) < 90
    assert runtime_dir(deep) != runtime_dir(tmp_path)


# --- its figures --------------------------------------------------------------------------------------------


def verdict(seq: int, label: str, score: float | None, latency_ms: float = 10.0) -> Verdict:
    evaluation, reason = Evaluation.UNDECIDABLE, Reason.DEADLINE
    if score is not None:
        evaluation, reason = Evaluation.PASS, Reason.WITHIN_THRESHOLD
        if score > 1.0:
            evaluation, reason = Evaluation.FAIL, Reason.ABOVE_THRESHOLD
    return Verdict(
        "demo", "line1", "camera1", 5, seq, seq, 1, seq, evaluation, reason, score, 1.0, 0, 0, latency_ms,
        1000.0, False, "demo", None, 0, label=label, source=f"{label}/{seq}.png",
    )  # fmt: skip


def collected(verdicts: list[Verdict]) -> Result:
    tracker = LineTracker()
    result = Result(tracker)
    for message in verdicts:
        tracker.see_verdict(message)
        result.add(message)
    return result


def test_the_figures_of_a_run() -> None:
    scores = [("good", 0.1), ("good", 0.3), ("crack", 0.2), ("crack", 0.9), ("good", None)]
    result = collected([verdict(i, *scored, latency_ms=10.0 * i) for i, scored in enumerate(scores, start=1)])
    summary = result.summary(Counts(captured=6, verdicts=5, drops=1, in_flight=0))
    assert (summary.captured, summary.verdicts, summary.drops, summary.undecidable) == (6, 5, 1, 1)
    assert summary.image_auroc == pytest.approx(0.75)
    assert summary.latency_ms.p50 == pytest.approx(30.0)


def test_figures_that_cannot_be_known_are_null() -> None:
    assert collected([verdict(1, "good", 0.1)]).summary(Counts(1, 1, 0, 0)).image_auroc is None
    assert collected([]).summary(Counts(0, 0, 0, 0)) == Summary(0, 0, 0, 0, None, None)


@pytest.mark.parametrize(
    ("seqs", "counts", "complaint"),
    [
        ([1, 2], Counts(3, 2, 0, 0), "3 frames were captured, but verdicts + drops + in flight are 2"),
        ([1, 2], Counts(3, 2, 0, 1), "1 inspections were still open"),
        ([1, 3], Counts(3, 3, 0, 0), "1 verdicts never arrived"),
        ([1, 2], Counts(3, 3, 0, 0), "3 verdicts were published, 2 were received"),
    ],
)
def test_whatever_does_not_add_up_is_said(seqs: list[int], counts: Counts, complaint: str) -> None:
    result = collected([verdict(seq, "good", 0.1) for seq in seqs])
    assert complaint in "\n".join(result.unaccounted(counts))


def test_a_run_that_adds_up_has_no_complaint() -> None:
    result = collected([verdict(1, "good", 0.1), verdict(2, "crack", None)])
    assert result.unaccounted(Counts(captured=3, verdicts=2, drops=1, in_flight=0)) == []


def test_the_sheet_shows_the_extremes_with_their_heatmaps(tmp_path: Path) -> None:
    result = Result(LineTracker())
    for seq, (label, score) in enumerate([("good", 0.2), ("crack", 2.0)], start=1):
        image = tmp_path / "images" / "camera1" / label / f"{seq}.png"
        image.parent.mkdir(parents=True)
        cv2.imwrite(str(image), np.full((60, 60, 3), 128, np.uint8))
        result.add(verdict(seq, label, score))
        values = np.zeros((4, 4), "<f2")
        values[1, 2] = score
        header = HeatmapHeader(5, seq, "camera1", 4, 4, "float16", 1.0)
        result.add(Heatmap("demo", "line1", header, values.tobytes()))
    write_contact_sheet(result, tmp_path / "images", tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    height = sheet.shape[0] // 2
    reds = [np.sum((part[..., 2] > 150) & (part[..., 0] < 100)) for part in (sheet[:height], sheet[height:])]
    assert reds[0] > 500, "the crack's heatmap is laid over the upper tile"
    assert reds[1] == 0, "the good part's tile is clear"


def test_a_looped_replay_keeps_one_heatmap_an_image() -> None:
    result = Result(LineTracker())
    for seq in range(1, 6):
        again = msgspec.structs.replace(verdict(seq, "good", 0.1), source="good/1.png")
        result.add(Heatmap("demo", "line1", HeatmapHeader(5, seq, "camera1", 1, 1, "float16", 1.0), b"00"))
        result.add(again)
    assert list(result.heatmaps) == [5]
