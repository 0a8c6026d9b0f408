"""A camera whose pictures come late, cut, or again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import cv2
from faults import line
from faults.fault import Context, Outcome
from faults.live import FPS, Cutting, LiveCamera, MjpegCamera, Repeating
from faults.parts import PartSource
from faults.rig import BRISK, Pace, Rig
from faults.starve import LATENCY_MS, MAIN_MIB
from faults.trial import Trial, show_pictures
from faults.ts_camera import TsCamera
from support.relay import Relay

from inspectd.config import OpenCvCamera
from inspectd.errors import ExitCode

_LATENCIES_MS: Final = (300, 0, 150, 75)
_UNTOLD_PARTS: Final = 20
_CUT_SHARE: Final = 0.5
_FILES: Final = 40
_FILES_FPS: Final = 10
_LOSS: Final = 0.02
_HELD_SECONDS: Final = (0.02, 3.0)
_RESTS: Final = (0.1, 0.8)  # of the time between two pictures
_REPEATED_SECONDS: Final = (0.1, 1.5)
_FRESH_SECONDS: Final = (0.1, 0.8)


def run_latency(context: Context) -> Outcome:
    """Latencies up to 300 ms, each configured; and each not configured, which the line must refuse."""
    outcome = Outcome()
    latencies = _LATENCIES_MS[: max(1, min(len(_LATENCIES_MS), context.count // 20))]
    for number, latency_ms in enumerate(latencies):
        parts = context.count // len(latencies) + (number < context.count % len(latencies))
        _judge(context, outcome, latency_ms, parts)
        _start_untold(context, outcome, latency_ms)
    outcome.figures["latencies told"] = ", ".join(f"{latency_ms} ms" for latency_ms in latencies)
    return outcome


def run_cut(context: Context) -> Outcome:
    """Half of the pictures arrive cut, through the network and in a folder of JPEG files."""
    cutting = Cutting(context.random, 0.0)
    files = _cut_files(context.folder / "cut", Cutting(context.random, 1.0))

    def disturb(trial: Trial) -> None:
        cutting.share = _CUT_SHARE
        while trial.lasts:
            trial.wait(1.0)

    folder = line.camera("files", files, fps=_FILES_FPS)
    camera = MjpegCamera(context.random.randrange(10**6), way=cutting)
    outcome = _watch(context, camera, disturb, more_cameras=folder)
    outcome.figures["pictures cut"] = f"{cutting.cut:,} of the live camera's, {_FILES // 2} of {_FILES} files"
    return outcome


def run_repeated(context: Context) -> Outcome:
    """The driver's last four buffers come round and round, or the picture freezes, and it goes on again."""
    repeating = Repeating()

    def disturb(trial: Trial) -> None:
        while trial.lasts:
            repeating.begin(frozen=context.random.random() < 0.5)
            trial.wait(context.random.uniform(*_REPEATED_SECONDS))
            repeating.end()
            trial.wait(context.random.uniform(*_FRESH_SECONDS))

    outcome = _watch(context, MjpegCamera(context.random.randrange(10**6), way=repeating), disturb)
    outcome.figures["pictures repeated"] = f"{repeating.repeated:,}"
    return outcome


def run_lost(context: Context) -> Outcome:
    """Packets of a video stream are lost; decoders fill the holes with what was there before."""
    camera = TsCamera(context.random.randrange(10**6))

    def disturb(trial: Trial) -> None:
        camera.loss = _LOSS
        while trial.lasts:
            trial.wait(1.0)

    outcome = _watch(context, camera, disturb, later_ms=camera.LATER_MS)
    outcome.figures["packets lost"] = f"{camera.lost:,} of {camera.sent:,}"
    return outcome


def run_held(context: Context) -> Outcome:
    """The network holds back what the camera sends, as it does for a lost packet or a link that is down.

    Then it hands on what it kept at once, or with rests, as a proxy on a busy host does.
    """
    camera = MjpegCamera(context.random.randrange(10**6))
    shortest, longest = _HELD_SECONDS
    held: list[float] = []
    with Relay(urlsplit(camera.url).port or 0) as relay:
        camera.url = f"http://127.0.0.1:{relay.port}/video.mjpg"

        def disturb(trial: Trial) -> None:
            while trial.lasts:
                held.append(shortest * (longest / shortest) ** context.random.random())
                relay.rest_seconds = context.random.choice((0.0, context.random.uniform(*_RESTS) / FPS))
                relay.held.set()
                trial.wait(held[-1])
                relay.held.clear()
                trial.wait(context.random.uniform(*_FRESH_SECONDS))

        outcome = _watch(context, camera, disturb)
    outcome.figures["held back"] = f"{len(held):,} times, {sum(held):.0f} s in all"
    return outcome


