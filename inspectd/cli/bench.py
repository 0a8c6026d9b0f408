"""`inspectd bench`: the speed of scoring on this machine, and the share of it that the whole daemon keeps.

It needs torch, torchvision, numpy, OpenCV, msgspec, safetensors and pyzmq; others that are missing are named.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import get_args

from inspectd.backends.base import Backend, Search
from inspectd.bench.machine import FOR_SERVICE, missing
from inspectd.cli.bench_options import DEFAULT_BATCHES
from inspectd.errors import ExitCode, UnavailableError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Measure scoring, stage by stage and by batch size, or with --service the whole daemon."
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="BANK", help="bank file; default: a synthetic bank"
    )
    synthetic = parser.add_argument_group("a synthetic bank, which needs no file")
    synthetic.add_argument(
        "--backbone", metavar="NAME", help="efficientnet_lite0 (default), resnet18, wide_resnet50_2, ..."
    )
    synthetic.add_argument("--layers", metavar="A,B", help="its layers; default: the usual ones")
    synthetic.add_argument(
        "--weights", metavar="W", help="packaged, download, random or a file (default: what is installed)"
    )
    synthetic.add_argument(
        "--grid", choices=["coarse", "fine"], help="patches of the coarsest layer (default) or the finest"
    )
    synthetic.add_argument("--size", metavar="N|HxW", help="network input in pixels (default 256)")
    synthetic.add_argument("--bank", metavar="ROWS,DIMS", help="its size (default 3072,152)")
    synthetic.add_argument(
        "--recipe",
        choices=["default", "published"],
        help="PatchCore as inspectd's own default or as published: no local_scale, no position_weight",
    )
    synthetic.add_argument(
        "--precision", choices=["float32", "bfloat16"], help="of the backbone (default float32)"
    )
    measured = parser.add_argument_group("what is measured")
    measured.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    measured.add_argument(
        "--threads", type=_count, default=0, metavar="N", help="CPU threads; 0: one per core"
    )
    measured.add_argument("--backend", choices=get_args(Backend), default="auto")
    measured.add_argument("--search", choices=get_args(Search), default="auto")
    measured.add_argument("--batches", metavar="N,N", help=f"batch sizes (default {DEFAULT_BATCHES})")
    measured.add_argument(
        "--seconds", type=_seconds, help="time for each batch size (default 2) or load (default 10)"
    )
    measured.add_argument("--images", type=Path, metavar="FOLDER", help="frames to score; default: noise")
    measured.add_argument("--frame", default="480x640", metavar="HxW", help="size of the noise frames")
    service = parser.add_argument_group("the whole daemon")
    service.add_argument(
        "--service", action="store_true", help="run the daemon with replaying cameras and read its bus"
    )
    service.add_argument("--cameras", type=_count, default=4, metavar="N")
    service.add_argument("--max-batch", type=_count, default=8, metavar="N", help="its batching.max_batch")
    offered = service.add_mutually_exclusive_group()
    offered.add_argument(
        "--rate", type=float, metavar="FPS", help="frames per second, of all cameras together"
    )
    offered.add_argument(
        "--load", default="full,0.8,0.5", metavar="LIST",
        help="shares of the rate of scoring alone; full: as many frames as it takes",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")


def main(arguments: argparse.Namespace) -> int:
    """Measure and print.

    Raises:
        InputError: an option, the bank or the images cannot be used.
        UnavailableError: the device or a package is not there.
    """
    if arguments.service:
        absent = missing(FOR_SERVICE)
        if absent:
            raise UnavailableError(
                f"--service runs the daemon, which needs the packages {', '.join(absent)}; "
                "they are not installed"
            )
        from inspectd.cli.bench_service import measure, text  # noqa: PLC0415 - needs what may be missing
    else:
        from inspectd.cli.bench_scoring import measure, text  # noqa: PLC0415 - imports for this kind alone
    result = measure(arguments)
    print(json.dumps(result) if arguments.json else text(result))
    return ExitCode.OK


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds above 0, at most 3600")
    return value
