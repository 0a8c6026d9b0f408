"""`inspectd camera latency NAME`: measures the time from light to time stamp with a light the camera sees."""

from __future__ import annotations

import argparse
import json
import random
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import msgspec

from inspectd import config
from inspectd.capture.latency import (
    LEAST_FLASHES,
    BrightnessReader,
    Flash,
    LatencyEstimate,
    estimate_latency,
)
from inspectd.cli.bank_common import Steps
from inspectd.cli.plant_triggers import PlantTriggers
from inspectd.cli.stopped_line import stopped_line
from inspectd.errors import ExitCode, InputError

_COMMAND_SECONDS: Final = 5.0
_REFUSAL: Final = "a camera's latency is being measured, the line is stopped"
_FIRST_FRAMES: Final = 10
_SETTLE_SECONDS: Final = 1.0
"""A stream begins with queued frames; after this long its latency is steady."""

_UNKNOWN: Final = {
    "terminal": "The display's own delay (some 10 to 100 ms) counts as the camera's. That is safe for "
    "latency_ms, and not for latency_min_ms, which is therefore 0.",
    "command": "A light that comes on only after its command has ended makes both times longer. That is safe "
    "for latency_ms; for latency_min_ms use a faster light, or 0.",
    "triggers": "Times count from the trigger's arrival here, as on the line, so its delay from the photo "
    "eye is included. A network that is slower now than later makes latency_ms too small.",
}


class Switch(Protocol):
    """Puts the light on or out."""

    def __call__(self, *, on: bool) -> Flash:
        """Switch, and return when it happened."""


def main(arguments: argparse.Namespace) -> int:
    """Measure, and print the settings.

    Raises:
        InputError: an option, the configuration or the camera cannot be used.
        UnavailableError: the line is running, or the camera delivers no frames.
        LatencyError: the frames do not show when the light changed.
    """
    settings, camera = _settings(arguments)
    with ExitStack() as stack:
        runtime_dir = stack.enter_context(
            stopped_line(settings, arguments.config, needed=arguments.flash == "triggers")
        )
        reader = stack.enter_context(BrightnessReader(camera))
        reader.await_frames(_FIRST_FRAMES)
        time.sleep(_SETTLE_SECONDS)
        if arguments.flash == "triggers":
            flashes = _triggers(settings, runtime_dir, arguments, reader)
        elif arguments.flash == "terminal":
            flashes = _switched(stack.enter_context(_Screen(arguments.flashes)), arguments, reader)
        else:
            with Steps() as steps:
                flashes = _switched(_Commands(arguments, steps), arguments, reader)
        glances = reader.glances()
    estimate = estimate_latency(flashes, glances, is_pulse=arguments.flash == "triggers")
    if arguments.flash == "terminal":
        estimate = msgspec.structs.replace(estimate, latency_min_ms=0.0)
    _print(estimate, arguments)
    return ExitCode.OK


def _settings(arguments: argparse.Namespace) -> tuple[config.Config, config.Camera]:
    settings, camera = config.load_camera(arguments.config, arguments.name, unmeasured=True)
    if not camera.is_live:
        raise InputError(
            f"{camera.name}: is replayed from files, its latency is 0 and there is nothing to measure"
        )
    if (arguments.flash == "command") != (arguments.on is not None and arguments.off is not None):
        raise InputError("--flash command: expected --on COMMAND and --off COMMAND with it, and only with it")
    if arguments.flashes < LEAST_FLASHES:
        raise InputError(f"--flashes: got {arguments.flashes}, expected at least {LEAST_FLASHES}")
    if not 50 <= arguments.hold_ms <= 60_000:
        raise InputError(f"--hold-ms: got {arguments.hold_ms:g}, expected 50 to 60000")
    if arguments.flash == "terminal" and not sys.stderr.isatty():
        raise InputError(
            "--flash terminal: standard error is not a terminal; run it in one that the camera sees"
        )
    return settings, camera


def _switched(switch: Switch, arguments: argparse.Namespace, reader: BrightnessReader) -> list[Flash]:
    """Switch the light on and off at random times, so that it changes at any moment between two frames."""
    chance = random.Random()  # noqa: S311 - when a light is switched is no secret
    switch(on=False)
    time.sleep(2 * arguments.hold_ms / 1000)
    flashes = []
    for number in range(arguments.flashes):
        flashes.append(switch(on=number % 2 == 0))
        time.sleep(arguments.hold_ms / 1000 * chance.uniform(1, 1.5))
        reader.glances()  # raises where the camera has gone
    return flashes


