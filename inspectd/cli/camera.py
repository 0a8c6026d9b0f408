"""`inspectd camera`: find cameras, see what they show the line, record, calibrate and measure them."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from inspectd.cli.outcome_files import file_to_write, picture_to_write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of `inspectd camera`; the work of each is in the module `camera_<name>`."""
    commands = parser.add_subparsers(dest="camera_command", required=True, metavar="COMMAND")
    _add_list(commands.add_parser("list", help="show the cameras of this machine, its networks and a line"))
    _add_probe(commands.add_parser("probe", help="open a camera as the line would, and say what it delivers"))
    _add_record(commands.add_parser("record", help="record pictures of a camera into a folder for a bank"))
    _add_preview(commands.add_parser("preview", help="write a picture of what the detector sees"))
    _add_calibrate(commands.add_parser("calibrate", help="make a calibration from pictures of a board"))
    _add_synthetic(
        commands.add_parser("synthetic", help="write pictures of computed parts into a folder for a bank")
    )
    _add_latency(
        commands.add_parser(
            "latency",
            help="measure the time from light to time stamp, for latency_ms and latency_min_ms",
            description="Measures the time from light to time stamp, for latency_ms and latency_min_ms. Stop "
            "the line first; point the camera at the light; let the light fill much of the picture.",
        )
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    module = importlib.import_module(f"inspectd.cli.camera_{arguments.camera_command}")
    code: int = module.main(arguments)
    return code


def _add_list(listed: argparse.ArgumentParser) -> None:
    listed.add_argument(
        "--config", type=Path, metavar="FILE", help="a line's configuration: its cameras too, and their state"
    )
    listed.add_argument(
        "--no-broadcast",
        action="store_true",
        help="send nothing into any network: GigE Vision cameras are then not looked for",
    )
    listed.add_argument(
        "--cti",
        action="append",
        default=[],
        metavar="FILE",
        help="ask this GenTL producer too, a library (absolute path) that is loaded here; repeatable",
    )
    listed.add_argument(
        "--pylon",
        action="store_true",
        help="ask Basler's pylon too (the extra pylon): USB3, GigE by a broadcast of its own",
    )
    listed.add_argument("--json", action="store_true", help="print one JSON object")


def _add_probe(probe: argparse.ArgumentParser) -> None:
    probe.description = (
        "Opens a camera as the line would, reads it for a while and says what came: size, rate, jitter, lost "
        "and bad frames, age, cost. Stop a line that uses the camera first."
    )
    probe.add_argument(
        "camera",
        metavar="CAMERA",
        help="with --config a camera of that file; else a device (/dev/video0), a GigE Vision camera "
        "(ip:192.168.40.11, serial:...), a video file or a URL; - reads a URL from standard input, for one "
        "with a password",
    )
    probe.add_argument("--config", type=Path, metavar="FILE", help="the configuration that names the camera")
    probe.add_argument(
        "--cti",
        metavar="FILE",
        help="without --config: reach a camera (serial:..., name:..., id:...) by this GenTL producer",
    )
    probe.add_argument(
        "--pylon",
        action="store_true",
        help="without --config: reach a camera (serial:..., ip:...) by Basler's pylon",
    )
    probe.add_argument(
        "--seconds", type=float, default=5.0, metavar="S", help="how long to read it; default: %(default)g"
    )
    probe.add_argument("--json", action="store_true", help="print one JSON object")


def _add_record(record: argparse.ArgumentParser) -> None:
    record.description = (
        "Records whole frames of a camera as PNG files, in the folders that `bank build` and `bank evaluate` "
        "read: train/good, or test/LABEL. Of a triggered camera one for each trigger of the plant. Stop the "
        "line first. Nothing is ever overwritten."
    )
    record.add_argument("name", metavar="NAME", help="a camera of the configuration")
    record.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration")
    record.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to record")
    record.add_argument("--images", type=int, required=True, metavar="N", help="pictures to record")
    what = record.add_mutually_exclusive_group()
    what.add_argument("--label", default="good", help="what the parts are; default: %(default)s")
    what.add_argument(
        "--empty", action="store_true", help="no part is there: the pictures go to the folder empty"
    )
    record.add_argument(
        "--every", type=float, default=0.0, metavar="SECONDS",
        help="least time between two pictures of a camera that runs free; default: every frame",
    )  # fmt: skip
    record.add_argument("--json", action="store_true", help="print one JSON object")


def _add_preview(preview: argparse.ArgumentParser) -> None:
    preview.description = (
        "Reads one frame of a camera as the line would, and writes a picture of what becomes of it: as the "
        "camera gives it, turned and straightened, with the bank's region and mask, and the network's input. "
        "Stop a line that uses the camera first."
    )
    preview.add_argument("name", metavar="NAME", help="a camera of the configuration, or CAMERA/REGION")
    preview.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration")
    preview.add_argument(
        "--out", type=picture_to_write, required=True, metavar="FILE", help="picture to write, .png or .jpg"
    )
    preview.add_argument(
        "--seconds", type=float, default=10.0, metavar="S",
        help="wait so long for a frame that the line would judge; default: %(default)g",
    )  # fmt: skip
    preview.add_argument("--json", action="store_true", help="print one JSON object")


def _add_calibrate(calibrate: argparse.ArgumentParser) -> None:
    calibrate.description = (
        "Finds a chessboard, or a ChArUco board, in pictures of it, works out the lens from them, and writes "
        "the file for cameras[].geometry.calibration. With --plane parts are seen from straight above."
    )
    calibrate.add_argument("folder", type=Path, metavar="FOLDER", help="pictures of the board, 8 or more")
    calibrate.add_argument(
        "--board", required=True, metavar="COLUMNSxROWS",
        help="inner corners of a chessboard such as 9x6; with --markers its squares",
    )  # fmt: skip
    calibrate.add_argument(
        "--square-mm", type=float, required=True, metavar="MM", help="edge of one square in millimetres"
    )
    calibrate.add_argument(
        "--markers",
        metavar="DICTIONARY",
        help="a ChArUco board with markers of this kind, such as DICT_4X4_50",
    )
    calibrate.add_argument(
        "--marker-mm", type=float, metavar="MM", help="with --markers: edge of one marker in millimetres"
    )
    calibrate.add_argument(
        "--plane", type=Path, metavar="PICTURE",
        help="picture of the board lying where parts lie: makes that plane be seen from straight above",
    )  # fmt: skip
    calibrate.add_argument(
        "--bit-depth", type=int, choices=range(8, 17), default=8, metavar="BITS",
        help="bits per channel that the camera delivers, 8 to 16, where files have words of 16; default: 8",
    )  # fmt: skip
    calibrate.add_argument(
        "--out", type=file_to_write, required=True, metavar="FILE", help="calibration to write"
    )
    calibrate.add_argument(
        "--picture",
        type=file_to_write,
        metavar="FILE",
        help="picture of the corrected board; default: beside --out",
    )
    calibrate.add_argument("--json", action="store_true", help="print one JSON object")


def _add_latency(latency: argparse.ArgumentParser) -> None:
    latency.add_argument("name", metavar="NAME", help="a camera of the configuration")
    latency.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration")
    latency.add_argument(
        "--flash",
        choices=("terminal", "command", "triggers"),
        required=True,
        help="the light: this terminal's screen, two commands, or a light fired by the plant's triggers",
    )
    latency.add_argument(
        "--on", metavar="COMMAND", help="with `command`: switches the light on; run without a shell"
    )
    latency.add_argument("--off", metavar="COMMAND", help="with `command`: switches it off")
    latency.add_argument(
        "--flashes",
        type=int,
        default=40,
        metavar="N",
        help="changes of the light, or triggers; default: %(default)s",
    )
    latency.add_argument(
        "--hold-ms",
        type=float,
        default=800.0,
        metavar="MS",
        help="shortest time between two changes, longer than the latency; default: %(default)s",
    )
    latency.add_argument("--json", action="store_true", help="print one JSON object")


def _add_synthetic(synthetic: argparse.ArgumentParser) -> None:
    synthetic.description = (
        "Writes a folder of computed parts, good and defective, to build and evaluate a bank on: train/good, "
        "test/LABEL and ground_truth/LABEL with the defects' pixels, as MVTec AD has."
    )
    synthetic.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="with --config: pictures as this synthetic camera shows them; default: one with usual settings",
    )
    synthetic.add_argument("--config", type=Path, metavar="FILE", help="the configuration that names it")
    synthetic.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    synthetic.add_argument(
        "--images", type=int, default=60, metavar="N", help="good parts to build on; default: %(default)s"
    )
    synthetic.add_argument(
        "--defects",
        type=int,
        default=60,
        metavar="M",
        help="defective parts to evaluate on, all kinds alike, and as many good ones; default: %(default)s",
    )
    synthetic.add_argument(
        "--seed", type=int, metavar="S", help="other parts of the same product; default: the camera's seed"
    )
