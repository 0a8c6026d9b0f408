"""`inspectd bank build`: from images of good parts to a bank file."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from inspectd.backends.cuda.device import choose_device
from inspectd.backends.precisions import prepare, refuse_unavailable
from inspectd.backends.scorer import Scorer
from inspectd.bank.blind import refuse_blind
from inspectd.bank.build import BankBuilder
from inspectd.bank.build_spec import BuildSpec, OfPictures
from inspectd.bank.built import BuildReport, Built
from inspectd.bank.file import BankFile, read_bank
from inspectd.bank.images import NamedFrame, named_image, read_image, video_frames, without_copies
from inspectd.bank.polygons import JudgedArea, read_polygons
from inspectd.bank.presets import PRESETS, Preset
from inspectd.bank.progress import Progress
from inspectd.cli.bank_choice import print_choice
from inspectd.cli.bank_common import (
    MOST_PASTES,
    Steps,
    parse_coreset,
    parse_options,
    parse_region,
    parse_size,
    print_names,
)
from inspectd.cli.bank_parts import print_named_parts
from inspectd.cli.bank_settings import chosen_settings
from inspectd.cli.bank_settings_table import print_settings
from inspectd.cli.bank_show import print_quality
from inspectd.cli.extras import needing
from inspectd.errors import ExitCode, InputError
from inspectd.evaluation.budgets import Choice, choice_of
from inspectd.evaluation.choose_settings import ChosenSettings
from inspectd.evaluation.drawn_defects import large_defects_found
from inspectd.evaluation.review import Pictures, keep_pictures, write_review
from inspectd.evaluation.synthetic import Frame
from inspectd.model.options import PatchOptions
from inspectd.pictures.depth import EIGHT_BITS
from inspectd.pictures.folder import described, list_good_pictures
from inspectd.pictures.parts import named_parts, one_of_each
from inspectd.quality.align import AlignedLearnt, learn_aligned
from inspectd.quality.learn import FEWEST
from inspectd.text import json_line

_OF_PRESET: Final = ("backbone", "layers", "size", "grid", "coreset", "bank_mb")
_FEW_SIZES: Final = 5


@dataclass(frozen=True)
class _Source:
    """Where the images come from.

    Attributes:
        frames: each with its name.
        total: the most there can be.
        bit_depth: bits a channel of all of them.
        left_out: other files of a folder: the reason for passing them over, and their number.
        paths: of the images, where each has a file.
    """

    frames: Iterable[NamedFrame]
    total: int
    bit_depth: int = EIGHT_BITS
    left_out: Counter[str] = field(default_factory=Counter)
    paths: Sequence[Path] = ()


def main(arguments: argparse.Namespace) -> int:
    """Build a bank and print the report."""
    if not 0 <= arguments.pastes <= MOST_PASTES:
        raise InputError(f"--pastes: got {arguments.pastes}, expected 0 to {MOST_PASTES}")
    _refuse_ray(arguments)
    spec = _spec(arguments)
    target = choose_device(arguments.device)
    refuse_unavailable(arguments.precision, target)
    device = str(target)
    source = _source(arguments)
    spec = replace(spec, bit_depth=source.bit_depth)
    _refuse_other_pictures(spec, source.paths)
    if arguments.parts is not None:
        spec = replace(spec, parts=named_parts(arguments.parts, arguments.images, source.paths))
    chosen = chosen_settings(arguments, spec, one_of_each(spec.parts, source.paths), device)
    if isinstance(chosen, ChosenSettings):
        spec = chosen.spec
    builder = BankBuilder(spec, device, prepare)
    if not arguments.json:
        _print_settings(chosen)
        print(builder.estimate(source.total))
    pictures: Pictures = {}
    frames = source.frames
    if arguments.review is not None:
        frames = keep_pictures(frames, pictures, spec.patches.region)
    with Steps() as steps:
        aligned = _aligned(arguments, source, spec, steps)
        built = builder.fit(frames, source.total, steps, aligned)
        refuse_blind(built)
        report = builder.write(built, arguments.out)
        bank = read_bank(arguments.out)
        choice = choice_of(bank)
        if arguments.images is not None and arguments.pastes:
            choice = _with_synthetic_defects(choice, built, arguments, steps)
    report = msgspec.structs.replace(report, left_out=dict(source.left_out))
    if arguments.review is not None:
        write_review(arguments.review, arguments.out, bank, pictures, arguments.images, choice=choice)
    # The first load converts the bank for this machine's CPU and remembers it: the daemon then starts faster.
    Scorer.load(arguments.out, arguments.device)
    if arguments.json:
        facts = {"choice": choice, "settings": chosen if isinstance(chosen, str) else _facts(chosen)}
        print(json_line({**msgspec.to_builtins(report), **msgspec.to_builtins(facts)}))
    else:
        _print_report(arguments.out, report, choice, bank)
        _say_sizes(len(bank.manifest.image_sizes))
        if arguments.review is not None:
            print(f"review: {arguments.review}")
        print(f"next: inspectd bank evaluate {arguments.out} --data DATA --report report.html")
    return ExitCode.OK


def _refuse_ray(arguments: argparse.Namespace) -> None:
    """Refuse a cluster where its workers cannot read the images, or nothing here speaks with it."""
    if arguments.ray is None:
        return
    if arguments.images is None or arguments.align != "off":
        raise InputError("--ray: expected it with --images and without --align: workers read the files")
    with needing("bank build --ray", ray={"ray": "ray"}):
        from inspectd.bank.ray_workers import refuse_unreachable  # noqa: PLC0415 - an extra of its own
    refuse_unreachable(arguments.ray)


def _with_synthetic_defects(
    choice: Choice, built: Built, arguments: argparse.Namespace, progress: Progress
) -> Choice:
    """The choice with what is found of synthetic defects, by a fit that left a tenth of the images out."""
    manifest, mask = built.manifest, built.arrays.get("head.mask")

    def score(frames: Sequence[Frame]) -> list[float]:
        return [answer.image_score for answer in built.held_out.score(frames)]

    try:
        found = large_defects_found(
            [Path(name) for name in built.held_out_images], manifest,
            [row.threshold for row in choice.budgets], score,
            lambda done, total: progress("defects", done, total),
            pastes=arguments.pastes, scored=None if mask is None else mask > 0,
        )  # fmt: skip
    except InputError as error:
        print(f"no synthetic defects: {error}", file=sys.stderr)
        return choice
    budgets = [
        msgspec.structs.replace(row, synthetic_found=share)
        for row, share in zip(choice.budgets, found, strict=True)
    ]
    return msgspec.structs.replace(choice, budgets=budgets)


def _spec(arguments: argparse.Namespace) -> BuildSpec:
    preset = _preset(arguments)
    height, width = parse_size(arguments.size) if arguments.size else (preset.height, preset.width)
    options = parse_options(arguments.option)
    if arguments.neighbours is not None:
        options["neighbours"] = arguments.neighbours
    return BuildSpec(
        detector=arguments.detector,
        options=options,
        patches=PatchOptions(
            grid=arguments.grid or "coarse",
            region=parse_region(arguments.roi),
            final_norm=arguments.final_norm == "on",
        ),
        backbone=arguments.backbone or preset.backbone,
        layers=_layers(arguments, preset),
        weights=str(Path(arguments.weights).resolve()) if arguments.weights else None,
        height=height,
        width=width,
        coreset=parse_coreset(arguments.coreset) if arguments.coreset else preset.coreset,
        bank_mb=arguments.bank_mb,
        seed=arguments.seed,
        memory_gb=arguments.memory_gb,
        strict=arguments.strict,
        mask=arguments.mask,
        area=_area(arguments),
        foreground=arguments.foreground,
        keep_outliers=arguments.keep_outliers,
        precision=arguments.precision,
        workers=arguments.workers,
        ray=arguments.ray,
    )


def _preset(arguments: argparse.Namespace) -> Preset:
    """The preset that was asked for, else the one whose settings are the defaults.

    Raises:
        InputError: something is given that the preset says.
    """
    if arguments.preset is None:
        return PRESETS["fast"]
    given = [name for name in _OF_PRESET if getattr(arguments, name) is not None]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"--preset: got {arguments.preset} and {names}, expected one or the other")
    return PRESETS[arguments.preset]


def _layers(arguments: argparse.Namespace, preset: Preset) -> tuple[str, ...] | None:
    """Layers that are given, or the preset's; None: the usual ones of the backbone."""
    if arguments.layers:
        return tuple(arguments.layers.split(","))
    return None if arguments.preset is None else preset.layers