class _Screen:
    """The terminal's whole screen, black and white."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._number = 0

    def __enter__(self) -> Switch:
        sys.stderr.write("\x1b[?1049h\x1b[?25l")
        return self._switch

    def __exit__(self, *_: object) -> None:
        sys.stderr.write("\x1b[0m\x1b[?25h\x1b[?1049l")
        sys.stderr.flush()

    def _switch(self, *, on: bool) -> Flash:
        colours = "\x1b[30;48;2;255;255;255m" if on else "\x1b[37;48;2;0;0;0m"
        before_ns = time.monotonic_ns()
        sys.stderr.write(
            f"{colours}\x1b[2J\x1b[Hpoint the camera at this screen: {self._number} of {self._count}"
        )
        sys.stderr.flush()
        self._number += 1
        return Flash(before_ns, time.monotonic_ns(), on)


class _Commands:
    """Two commands given by the user, such as gpioset for an LED; run without a shell."""

    def __init__(self, arguments: argparse.Namespace, steps: Steps) -> None:
        self._commands = {True: _words("--on", arguments.on), False: _words("--off", arguments.off)}
        self._steps = steps
        self._number = -1  # the first one puts the light out
        self._count = arguments.flashes

    def __call__(self, *, on: bool) -> Flash:
        name, words = "--on" if on else "--off", self._commands[on]
        before_ns = time.monotonic_ns()
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
            )
        except OSError as error:
            raise InputError(f"{name}: {words[0]} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"{name}: {words[0]} did not end within {_COMMAND_SECONDS:g} s; it has to switch and end "
                "(gpioset: --daemonize)"
            ) from error
        after_ns = time.monotonic_ns()
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:] or "no output"
            raise InputError(f"{name}: {words[0]} ended with {done.returncode}: {said!r}")
        self._number += 1
        self._steps("flashes", self._number, self._count)
        return Flash(before_ns, after_ns, on)


def _words(name: str, text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{name}: got {text!r}: {error}") from error
    if not words:
        raise InputError(f"{name}: is empty, expected a command")
    return words


def _triggers(
    settings: config.Config, runtime_dir: Path, arguments: argparse.Namespace, reader: BrightnessReader
) -> list[Flash]:
    """Receive the plant's triggers in place of the line; every part is refused, and so rejected."""
    flashes: list[Flash] = []
    with PlantTriggers(settings, runtime_dir, _REFUSAL) as triggers, Steps() as steps:
        while len(flashes) < arguments.flashes:
            steps("triggers", len(flashes), arguments.flashes)
            flashes += [
                Flash(trigger.came_ns, trigger.received_ns, on=True) for trigger in triggers.next(0.1)
            ]
            reader.glances()  # raises where the camera has gone
        steps("triggers", len(flashes), arguments.flashes)
        time.sleep(arguments.hold_ms / 1000)
    return flashes


def _print(estimate: LatencyEstimate, arguments: argparse.Namespace) -> None:
    unknown = _UNKNOWN[arguments.flash]
    if arguments.json:
        print(json.dumps({"camera": arguments.name, **msgspec.to_builtins(estimate), "unknown": unknown}))
        return
    e = estimate
    print(
        f"{arguments.name}: followed {e.seen} of {e.flashes} changes of light, by {e.contrast:g} grey levels"
    )
    print(f"  longest   {e.longest_ms:7.1f} ms from light to time stamp, at most")
    print(f"  shortest  {e.shortest_ms:7.1f} ms, at least")
    print(f"Set for camera {arguments.name} in {arguments.config}:")
    print(f"  latency_ms = {e.latency_ms:g}\n  latency_min_ms = {e.latency_min_ms:g}")
    print(
        f"Both include a margin of {e.margin_ms:g} ms, a quarter of the {e.spread_ms:g} ms by which the "
        f"{e.seen} flashes differ. A frame comes every {e.frame_interval_ms:g} ms and the light may have "
        "changed at any moment in between, so the longest time may be too long by that much. The light "
        f"took up to {e.switching_ms:g} ms to switch, and time stamps are in doubt by up to {e.doubt_ms:g} "
        "ms; both are included."
    )
    print(f"{unknown}\nMeasure again after a change of the camera, its rate, its exposure or its network.")
