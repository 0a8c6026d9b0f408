"""`inspectd camera preview`: one picture of what becomes of a camera's frame before it is scored."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.bank.file import BankFile, read_bank
from inspectd.capture.driver import Frame
from inspectd.capture.frame_feed import FedFrame, FrameFeed
from inspectd.capture.geometry.picture import read_geometry
from inspectd.capture.presence import read_empty_belt
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.cli.output import warn
from inspectd.cli.recipe_common import LineState
from inspectd.cli.stopped_line import stopped_line
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.model.resize import resized
from inspectd.pictures.channels import as_bgr
from inspectd.pictures.drawing import write_image
from inspectd.pictures.panels import Box, Panel, page_of, shaded, with_boxes
from inspectd.pictures.region import pixels_of
from inspectd.recipes.stored import RecipeRecords
from inspectd.records import FrameRegion, Quality
from inspectd.text import few, json_line, printable
from inspectd.wire import place_of

_TIMES: Final = 7
"""Each step is done so often; the median counts."""


class _Judging(NamedTuple):
    """What judges the camera's frames, or a region of them: a recipe's name, and its bank."""

    recipe: str
    bank: BankFile
    region: FrameRegion | None
    any_size: bool

    def seen(self, frame: Frame) -> NDArray[np.uint8]:
        """What is judged of a frame, `(H, W, C) uint8`."""
        part, pixels = self.region, frame.pixels
        if part is None:
            return pixels
        height, width = pixels.shape[:2]
        if part.left + part.width > width or part.top + part.height > height:
            raise InputError(f"region {part.name}: {part} lies beyond the frame of {_size(pixels.shape)}")
        return pixels[part.top : part.top + part.height, part.left : part.left + part.width]


class PreviewFacts(msgspec.Struct, frozen=True):
    """Sizes at each step, `WIDTHxHEIGHT` in pixels, and the time of each."""

    camera: str
    picture: str
    camera_gives: str
    line_sees: str
    recipe: str
    bank_sha256: str
    bank_images: list[str]
    region: str
    network_input: str
    judged_share: float
    """Of the region's patches."""
    differs_from_empty_belt: float | None
    """Above 1 the frame is inspected; None: the camera has no pictures of the empty belt."""
    steps_ms: dict[str, float]


def main(arguments: argparse.Namespace) -> int:
    """Read a frame as the line would, and write the picture.

    Raises:
        InputError: an option, the configuration, the bank or a file of the camera cannot be used.
        UnavailableError: the line is running, or the camera gives no frame that would be judged.
    """
    if not 1 <= arguments.seconds <= 3600:
        raise InputError(f"--seconds: got {arguments.seconds:g}, expected 1 to 3600")
    settings, camera = config.load_camera(arguments.config, arguments.name.partition("/")[0])
    judging = _judging(arguments, camera)
    with stopped_line(settings, arguments.config, needed=False) if camera.is_live else nullcontext():
        fed = _frame(camera, arguments.seconds)
    frame = fed.frame
    facts = _facts(arguments, camera, judging, frame, fed.read_ms)
    lines = _lines(camera, facts, any_size=judging.any_size)
    write_image(arguments.out, page_of(_panels(judging, frame), lines))
    if arguments.json:
        print(json_line(facts))
    else:
        print("\n".join([*map(printable, lines), f"picture: {arguments.out}"]))
    return ExitCode.OK


def _judging(arguments: argparse.Namespace, camera: config.Camera) -> _Judging:
    """The recipe in force; that of the file where the line's state cannot be read."""
    line, place = config.load(arguments.config), arguments.name
    if place not in camera.places:
        raise InputError(
            f"NAME: got {place!r}, expected what is judged by itself: {', '.join(camera.places)}"
        )
    name = camera.places[place]
    recipe = next(recipe for recipe in line.recipes if recipe.name == name)
    try:
        state = LineState(arguments.config)
        force = RecipeRecords(state.settings, state.audit.parent).in_force()
        if not force.is_file:
            key = force.places[place]
            name = f"{force.name}, in force"
            recipe = next(recipe for recipe in force.recipes if recipe.name == key)
    except InspectdError as error:
        warn(f"the file's recipe is shown, the one in force is not known: {error}")
    regions = (region.of_frame for region in camera.regions)
    region = next((each for each in regions if place_of(camera.name, each.name) == place), None)
    return _Judging(name, read_bank(Path(recipe.bank)), region, recipe.any_size)


def _frame(camera: config.Camera, seconds: float) -> FedFrame:
    """The first frame that the line would judge.

    Raises:
        UnavailableError: none comes in time.
    """
    end, came, last = time.monotonic() + seconds, 0, ""
    with FrameFeed(camera) as feed:
        while (fed := feed.take(end - time.monotonic())) is not None:
            if fed.quality is Quality.OK:
                return fed
            came, last = came + 1, f": the last one is {fed.quality}"
            if time.monotonic() > end:
                break
        unread = ", ".join(f"{count} {why}" for why, count in feed.left_out.items() if count)
    why = last or (f": {unread}" if unread else "; does it wait for a trigger?")
    raise UnavailableError(
        f"{camera.name}: {came} frames came within {seconds:g} s, and none that the line would judge{why}"
    )


