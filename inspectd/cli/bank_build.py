"""`inspectd bank build`: from images of good parts to a bank file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from inspectd.bank.build import BuildReport, BuildSpec, build_from_frames, patch_bytes, plan
from inspectd.bank.collect import NamedFrame
from inspectd.bank.images import find_images, read_image, video_frames
from inspectd.bank.scorer import Scorer
from inspectd.cli.bank_common import (
    Steps,
    parse_coreset,
    parse_options,
    parse_region,
    parse_size,
    print_names,
)
from inspectd.errors import ExitCode, InputError
from inspectd.features.options import PatchOptions
from inspectd.text import json_line


def main(arguments: argparse.Namespace) -> int:
    """Build a bank and say what came of it."""
    spec = _spec(arguments)
    frames, total = _frames(arguments)
    if not arguments.json:
        print(plan(spec, total))
    with Steps() as steps:
        report = build_from_frames(frames, total, arguments.out, spec, steps)
    # The first load converts the bank for this machine's CPU and remembers it: the daemon then starts faster.
    Scorer.load(arguments.out, arguments.device)
    if arguments.json:
        print(json_line(report))
    else:
        _print_report(arguments.out, report)
    return ExitCode.OK


def _spec(arguments: argparse.Namespace) -> BuildSpec:
    height, width = parse_size(arguments.size)
    options = parse_options(arguments.option)
    if arguments.neighbours is not None:
        options["neighbours"] = arguments.neighbours
    spec = BuildSpec(
        detector=arguments.detector,
        options=options,
        patches=PatchOptions(grid=arguments.grid, region=parse_region(arguments.roi)),
        backbone=arguments.backbone,
        layers=tuple(arguments.layers.split(",")) if arguments.layers else None,
        weights=str(Path(arguments.weights).resolve()) if arguments.weights else None,
        height=height,
        width=width,
        coreset=parse_coreset(arguments.coreset),
        seed=arguments.seed,
        device=arguments.device,
        memory_gb=arguments.memory_gb,
        strict=arguments.strict,
        mask=arguments.mask,
        keep_outliers=arguments.keep_outliers,
    )
    if arguments.bank_mb is None:
        return spec
    rows = int(arguments.bank_mb * 1e6 / patch_bytes(spec))
    if rows < 1:
        raise InputError(f"--bank-mb: {arguments.bank_mb} MB hold no patch of {patch_bytes(spec)} bytes")
    return replace(spec, coreset=rows)


def _frames(arguments: argparse.Namespace) -> tuple[Iterable[NamedFrame], int]:
    """Images from the one source that was given, and the most there can be."""
    given = [name for name in ("images", "video", "camera") if getattr(arguments, name) is not None]
    if len(given) != 1:
        raise InputError(f"expected one of --images, --video and --camera, got {', '.join(given) or 'none'}")
    if arguments.images is not None:
        paths = find_images(arguments.images)
        return ((str(path), read_image(path)) for path in paths), len(paths)
    if arguments.count < 1:
        raise InputError(f"--count: got {arguments.count}, expected at least 1")
    if arguments.video is not None:
        return video_frames(arguments.video, arguments.count), arguments.count
    from inspectd.cli.bank_camera import camera_frames  # noqa: PLC0415 - brings the capture stage with it

    return camera_frames(arguments.config, arguments.camera, arguments.count), arguments.count


def _print_report(out: Path, report: BuildReport) -> None:
    bank = report.bank
    print(f"{out}: {bank.rows} x {bank.dims} from {report.patches} patches of {report.images} images")
    print(f"threshold {report.threshold:.4f}, sha256 {report.sha256[:12]}")
    steps = f"features {report.extract_s:.1f}, coreset {report.coreset_s:.1f}, whole fit {report.fit_s:.1f}"
    print(f"seconds: {steps}")
    print_names("unreadable, left out", report.unreadable)
    print_names("same pixels as another, left out", report.duplicates)
    print_names("sizes few images have", report.odd_sizes)
    if report.unlike_the_rest:
        print_names(_unlike_the_rest(report), report.unlike_the_rest)
    print(f"next: inspectd bank evaluate {out} --data DATA --report report.html")


def _unlike_the_rest(report: BuildReport) -> str:
    if report.outliers_count:
        return "unlike the rest, and the threshold rests on them too (--keep-outliers)"
    return (
        f"unlike the rest, set aside: with them the threshold would be {report.threshold_with_outliers:.4f}; "
        "look at them: take defects out and build again, or vouch for good ones with --keep-outliers"
    )