def _watch(
    context: Context,
    camera: LiveCamera,
    disturb: Callable[[Trial], None],
    *,
    more_cameras: str = "",
    later_ms: int = 0,
) -> Outcome:
    """A line that sees its parts by a live camera, and is disturbed until its last part.

    Args:
        context: of the fault.
        camera: not yet entered.
        disturb: returns when no part is left.
        more_cameras: further camera tables.
        later_ms: how much later than a motion JPEG camera's its pictures may come.
    """
    outcome = Outcome()
    with camera:
        rig = Rig(
            context.folder / "line",
            context.bank,
            context.random.randrange(10**6),
            more_cameras=more_cameras,
            pace=_pace(later_ms),
            live={"top": (camera, f"latency_ms = {LATENCY_MS + later_ms}\n")},
            good_share=0.5,
            limit=context.count,
        )
        with rig, Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial:
            disturb(trial)
            show_pictures(outcome, trial.finish(), camera.exposed_ns)
    return outcome


def _judge(context: Context, outcome: Outcome, latency_ms: int, parts: int) -> None:
    """Parts by a camera of that latency, on a line that is configured for it."""
    seed = context.random.randrange(10**6)
    with MjpegCamera(seed, latency_seconds=latency_ms / 1000) as camera:
        rig = Rig(
            context.folder / f"told-{latency_ms}",
            context.bank,
            seed,
            pace=_pace(latency_ms),
            live={"top": (camera, _told(latency_ms))},
            good_share=0.5,
            limit=parts,
        )
        with rig, Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial:
            show_pictures(outcome, trial.finish(), camera.exposed_ns)


def _start_untold(context: Context, outcome: Outcome, latency_ms: int) -> None:
    """Without the latency configured, the line has to refuse; if it starts, its verdicts are counted."""
    seed = context.random.randrange(10**6)
    judged = Outcome()
    refused = False
    with MjpegCamera(seed, latency_seconds=latency_ms / 1000) as camera:
        rig = Rig(
            context.folder / f"untold-{latency_ms}",
            context.bank,
            seed,
            pace=_pace(latency_ms),
            live={"top": (camera, "")},
            good_share=0.5,
            limit=_UNTOLD_PARTS,
        )
        unseen = dataclasses.replace(context, advance=lambda: None)
        try:
            with rig, Trial(unseen, judged, rig, main_mib=MAIN_MIB) as trial:
                trial.finish()
        except RuntimeError:
            refused = rig.line.ended() == ExitCode.BAD_INPUT
            if not refused:
                raise
    outcome.totals["untold"] += 1
    outcome.totals["refused untold"] += refused
    outcome.totals["bad passed untold"] += judged.totals["bad passed"]
    outcome.require(refused, f"the line started though nobody told it of a latency of {latency_ms} ms")
    outcome.figures["latency not told"] = (
        f"{outcome.totals['refused untold']} of {outcome.totals['untold']} lines refused to start, "
        f"{outcome.totals['bad passed untold']} bad parts passed the others"
    )


def _pace(latency_ms: int) -> Pace:
    """Frames have to be there by the end of the window, so that is as much longer as they are late."""
    return Pace(
        BRISK.pitch_seconds,
        BRISK.window_ms + latency_ms,
        BRISK.answer_seconds,
        BRISK.deadline_ms + latency_ms,
    )


def _told(latency_ms: int) -> str:
    told = f"latency_ms = {latency_ms + LATENCY_MS}\n"
    if "latency_min_ms" in OpenCvCamera.__struct_fields__:
        told += f"latency_min_ms = {latency_ms}\n"
    return told


def _cut_files(folder: Path, cutting: Cutting) -> Path:
    """JPEG files, every other one cut; a cut one's name begins with `bad-`, whatever it shows."""
    folder.mkdir(parents=True)
    source = PartSource(2)
    for number in range(_FILES):
        jpeg = cv2.imencode(".jpg", source.next(good=True).pixels)[1].tobytes()
        cut = cutting(jpeg)
        name = f"bad-{number:02}.jpg" if number % 2 else f"good-{number:02}.jpg"
        (folder / name).write_bytes(cut if number % 2 else jpeg)
    return folder