def _facts(
    arguments: argparse.Namespace, camera: config.Camera, judging: _Judging, frame: Frame, read_ms: float
) -> PreviewFacts:
    manifest, pixels = judging.bank.manifest, judging.seen(frame)
    region, mask = manifest.patch_options.region, judging.bank.tensors.get("head.mask")
    rows, columns = pixels_of(region, *pixels.shape[:2])
    belt = read_empty_belt(camera)
    steps: dict[str, Callable[[], object]] = {"digest": lambda: frame_digest(frame.pixels).digest()}
    steps["gate"] = lambda: FrameGate(camera.quality).judge(frame, b"")
    if belt is not None:
        steps["empty belt"] = lambda: belt.difference(frame.pixels)
    steps["crop and resize"] = lambda: resized(pixels, manifest.input_height, manifest.input_width, region)
    steps_ms = {"read": read_ms}
    if frame.as_given is not None:
        geometry = read_geometry(camera.geometry)
        steps_ms["geometry"] = _milliseconds(lambda: geometry.apply(frame.raw))
        steps_ms["read"] = max(0.0, read_ms - steps_ms["geometry"])  # it is done while a frame is read
    steps_ms |= {name: _milliseconds(step) for name, step in steps.items()}
    return PreviewFacts(
        camera=arguments.name,
        picture=str(arguments.out),
        camera_gives=_size(frame.raw.shape),
        line_sees=_size(pixels.shape),
        recipe=judging.recipe,
        bank_sha256=judging.bank.sha256,
        bank_images=[_size(size) for size in manifest.image_sizes],
        region=f"{_size(pixels[rows, columns].shape)} at {columns.start},{rows.start}",
        network_input=_size((manifest.input_height, manifest.input_width)),
        judged_share=1.0 if mask is None else round(float((mask > 0).mean()), 3),
        differs_from_empty_belt=None if belt is None else round(belt.difference(frame.pixels), 2),
        steps_ms={name: round(ms, 2) for name, ms in steps_ms.items()},
    )


def _lines(camera: config.Camera, facts: PreviewFacts, *, any_size: bool) -> list[str]:
    """What the picture shows, in words."""
    geometry, difference = camera.geometry, facts.differs_from_empty_belt
    done = [] if geometry.calibration is None else ["straightened"]
    done += [f"turned {geometry.rotate} degrees"] if geometry.rotate else []
    done += [f"mirrored: {geometry.flip}"] if geometry.flip != "none" else []
    how = ", ".join(done) or "as it is"
    fits = "the bank's images have this size"
    if facts.bank_images and facts.line_sees not in facts.bank_images:
        sizes = few(facts.bank_images, "size")
        fits = f"THE BANK'S IMAGES ARE {sizes}, and none of this size is judged"
        if any_size:
            fits = f"the bank's images are {sizes}; with any_size = true this size is judged too"
    present = "no pictures of the empty belt are set: every frame is inspected"
    if difference is not None:
        verdict = "inspected" if difference > 1 else "taken for the empty belt"
        present = f"differs {difference:g} from the empty belt, {verdict}: above 1 a frame is inspected"
    sizes = f"the camera gives {facts.camera_gives}, the line sees {facts.line_sees} ({how})"
    judged = f"network input {facts.network_input}, {facts.judged_share:.0%} judged, the violet part not"
    return [
        f"{facts.camera}: {sizes}; {fits}",
        f"recipe {facts.recipe}: region {facts.region}, {judged}",
        present,
        "milliseconds: " + ", ".join(f"{name} {ms:.2f}" for name, ms in facts.steps_ms.items()),
    ]


def _panels(judging: _Judging, frame: Frame) -> list[Panel]:
    manifest, pixels = judging.bank.manifest, as_bgr(judging.seen(frame))
    region, mask = manifest.patch_options.region, judging.bank.tensors.get("head.mask")
    rows, columns = pixels_of(region, *pixels.shape[:2])
    seen = with_boxes(pixels, [])
    network = resized(pixels, manifest.input_height, manifest.input_width, region)
    if mask is not None:
        seen[rows, columns] = shaded(seen[rows, columns], mask > 0)
        network = shaded(network, mask > 0)
    box = Box(judging.recipe, (columns.start, rows.start, columns.stop, rows.stop))
    panels = [] if frame.as_given is None else [Panel(f"camera: {_size(frame.raw.shape)}", as_bgr(frame.raw))]
    if judging.region is not None:
        part = judging.region
        corners = (part.left, part.top, part.left + part.width, part.top + part.height)
        whole = with_boxes(as_bgr(frame.pixels), [Box(part.name, corners)])
        panels.append(Panel(f"frame: {_size(frame.pixels.shape)}, region {part.name}", whole))
    return [
        *panels,
        Panel(f"line: {_size(pixels.shape)}, region", with_boxes(seen, [box])),
        Panel(f"network input: {manifest.input_width}x{manifest.input_height}", network),
    ]


def _milliseconds(step: Callable[[], object]) -> float:
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e3


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
