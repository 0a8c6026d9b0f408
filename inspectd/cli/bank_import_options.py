"""The options of `inspectd bank import`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from inspectd.cli.bank_parts import add_parts
from inspectd.cli.outcome_files import bank_to_write

DESCRIPTION: Final = (
    "Make a bank of a model that was trained elsewhere: ONNX or OpenVINO IR that gives a score, a map of "
    "places or "
    "both. No code in it is ever run; it is read and tried in a process of its own, with limits. The "
    "threshold is "
    "found from good images, which should be none that the model was trained on."
)
PREPROCESSING: Final = {
    "anomalib": ("rgb", 255.0, (0.0,), (1.0,)),
    "imagenet": ("rgb", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""By name: order of colours, scale, mean and deviation."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument("model", type=Path, metavar="MODEL", help=".onnx, or .xml of OpenVINO IR")
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of images of good parts"
    )
    add_parts(parser)
    parser.add_argument("--out", type=bank_to_write, required=True, metavar="FILE", help="bank file to write")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE",
        help="the one file that an ONNX model may have its weights in, such as model.onnx.data; default of "
        "IR: the .bin beside it",
    )  # fmt: skip
    parser.add_argument("--name", help="of the model, for people; default: its file's name")
    _add_input(
        parser.add_argument_group("how the model takes pictures; what its file says need not be given")
    )
    _add_output(parser.add_argument_group("what it says of them"))
    parser.add_argument(
        "--bit-depth", type=int, choices=range(8, 17), default=8, metavar="BITS",
        help="bits per channel of the images; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="refuse unreadable images instead of skipping them"
    )
    parser.add_argument(
        "--keep-outliers", action="store_true",
        help="accept all images unlike the rest as good at once; default: set aside, named",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of every random choice; default: %(default)s")
    parser.add_argument(
        "--keep-onnx", action="store_true",
        help="keep the ONNX model in the bank too, by which CUDA devices compute: nearly doubles its size",
    )  # fmt: skip
    parser.add_argument(
        "--memory-gb", type=float, default=3.0, help="most memory to use for the model; default: %(default)g"
    )
    parser.add_argument(
        "--limit-seconds",
        type=float,
        default=120.0,
        help="most time to read and try it; default: %(default)g",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_input(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--preprocessing", choices=tuple(PREPROCESSING),
        help="anomalib: RGB, values 0 to 1, as it exports models with their preprocessing; imagenet: RGB, 0 "
        "to 1, less the mean of ImageNet, divided by its deviation",
    )  # fmt: skip
    group.add_argument("--colours", "--colors", choices=("rgb", "bgr", "grey"), help="order of the channels")
    group.add_argument(
        "--scale", type=float, metavar="V", help="values 0 to 255 are divided by this: 255, or 1"
    )
    group.add_argument(
        "--mean", metavar="R,G,B", help="taken off after that, in the order of --colours, or one for all"
    )
    group.add_argument("--deviation", metavar="R,G,B", help="divided by after that")
    group.add_argument(
        "--size", metavar="S", help="its input: 256 or HEIGHTxWIDTH; pictures are stretched to it"
    )
    group.add_argument(
        "--crop", metavar="C",
        help="pictures are stretched to --size, and their centre of this size is its input: 224 or "
        "HEIGHTxWIDTH",
    )  # fmt: skip
    group.add_argument("--roi", metavar="X,Y,W,H", help="region of every image, as shares: 0.1,0.1,0.8,0.8")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--score-output", metavar="NAME", help="the output that is the score; default: found")
    group.add_argument("--map-output", metavar="NAME", help="the output that is the map; default: found")
    group.add_argument(
        "--lower-is-worse", action="store_true", help="its values fall with defects, they do not rise"
    )
    group.add_argument(
        "--judge", choices=("auto", "score", "map", "places"), default="auto",
        help="what makes the score: the model's own score, the highest place of its map, or that map, each "
        "place held against what good images have there; auto: its own score, unless another finds clearly "
        "more of synthetic defects (60 images or more); default: %(default)s",
    )  # fmt: skip
    group.add_argument(
        "--tune-minutes",
        type=float,
        default=10.0,
        metavar="M",
        help="most time for that; default: %(default)g",
    )