def _area(arguments: argparse.Namespace) -> JudgedArea | None:
    judged, excluded = (
        None if path is None else read_polygons(path)
        for path in (arguments.polygon, arguments.exclude_polygon)
    )
    return None if judged is None and excluded is None else JudgedArea(judged, excluded)


def _refuse_other_pictures(spec: BuildSpec, paths: Sequence[Path]) -> None:
    """Refuse a mask or polygons of other pictures, before settings are tried out for minutes."""
    is_drawn = spec.mask is not None or spec.area is not None
    first = read_image(paths[0], spec.bit_depth) if is_drawn and paths else None
    if first is not None:
        OfPictures(spec).refuse(*first.shape[:2])


def _source(arguments: argparse.Namespace) -> _Source:
    """The one source that was given.

    Raises:
        InputError: none or several were given, or it cannot be used.
    """
    given = [name for name in ("images", "video", "camera") if getattr(arguments, name) is not None]
    if len(given) != 1:
        raise InputError(f"expected one of --images, --video and --camera, got {', '.join(given) or 'none'}")
    if arguments.parts is not None and arguments.images is None:
        raise InputError("--parts: expected it with --images only: it is found in the paths of files")
    depth = arguments.bit_depth
    if arguments.images is not None:
        found = list_good_pictures(arguments.images)
        images = (named_image(path, depth) for path in found.pictures)
        return _Source(images, len(found.pictures), depth, found.left_out, found.pictures)
    if depth != EIGHT_BITS:
        raise InputError(
            f"--bit-depth: got {depth} with --{given[0]}, expected it with --images only: a camera says it, "
            "a video has 8"
        )
    if arguments.count < 1:
        raise InputError(f"--count: got {arguments.count}, expected at least 1")
    if arguments.video is not None:
        return _Source(video_frames(arguments.video, arguments.count), arguments.count)
    from inspectd.cli import bank_camera  # noqa: PLC0415 - brings the capture stage with it

    camera, region = bank_camera.find_camera(arguments.config, arguments.camera)
    seen = bank_camera.camera_frames(camera, arguments.count, region)
    return _Source(seen.frames, arguments.count, seen.bit_depth)


