"""`inspectd bank`: build, import, review, calibrate, evaluate, measure, tune, compare and show banks."""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path
from typing import Final, get_args

from inspectd.bank.presets import PRESETS
from inspectd.bank.settings_choice import FEWEST_IMAGES
from inspectd.cli.bank_import_options import DESCRIPTION
from inspectd.cli.bank_import_options import add_options as add_import
from inspectd.cli.bank_parts import add_parts
from inspectd.cli.numbers import share
from inspectd.cli.outcome_files import bank_to_write, drawing_to_write, page_to_write
from inspectd.cli.times import utc_ns
from inspectd.errors import InputError
from inspectd.model.options import WantedPrecision

DETECTORS: Final = ("patchcore", "padim", "dfkde")
_SENSITIVITY: Final = (
    "Draw spots, scratches, stains, dents and foreign texture of graded size and contrast into good images "
    "that the bank has not seen, and report the size of each kind that is found with 90 % probability."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of `inspectd bank`; each one's work is in the module `bank_<name>`."""
    commands = parser.add_subparsers(dest="bank_command", required=True, metavar="COMMAND")
    _add_build(commands.add_parser("build", help="make a bank from images of good parts"))
    imported = "make a bank of a model that was trained elsewhere"
    add_import(commands.add_parser("import", help=imported, description=DESCRIPTION))
    _add_calibrate(commands.add_parser("calibrate", help="set the threshold for a false-reject rate"))
    _add_evaluate(commands.add_parser("evaluate", help="measure a bank on labelled images"))
    sensitivity = "which sizes of synthetic defects a bank finds, and where"
    _add_sensitivity(commands.add_parser("sensitivity", help=sensitivity, description=_SENSITIVITY))
    _add_tune(commands.add_parser("tune", help="compare settings and recommend one"))
    _add_compare(commands.add_parser("compare", help="compare banks of any kinds on the same images"))
    _add_show(commands.add_parser("show", help="verify a bank file and show its contents"))
    _add_review(commands.add_parser("review", help="write a page of the images unlike the rest"))
    _add_accept(commands.add_parser("accept", help="count images unlike the rest as good"))
    _add_exclude(commands.add_parser("exclude", help="build a bank again without some of its images"))
    _add_convert(commands.add_parser("convert", help="build a bank again in another precision"))


def main(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand."""
    _refuse_one_file_for_two(vars(arguments).get("out"), vars(arguments).get("review"))
    module = importlib.import_module(f"inspectd.cli.bank_{arguments.bank_command}")
    code: int = module.main(arguments)
    return code


def _refuse_one_file_for_two(out: Path | None, review: Path | None) -> None:
    """A page with the new bank's own name would take its place."""
    if out is not None and review is not None and os.path.realpath(out) == os.path.realpath(review):
        raise InputError(f"--review: got {review}, the bank itself; expected another file")


def _add_build(build: argparse.ArgumentParser) -> None:
    source = build.add_argument_group("where the images come from, one of")
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of images of good parts")
    add_parts(build)
    source.add_argument("--video", type=Path, metavar="FILE", help="video of good parts")
    source.add_argument(
        "--camera",
        metavar="NAME",
        help="camera of the file given with --config, or its region as NAME/REGION",
    )
    build.add_argument("--config", type=Path, metavar="FILE", help="configuration that names the camera")
    build.add_argument(
        "--count", type=int, default=200, help="frames from a video or camera; default: %(default)s"
    )
    build.add_argument("--out", type=bank_to_write, required=True, metavar="FILE", help="bank file to write")
    build.add_argument("--detector", choices=DETECTORS, default="patchcore", help="default: %(default)s")
    build.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the detector; repeatable",
    )
    build.add_argument(
        "--preset", choices=tuple(PRESETS),
        help="backbone, layers, size and coreset by purpose: "
        + ", ".join(f"{name}: {one.backbone} at {one.height}" for name, one in PRESETS.items())
        + "; what each needs: docs/banks.md",
    )  # fmt: skip
    build.add_argument(
        "--backbone",
        help="efficientnet_lite0, or a network of torchvision or timm by its name, such as "
        "vit_small_patch14_dinov2; default: efficientnet_lite0",
    )
    build.add_argument("--layers", metavar="A,B", help="layer names; default: the backbone's usual ones")
    build.add_argument("--weights", metavar="FILE", help="weights file; default: the backbone's own")
    build.add_argument("--size", help="network input: 256 or HEIGHTxWIDTH; default: 256")
    build.add_argument(
        "--final-norm", choices=("on", "off"), default="on",
        help="normalise a transformer's tokens as it does after its last block; default: %(default)s",
    )  # fmt: skip
    build.add_argument(
        "--grid", choices=("coarse", "fine"), help="patches of the coarsest (default) or finest layer"
    )
    build.add_argument(
        "--tune", choices=("auto", "off"), default="auto",
        help="auto: choose PatchCore's settings that none of these options gives, by good images of --images "
        f"({FEWEST_IMAGES} or more) and synthetic defects in them; default: %(default)s",
    )  # fmt: skip
    build.add_argument(
        "--tune-minutes", type=float, default=10.0, metavar="M",
        help="what does not fit into this time is not tried; default: %(default)g",
    )  # fmt: skip
    build.add_argument(
        "--align", choices=("auto", "on", "off"), default="off",
        help="shift and turn images, and later frames, onto a reference before they are judged; auto: "
        "where the images show one thing whose place can be measured; default: %(default)s",
    )  # fmt: skip
    build.add_argument("--roi", metavar="X,Y,W,H", help="region of every image, as shares: 0.1,0.1,0.8,0.8")
    _add_bit_depth(build)
    build.add_argument("--mask", type=Path, metavar="FILE", help="image, white where parts are judged")
    build.add_argument(
        "--polygon", type=Path, metavar="FILE", help="JSON file of polygons; only what lies in one is judged"
    )
    build.add_argument(
        "--exclude-polygon", type=Path, metavar="FILE", help="the same; what lies in one is not judged"
    )
    build.add_argument(
        "--foreground", action="store_true",
        help="judge only the places where the images show a part before a background",
    )  # fmt: skip
    build.add_argument("--coreset", help="patches kept: a share (0.04, 4%%) or a number; default: 0.04")
    build.add_argument(
        "--bank-mb", type=float, metavar="MB", help="size of the patches kept, instead of --coreset"
    )
    build.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help="processes that choose the patches kept, each for a share of the images; the bank is the same; "
        "default: %(default)s",
    )  # fmt: skip
    build.add_argument(
        "--ray", metavar="HOST:PORT",
        help="the workers run on the machines of this Ray cluster, each has the features of its share alone, "
        "and --memory-gb is for each; images lie at the same paths on all; extra `ray`",
    )  # fmt: skip
    build.add_argument("--neighbours", "--neighbors", type=int, metavar="K", help="PatchCore's k; default: 1")
    build.add_argument(
        "--precision", choices=get_args(WantedPrecision), default="float32",
        help="of the backbone on the CPU, and of the bank, which is then scored in no other one; auto: the "
        "fastest, if it is 1.5 times as fast as float32; default: %(default)s",
    )  # fmt: skip
    build.add_argument(
        "--seed", type=int, default=0, help="seed of every random choice; default: %(default)s"
    )
    build.add_argument(
        "--memory-gb", type=float, default=3.0, help="most memory to use; default: %(default)s"
    )
    build.add_argument(
        "--strict", action="store_true", help="refuse unreadable images instead of skipping them"
    )
    _add_keep_outliers(build)
    build.add_argument(
        "--pastes", type=int, default=150, metavar="N",
        help="synthetic defects drawn into a tenth of the images, to show what each threshold finds; "
        "0: none; default: %(default)s",
    )  # fmt: skip
    build.add_argument(
        "--review", type=page_to_write, metavar="FILE", help="write a page of the images unlike the rest"
    )
    _add_common(build)


