"""`inspectd camera list`: cameras of this machine, of its networks and of a line, and how each was asked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inspectd import config
from inspectd.capture.genicam.discovery import InterfaceAsked, ask_interface, interfaces
from inspectd.capture.genicam.found import ListedCamera
from inspectd.capture.genicam.gentl.discovery import ProducerAsked, ask_producer
from inspectd.capture.genicam.pylon.discovery import PylonAsked, ask_pylon
from inspectd.capture.v4l2 import VideoDevice, video_devices
from inspectd.cli.line_sockets import socket_of
from inspectd.client import ask_status
from inspectd.errors import ExitCode, InspectdError
from inspectd.text import json_line, printable

_ANSWER_SECONDS = 2.0


class ConfiguredCamera(msgspec.Struct, frozen=True):
    """A camera of a configuration, and how it is."""

    name: str
    kind: str
    source: str
    """As it may be shown to anybody."""
    state: str
    """As the running line says; empty: no line answers."""


class CamerasFound(msgspec.Struct, frozen=True):
    """All that one command shows."""

    devices: list[VideoDevice]
    networks: list[InterfaceAsked]
    """None was asked with --no-broadcast."""
    producers: list[ProducerAsked]
    """Those that were named with --cti."""
    pylon: PylonAsked | None
    """What Basler's pylon sees; None: it was not asked, as without --pylon."""
    configured: list[ConfiguredCamera]
    line: str
    """Why the states are not known; empty where the line answers, or no configuration was given."""


def main(arguments: argparse.Namespace) -> int:
    """Look for cameras, and print them.

    Raises:
        ConfigError: the configuration has problems.
        CameraError: a producer cannot be opened, or pylon is not installed.
    """
    settings = config.load(arguments.config, unmeasured=True) if arguments.config else None
    asked = [] if arguments.no_broadcast else [ask_interface(name) for name in interfaces()]
    states, why = _states(arguments.config) if settings else ({}, "")
    found = CamerasFound(
        devices=video_devices(),
        networks=asked,
        producers=[ask_producer(cti) for cti in arguments.cti],
        pylon=ask_pylon(broadcast=not arguments.no_broadcast) if arguments.pylon else None,
        configured=[
            ConfiguredCamera(
                camera.name,
                str(camera.__struct_config__.tag),
                config.masked(getattr(camera, camera.source_key)),
                states.get(camera.name, ""),
            )
            for camera in (settings.cameras if settings else ())
        ],
        line=why,
    )
    if arguments.json:
        print(json_line(found))
    else:
        for line in _lines(found, has_config=settings is not None):
            print(printable(line))  # what a camera says of itself may hold a line break
    return ExitCode.OK


def _states(file: Path) -> tuple[dict[str, str], str]:
    """State of each camera by the running line, or why nobody says it."""
    try:
        status = ask_status(socket_of(file, "sync"), None, _ANSWER_SECONDS)
    except InspectdError as error:
        return {}, str(error)
    return {camera.camera: camera.phase for camera in status.cameras}, ""


def _lines(found: CamerasFound, *, has_config: bool) -> Iterator[str]:
    yield "Devices of this machine (V4L2):"
    yield from _device_lines(found.devices)
    yield ""
    if found.networks:
        yield "GigE Vision cameras (asked by a broadcast, UDP port 3956, through each interface):"
        for asked in found.networks:
            yield from _network_lines(asked)
    else:
        yield "GigE Vision cameras: not looked for (--no-broadcast)"
    for producer in found.producers:
        by = f"the GenTL producer {producer.cti} ({producer.producer})"
        yield from _library_lines(by, producer.found, producer.problems)
    if found.pylon is not None:
        yield from _library_lines(f"Basler's {found.pylon.pylon}", found.pylon.found, found.pylon.problems)
    if not has_config:
        return
    yield ""
    yield f"Cameras of the configuration{f' ({found.line})' if found.line else ''}:"
    for camera in found.configured:
        yield f"  {camera.name}: {camera.kind} {camera.source}  {camera.state or 'state unknown'}"


def _device_lines(devices: list[VideoDevice]) -> Iterator[str]:
    if not devices:
        yield "  none"
    for device in devices:
        if device.problem:
            yield f"  {device.path}: {device.problem}"
            continue
        yield f"  {device.stable_path or device.path}: {device.name} ({device.path}, driver {device.driver})"
        for offered in device.formats:
            yield f"    {offered.fourcc}  {offered.name}  {' '.join(offered.sizes)}"


def _network_lines(asked: InterfaceAsked) -> Iterator[str]:
    said = asked.problem or ("no camera" if not asked.found else f"{len(asked.found)} answered")
    yield f"  {asked.interface} (MTU {asked.mtu_bytes}): {said}"
    for answer in asked.found:
        reach = "" if answer.is_reachable else "; answers broadcasts only: not in this machine's network"
        yield f"    {answer.camera}{reach}"


def _library_lines(by: str, cameras: list[ListedCamera], problems: list[str]) -> Iterator[str]:
    yield ""
    yield f"Cameras by {by}:"
    for camera in cameras:
        yield f"  {camera.described}"
    yield from (f"  {problem}" for problem in problems)
    if not cameras:
        yield "  none"
