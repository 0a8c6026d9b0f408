"""`inspectd camera probe`: opens a camera as the line would, and says what it delivers."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec

from inspectd import config
from inspectd.capture.frame_feed import SIZE_CHANGED
from inspectd.capture.probe import ProbeResult, probe
from inspectd.cli.stopped_line import stopped_line
from inspectd.errors import ExitCode, InputError
from inspectd.files import is_file, is_folder
from inspectd.text import json_line, printable

_MOST_SECONDS: Final = 3600.0
_MOST_URL: Final = 4096
_GENICAM: Final = re.compile(r"(serial|mac|ip|name|id):")
_MAY_HOLD_A_SECRET: Final = re.compile(r"[@?&=]")
_STDIN: Final = "-"
_LEAST_GOOD_SHARE: Final = 0.5


def main(arguments: argparse.Namespace) -> int:
    """Read the camera for a while and print what came; 1 where the line would judge hardly any frame.

    Raises:
        InputError: an option, the configuration or the camera cannot be used.
        UnavailableError: the line is running, or the camera does not deliver.
    """
    if not 0 < arguments.seconds <= _MOST_SECONDS:
        raise InputError(f"--seconds: got {arguments.seconds:g}, expected above 0, at most {_MOST_SECONDS:g}")
    reached = _reached(arguments.cti, pylon=arguments.pylon)
    if reached and arguments.config is not None:
        raise InputError(
            "--cti, --pylon: are for a camera without --config; a configuration has the settings backend and "
            "cti"
        )
    with ExitStack() as stack:
        if arguments.config is None:
            camera = _unconfigured(arguments.camera, reached)
        else:
            settings, camera = config.load_camera(arguments.config, arguments.camera, unmeasured=True)
            if camera.is_live:
                stack.enter_context(stopped_line(settings, arguments.config, needed=False))
        found = probe(camera, arguments.seconds)
    shown = config.masked(getattr(camera, camera.source_key))
    if arguments.json:
        builtins = msgspec.to_builtins(found)
        print(json_line({"camera": camera.name, camera.source_key: shown, **builtins}))
    else:
        for line in _lines(found, camera, shown):
            print(printable(line))  # what a camera says of itself may hold a line break
    good, frames = found.qualities.get("ok", 0), found.frames + found.left_out.get(SIZE_CHANGED, 0)
    return ExitCode.OK if frames and good >= _LEAST_GOOD_SHARE * frames else ExitCode.FAILED


def _reached(cti: str | None, *, pylon: bool) -> dict[str, str]:
    """The settings by which a GenICam camera is to be reached.

    Raises:
        InputError: they are two ways at once.
    """
    if pylon:
        if cti is not None:
            raise InputError("--pylon: got --cti too, expected one of them")
        return {"backend": "pylon"}
    return {} if cti is None else {"backend": "gentl", "cti": cti}


def _unconfigured(text: str, reached: dict[str, str]) -> config.Camera:
    """The camera that a command line names, and what is to reach it.

    Raises:
        InputError: it can hold a password, or is no camera's name.
    """
    if text == _STDIN:
        text = sys.stdin.readline(_MOST_URL).strip()
        if not text:
            raise InputError("-: standard input is empty, expected a URL in one line")
    elif "://" in text and _MAY_HOLD_A_SECRET.search(text):
        raise InputError(
            f"{config.masked(text)}: may hold a password, and every user of this machine can read a command "
            "line; give - and the URL on standard input, or a camera of a configuration (--config FILE)"
        )
    common = {"name": "probe", "recipe": "none"}
    if _GENICAM.match(text):
        return _made({**common, "kind": "genicam", "device": text, **reached})
    if reached:
        raise InputError(
            f"--cti, --pylon: got {config.masked(text)} as the camera, expected serial:..., name:... or "
            "id:..."
        )
    if "://" not in text and is_folder(Path(text)):
        return _made({**common, "kind": "images", "folder": text})
    if "://" not in text and not config.is_device(text) and not is_file(Path(text)):
        raise InputError(
            f"{config.masked(text)}: is neither a URL, a device, a file nor a folder here; a camera of a "
            "configuration takes --config FILE"
        )
    return _made({**common, "kind": "opencv", "source": text})


def _made(table: dict[str, str]) -> config.Camera:
    try:
        camera: config.Camera = msgspec.convert(table, config.Camera)
    except msgspec.ValidationError as error:
        # Its text names the setting and what was expected of it, never the value.
        raise InputError(f"camera: {error}") from error
    return camera


def _lines(found: ProbeResult, camera: config.Camera, shown: str) -> Iterator[str]:
    yield f"{camera.name} ({shown}): opened in {found.opened_ms:.0f} ms, read for {found.seconds:.1f} s"
    for name, value in found.facts.items():
        yield f"  {name:<24} {value}"
    if not found.frames:
        yield _why_none(camera)
        return
    per_second = f"{found.frames_per_second:.2f} a second" if found.frames_per_second else "one only"
    yield f"  frames                   {found.frames}, {per_second}{', then it ended' * found.has_ended}"
    if found.interval_ms is not None:
        yield (
            f"  between two              {found.interval_ms:.1f} ms, {found.shortest_interval_ms:.1f} to "
            f"{found.longest_interval_ms:.1f} ms"
        )
    yield f"  size                     {', '.join(found.sizes)}; {found.bit_depth} bits a channel"
    if found.age_ms is None:
        yield "  time                     not known of any frame"
    else:
        yield (
            f"  age when read            {found.age_ms:.1f} ms, at most {found.longest_age_ms:.1f} ms, "
            f"in doubt by {found.doubt_ms:.1f} ms; without the camera's own latency"
        )
    yield f"  cost of a frame          {found.cpu_ms:.1f} ms of a core (receive, decode, judge)"
    judged = ", ".join(f"{count} {quality}" for quality, count in sorted(found.qualities.items()))
    yield f"  the line would see       {judged}"
    for reason, count in found.left_out.items():
        yield f"  left out                 {count} {reason}"
    for remark in found.remarks:
        yield f"  remark                   {remark}"


def _why_none(camera: config.Camera) -> str:
    source = getattr(camera, "trigger_source", None)
    if source is not None:
        return f"  no frame came: it waits for a signal at its input {source} (trigger_source)"
    return "  no frame came: is it running, and not waiting for a trigger?"