def _aligned(
    arguments: argparse.Namespace, source: _Source, spec: BuildSpec, progress: Progress
) -> AlignedLearnt | None:
    """What the images are to be aligned by; None: they are not.

    Raises:
        InputError: they are to be aligned and cannot be.
    """
    if arguments.align == "off":
        return None
    if not source.paths:
        raise InputError(f"--align: got {arguments.align}, expected it with --images: each is read twice")
    frames = (named_image(path, source.bit_depth) for path in source.paths)
    counted = _counted(frames, len(source.paths), progress)
    aligned = learn_aligned(without_copies(counted), spec.patches.region, spec.parts)
    if aligned is not None:
        return aligned
    if arguments.align == "auto":
        print("not aligned: these images show no one thing whose place can be measured", file=sys.stderr)
        return None
    raise InputError(
        f"--align on: expected {FEWEST} images or more, each of another part, that show one thing in one "
        "size, whose shift and rotation can be measured; build without it, and `inspectd bank show` says "
        "what is missing"
    )


def _counted(frames: Iterable[NamedFrame], total: int, progress: Progress) -> Iterator[NamedFrame]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress("reference", done, total)


def _print_settings(chosen: ChosenSettings | str) -> None:
    if isinstance(chosen, str):
        print(f"settings: not chosen for these images: {chosen}")
    elif chosen.spec.settings_choice is not None:
        print_settings(chosen.spec.settings_choice, chosen.image_ms)