def _add_calibrate(calibrate: argparse.ArgumentParser) -> None:
    calibrate.add_argument("bank", type=Path, metavar="BANK")
    calibrate.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="good images; default: the bank's own, by their cross-fitted scores",
    )
    add_parts(calibrate, "--images and --defects")
    calibrate.add_argument(
        "--false-reject-rate",
        type=share,
        metavar="RATE",
        help="rate to show, such as 0.01 or 1%%; default: print the thresholds to choose from, write nothing",
    )
    calibrate.add_argument(
        "--defects",
        type=Path,
        metavar="DIR",
        help="defective images: adds how many pass, by each threshold and by the one in force or to write",
    )
    _add_keep_outliers(calibrate)
    calibrate.add_argument(
        "--any-size", action="store_true", help="the recipe has any_size = true: images of every size count"
    )
    calibrate.add_argument(
        "--quality-off",
        action="append",
        default=[],
        choices=("exposure", "colour", "scene", "position", "focus"),
        help="one that the recipe has in quality_off: images unlike the bank's in that count",
    )
    calibrate.add_argument("--dry-run", action="store_true", help="do not change the bank")
    _add_journal(calibrate.add_argument_group("from parts that a line has judged"))
    _add_common(calibrate)


def _add_journal(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--journal", type=Path, metavar="PATH", help="the line's state directory, or its journal.sqlite"
    )
    group.add_argument(
        "--confirmed",
        type=Path,
        metavar="FILE",
        help="good parts, one a line; the first line is verdict, trigger_id or part_id",
    )
    group.add_argument(
        "--good-from",
        type=utc_ns,
        metavar="TIME",
        help="every part from then on was good, such as 2026-11-26T06:00",
    )
    group.add_argument("--good-until", type=utc_ns, metavar="TIME", help="until then")
    group.add_argument("--since", type=utc_ns, metavar="TIME", help="leave out earlier parts")
    group.add_argument("--recipe", metavar="NAME", help="only this recipe's parts; default: all")
    group.add_argument("--write", action="store_true", help="store the threshold in the bank")


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("bank", type=Path, metavar="BANK")
    _add_data(evaluate)
    add_parts(evaluate, "--data")
    evaluate.add_argument(
        "--report", type=page_to_write, metavar="FILE", help="write a self-contained HTML page"
    )
    _add_common(evaluate)


