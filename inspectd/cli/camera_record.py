"""`inspectd camera record`: pictures of a camera into the folders that a bank is built and tried from."""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inspectd import config
from inspectd.batching.triggering import make_matcher
from inspectd.capture.frame_feed import FedFrame, FrameFeed
from inspectd.cli.bank_common import Steps
from inspectd.cli.plant_triggers import PlantTriggers
from inspectd.cli.stopped_line import stopped_line
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.pictures.drawing import write_image
from inspectd.records import FrameRef, PendingView, Quality, Trigger
from inspectd.text import json_line

_MOST_IMAGES: Final = 100_000
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_GOOD: Final = "good"
_LOOK_SECONDS: Final = 0.02
_MOST_BAD_IN_TURN: Final = 100
"""Frames, or parts, without a picture to record; then a person should look at the camera first."""
_REFUSAL: Final = "a camera's pictures are being recorded, the line is stopped"


def main(arguments: argparse.Namespace) -> int:
    """Record, and say what was recorded and left out; 1 where there are fewer pictures than were asked for.

    Raises:
        InputError: an option, the configuration or the camera cannot be used.
        UnavailableError: the line is running, the camera does not deliver, or the disk takes no more.
    """
    settings, camera = config.load_camera(arguments.config, arguments.name)
    _refuse(arguments)
    folder = _folder(arguments)
    is_triggered = camera.mode == "triggered"
    recorded, left_out, problem = 0, Counter[str](), None
    now = datetime.now(UTC)
    began = f"{camera.name}-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z"
    with ExitStack() as stack:
        if camera.is_live or is_triggered:
            runtime_dir = stack.enter_context(stopped_line(settings, arguments.config, needed=is_triggered))
        feed = stack.enter_context(FrameFeed(camera))
        steps = stack.enter_context(Steps())
        if is_triggered:
            triggers = stack.enter_context(PlantTriggers(settings, runtime_dir, _REFUSAL))
            frames = _triggered(feed, triggers, camera, settings.triggers, left_out)
        else:
            frames = _free(feed, arguments.every, left_out)
        try:
            steps("pictures", 0, arguments.images)
            for fed in frames:
                _write(folder / f"{began}-{recorded + 1:06}.png", fed)
                recorded += 1
                steps("pictures", recorded, arguments.images)
                if recorded == arguments.images:
                    break
        except UnavailableError as error:
            problem = error
    left_out += feed.left_out
    reasons = {reason: count for reason, count in left_out.items() if count}
    if arguments.json:
        print(
            json_line(
                {"camera": camera.name, "folder": str(folder), "recorded": recorded, "left_out": reasons}
            )
        )
    else:
        print(f"{folder}: {recorded} of {arguments.images} pictures recorded")
        for reason, count in reasons.items():
            print(f"  left out: {count} {reason}")
    if problem is not None:
        raise problem
    return ExitCode.OK if recorded == arguments.images else ExitCode.FAILED


def _refuse(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.images <= _MOST_IMAGES:
        raise InputError(f"--images: got {arguments.images}, expected 1 to {_MOST_IMAGES}")
    if not 0 <= arguments.every <= 86_400:
        raise InputError(f"--every: got {arguments.every:g}, expected 0 to 86400 seconds")
    if not _LABEL.match(arguments.label):
        raise InputError(
            f"--label: got {arguments.label!r}, expected a folder name of at most 64 letters, digits, - and _"
        )


def _folder(arguments: argparse.Namespace) -> Path:
    """Where the pictures go, made if it is not there."""
    out: Path = arguments.out
    if arguments.empty:
        folder = out / "empty"
    else:
        folder = out / ("train" if arguments.label == _GOOD else "test") / arguments.label
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"--out: {folder} cannot be made: {error.strerror}") from error
    return folder


def _write(path: Path, fed: FedFrame) -> None:
    """Write a picture under a name that nothing has.

    Raises:
        UnavailableError: it cannot be written, or the name is taken.
    """
    if path.exists():
        raise UnavailableError(f"{path}: is there already, and nothing is overwritten; record again")
    write_image(path, fed.frame.pixels)


def _free(feed: FrameFeed, every_seconds: float, left_out: Counter[str]) -> Iterator[FedFrame]:
    """Whole frames, with some time between two; ends with a replay, or where hardly any frame is whole.

    Raises:
        UnavailableError: no frame comes.
    """
    due_ns, bad_in_turn, last_seconds = 0, 0, time.monotonic()
    while bad_in_turn < _MOST_BAD_IN_TURN:
        fed = feed.take(_LOOK_SECONDS)
        if fed is None and feed.has_ended:
            return
        if fed is None:
            if time.monotonic() - last_seconds > feed.stall_seconds:
                raise UnavailableError(
                    f"no frame came for {feed.stall_seconds:g} s; does the camera wait for a trigger?"
                )
            continue
        last_seconds = time.monotonic()
        if not _is_whole(fed, left_out):
            bad_in_turn += 1
        elif fed.read_ns >= due_ns:
            due_ns, bad_in_turn = fed.read_ns + int(every_seconds * 1e9), 0
            yield fed


def _triggered(
    feed: FrameFeed,
    plant: PlantTriggers,
    camera: config.Camera,
    settings: config.Triggers,
    left_out: Counter[str],
) -> Iterator[FedFrame]:
    """The frame of each trigger, by the line's own rule; ends where hardly any part has a whole one.

    Raises:
        UnavailableError: for a minute no trigger came.
    """
    matcher = make_matcher(settings, camera)
    held: dict[int, FedFrame] = {}
    views = frames = bad_in_turn = 0
    while bad_in_turn < _MOST_BAD_IN_TURN:
        while (fed := feed.take(0.0)) is not None:
            frames += 1
            held[frames] = fed
            matcher.add_frame(_referred(camera, frames, fed))
        for trigger in plant.next(_LOOK_SECONDS):
            views += 1
            matcher.expect(_view(camera, views, trigger, settings))
        settled = matcher.settle(time.monotonic_ns(), plant.known_ns)
        for unclaimed in settled.unclaimed:
            del held[unclaimed.seq]
        left_out["triggers without a frame that is certainly theirs"] += len(settled.missed)
        bad_in_turn += len(settled.missed)
        for _, frame in settled.matched:
            fed = held.pop(frame.seq)
            if _is_whole(fed, left_out):
                bad_in_turn = 0
                yield fed
            else:
                bad_in_turn += 1


def _referred(camera: config.Camera, number: int, fed: FedFrame) -> FrameRef:
    """A frame as the line's matchers take it."""
    frame, (height, width, *_) = fed.frame, fed.frame.pixels.shape
    return FrameRef(
        camera.name, 1, 0, number, frame.captured_ns, frame.captured_utc_ns, height, width,
        doubt_ns=frame.doubt_ns,
    )  # fmt: skip


def _view(camera: config.Camera, number: int, trigger: Trigger, settings: config.Triggers) -> PendingView:
    deadline_ns = trigger.received_ns + int(settings.window_ms * 1e6)
    return PendingView(number, camera.name, camera.recipe, trigger, deadline_ns)


def _is_whole(fed: FedFrame, left_out: Counter[str]) -> bool:
    """Whether the line would inspect it; if not, the reason is counted."""
    if fed.quality is not Quality.OK:
        left_out[f"{fed.quality}: the line would not judge it"] += 1
    return fed.quality is Quality.OK