def _facts(chosen: ChosenSettings) -> dict[str, object]:
    return {**msgspec.to_builtins(chosen.spec.settings_choice), "image_ms": chosen.image_ms}


def _print_report(out: Path, report: BuildReport, choice: Choice, written: BankFile) -> None:
    bank = report.bank
    print(f"{out}: {bank.rows} x {bank.dims} from {report.patches} patches of {report.images} images")
    share = _judged_share(written)
    if share < 1:
        print(
            f"judged: {share:.1%} of each picture; what lies elsewhere is never looked at, and no figure "
            f"here knows of it. `inspectd bank show {out}` draws the mask"
        )
    print(f"threshold {report.threshold:.4f}, sha256 {report.sha256[:12]}")
    fit = f"fit {report.fit_s:.1f}, of which coreset {report.coreset_s:.1f}"
    print(f"seconds: features {report.extract_s:.1f}, then {fit}")
    if report.radius is not None:
        print(
            f"coreset: no patch of these images is farther than {report.radius:.4g} from one that is kept; "
            f"no choice of {bank.rows} gets below {report.radius / 2:.4g}"
        )
    if report.workers_lost:
        print(f"workers: {report.workers_lost} lost and made anew; the bank is the same")
    if report.left_out:
        print(f"other files, left out: {described(Counter(report.left_out))}")
    print_names("unusable, left out", [f"{name}: {why}" for name, why in report.unreadable.items()])
    print_names("same pixels as another, left out", report.duplicates)
    print_names("rare sizes", report.rare_sizes)
    print_quality(written.manifest)
    print_choice(choice)
    _print_parts(report, written)
    if report.outliers:
        print_names(_outliers(out, report), report.outliers)


def _print_parts(report: BuildReport, written: BankFile) -> None:
    print_named_parts(report)
    further = written.manifest.alike
    if isinstance(further, int):
        print(
            f"no rate is shown: {further} of the {report.images} images seem to show no further part, and "
            "images of one part vouch for each other, so the threshold is too low and far more good parts "
            "will be rejected. Keep one image of each part, or name the parts (--parts REGEX); --parts '.*' "
            "says that each image does show another part"
        )
    what = "images that look like several of one part: look whether each shows another part"
    print_names(what, [", ".join(Path(name).name for name in group) for group in report.alike])


def _judged_share(bank: BankFile) -> float:
    """The share of each picture that a bank judges, by its region of interest and its mask."""
    region, mask = bank.manifest.patch_options.region, bank.tensors.get("head.mask")
    share = 1.0 if region is None else region[2] * region[3]
    return share if mask is None else share * float((mask > 0).mean())


def _say_sizes(count: int) -> None:
    """Tell that a line would judge few frames of parts that are each cut out in a size of their own."""
    if count > _FEW_SIZES:
        print(
            f"the images have {count} sizes, and a line judges frames of these alone; for parts that are cut "
            "out one by one set any_size = true in the recipe"
        )


def _outliers(out: Path, report: BuildReport) -> str:
    if report.outliers_count:
        return "unlike the rest, counted in the threshold (--keep-outliers)"
    return (
        f"unlike the rest, set aside: with them the threshold would be {report.threshold_with_outliers:.4f}; "
        f"look at them (--review PAGE), then `inspectd bank accept {out} IMAGE` those that show good parts, "
        f"and `inspectd bank exclude {out} IMAGE --images DIR` those that show defects"
    )