def _add_sensitivity(sensitivity: argparse.ArgumentParser) -> None:
    sensitivity.add_argument("bank", type=Path, metavar="BANK")
    sensitivity.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="images of good parts; at least 10 that the bank was not built from",
    )
    sensitivity.add_argument(
        "--report", type=page_to_write, metavar="FILE", help="write a self-contained HTML page"
    )
    sensitivity.add_argument(
        "--pastes",
        type=int,
        default=300,
        metavar="N",
        help="synthetic defects for each kind and contrast; default: %(default)s",
    )
    sensitivity.add_argument(
        "--seed", type=int, default=0, help="of every random choice; default: %(default)s"
    )
    sensitivity.add_argument(
        "--false-reject-rate",
        type=share,
        metavar="RATE",
        help="judge at the threshold that this share of the bank's good scores exceeds; default: at its own",
    )
    sensitivity.add_argument(
        "--mm-per-pixel", type=float, metavar="MM", help="scale of the images: adds sizes in millimetres"
    )
    _add_common(sensitivity)


def _add_tune(tune: argparse.ArgumentParser) -> None:
    _add_data(tune)
    tune.add_argument(
        "--images", type=Path, metavar="DIR", help="good images to fit on; default: DATA/train/good"
    )
    _add_bit_depth(tune)
    tune.add_argument("--sizes", default="192,256", help="network inputs; default: %(default)s")
    tune.add_argument("--coresets", default="0.01,0.04,0.1", help="default: %(default)s")
    tune.add_argument("--neighbours", "--neighbors", default="1", help="default: %(default)s")
    tune.add_argument(
        "--layers", metavar="A,B;A,B,C", help="choices of layers; default: the backbone's usual ones"
    )
    tune.add_argument("--backbone", default="efficientnet_lite0", help="default: %(default)s")
    tune.add_argument("--weights", metavar="FILE", help="weights file; default: the backbone's own")
    tune.add_argument("--limit-ms", type=float, help="slowest image to recommend")
    tune.add_argument("--limit-mb", type=float, help="largest bank to recommend")
    tune.add_argument(
        "--plot",
        type=drawing_to_write,
        metavar="FILE",
        help="write accuracy against latency and memory as SVG",
    )
    tune.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    _add_common(tune)


def _add_compare(compare: argparse.ArgumentParser) -> None:
    compare.add_argument("banks", type=Path, nargs="+", metavar="BANK", help="two or more, of any kinds")
    _add_data(compare)
    add_parts(compare, "--data")
    compare.add_argument(
        "--false-reject-rate", type=share, default=0.02, metavar="RATE",
        help="budget at which the defects found are compared; default: %(default)g",
    )  # fmt: skip
    compare.add_argument(
        "--report", type=page_to_write, metavar="FILE",
        help="write a self-contained HTML page, with pictures of what the banks judge differently",
    )  # fmt: skip
    _add_common(compare)


def _add_show(show: argparse.ArgumentParser) -> None:
    show.add_argument("bank", type=Path, metavar="BANK")
    show.add_argument(
        "--pictures", type=page_to_write, metavar="FILE",
        help="write a page of how its images were taken: what they show, and those nearest to each limit",
    )  # fmt: skip
    show.add_argument("--json", action="store_true", help="print one JSON object")


def _add_review(review: argparse.ArgumentParser) -> None:
    review.add_argument("bank", type=Path, metavar="BANK")
    review.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder the bank was built from"
    )
    review.add_argument("--out", type=page_to_write, required=True, metavar="FILE", help="HTML page to write")


def _add_accept(accept: argparse.ArgumentParser) -> None:
    _add_answered(accept)
    calibrated = accept.add_mutually_exclusive_group()
    for option, value, about in (
        ("--keep-threshold", "keep", "leave the threshold as it is"),
        (
            "--replace-threshold",
            "default",
            "find the threshold by the default rule, even if calibrate set it",
        ),
    ):
        calibrated.add_argument(option, dest="threshold", action="store_const", const=value, help=about)
    accept.add_argument("--json", action="store_true", help="print one JSON object")


def _add_exclude(exclude: argparse.ArgumentParser) -> None:
    _add_answered(exclude)
    _add_rebuild(exclude)


def _add_convert(convert: argparse.ArgumentParser) -> None:
    convert.add_argument("bank", type=Path, metavar="BANK")
    convert.add_argument(
        "--precision", choices=get_args(WantedPrecision), required=True, help="of its backbone"
    )
    _add_rebuild(convert)
    convert.add_argument("--yes", action="store_true", help="write the bank without asking")


def _add_rebuild(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder the bank was built from"
    )
    parser.add_argument(
        "--replace-threshold",
        action="store_true",
        help="find the threshold by the default rule, even if calibrate set the old one",
    )
    parser.add_argument(
        "--memory-gb", type=float, default=3.0, help="most memory to use; default: %(default)s"
    )
    _add_common(parser)


def _add_answered(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bank", type=Path, metavar="BANK")
    parser.add_argument(
        "image",
        nargs="+",
        metavar="IMAGE_OR_SHA",
        help="an image file, or the first digits of its sha256 as `bank show` and the review page print it",
    )
    parser.add_argument("--yes", action="store_true", help="write the bank without asking")


def _add_keep_outliers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-outliers",
        action="store_true",
        help="accept all images unlike the rest as good at once; default: set aside, named",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DATA",
        help="MVTec-style folder, or CSV with path and label, and if you like mask and part",
    )


def _add_bit_depth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bit-depth",
        type=int,
        choices=range(8, 17),
        default=8,
        metavar="BITS",
        help="bits per channel of the images, 8 to 16; above 8 in 16-bit files; default: %(default)s",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
