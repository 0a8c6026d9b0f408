"""How much memory a line will take, stated before it is started, and whether this machine has it."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from inspectd import config
from inspectd.cli.output import warn
from inspectd.errors import UnavailableError
from inspectd.ipc.ring import ring_bytes
from inspectd.text import printable

_MAIN_BYTES: Final = 70_000_000
_DOOR_BYTES: Final = 30_000_000
_EVIDENCE_BYTES: Final = 65_000_000
_PREVIEW_BYTES: Final = 65_000_000
_CAPTURE_BYTES: Final = {
    "images": 60_000_000,
    "opencv": 80_000_000,
    "genicam": 60_000_000,
    "pylon": 105_000_000,
}
_OTHER_CAPTURE_BYTES: Final = 80_000_000
"""What a process takes beside frames; somewhat more than was measured (docs/speed.md, memory of a line)."""
_FRAMES_IN_CAPTURE: Final = 4
"""Copies of a frame that a driver and its libraries hold while it is read, decoded and judged."""
_GENICAM_BUFFERS: Final = 16
_FRAMES_IN_EVIDENCE: Final = 8
"""Pieces that wait to be written, the one being written, and what encoding it takes."""
_MEMINFO: Final = Path("/proc/meminfo")
_OWN_GROUP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")


class MemoryStatement(msgspec.Struct, frozen=True):
    """Bytes of memory that a line takes while it runs."""

    ring_bytes: dict[str, int]
    """The frame slots of each camera, reserved when it is up."""
    capture_bytes: int
    """The capture processes, without rings."""
    scoring_bytes: int
    """All scoring processes; 0: not known."""
    other_bytes: int
    """The main process, doors, evidence, and previews while somebody looks."""

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return sum(self.ring_bytes.values()) + self.capture_bytes + self.scoring_bytes + self.other_bytes

    @property
    def most_bytes(self) -> int:
        """While a camera's process is replaced, which makes a second ring, and recipes change over."""
        return self.total_bytes + max(self.ring_bytes.values(), default=0) + self.scoring_bytes


class MemoryOfMachine(msgspec.Struct, frozen=True):
    """Bytes that this machine, or the control group that this command runs in, has."""

    all_bytes: int
    available_bytes: int
    limit_of: str
    """The control group whose limit counts; empty where it is the machine's own memory."""


def statement_of(
    cameras: Sequence[config.Camera], slot_bytes: Mapping[str, int], scoring_bytes: int
) -> MemoryStatement:
    """What a line takes that keeps evidence and is looked at.

    Args:
        cameras: of the line.
        slot_bytes: bytes of the largest frame of each camera that delivered one; the others are left out.
        scoring_bytes: what all scoring processes take; 0: not known.
    """
    sized = [(camera, slot_bytes[camera.name]) for camera in cameras if camera.name in slot_bytes]
    largest_bytes = max(slot_bytes.values(), default=0)
    return MemoryStatement(
        {camera.name: ring_bytes(camera.slots, size) for camera, size in sized},
        sum(_capture_bytes(camera, size) for camera, size in sized),
        scoring_bytes,
        _MAIN_BYTES
        + 2 * _DOOR_BYTES
        + _EVIDENCE_BYTES
        + _PREVIEW_BYTES
        + _FRAMES_IN_EVIDENCE * largest_bytes,
    )


def _capture_bytes(camera: config.Camera, frame_bytes: int) -> int:
    kind, frames = str(camera.__struct_config__.tag), _FRAMES_IN_CAPTURE
    if isinstance(camera, config.GenicamCamera):
        frames += _GENICAM_BUFFERS
        # Of a GenTL producer nobody knows what it takes.
        kind = "pylon" if camera.backend == "pylon" else kind
    return _CAPTURE_BYTES.get(kind, _OTHER_CAPTURE_BYTES) + frames * frame_bytes


def memory_of_machine() -> MemoryOfMachine:
    """What there is, by the kernel, and by the tightest control group above this process (cgroup v1 or v2).

    Raises:
        UnavailableError: the kernel does not say.
    """
    try:
        kilobytes = {
            name: int(rest.split()[0])
            for name, _, rest in (line.partition(":") for line in _MEMINFO.read_text().splitlines())
        }
        found = MemoryOfMachine(kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024, "")
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise UnavailableError(f"{_MEMINFO}: does not say how much memory there is ({error})") from error
    for folder, limit, used in _limits():
        if limit < found.all_bytes:
            left = min(found.available_bytes, limit - used)
            found = MemoryOfMachine(limit, max(0, left), str(folder))
    return found


def _limits(own: Path = _OWN_GROUP, groups: Path = _GROUPS) -> Iterator[tuple[Path, int, int]]:
    """Each control group above this process that limits memory, its limit and what it uses, bytes."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return  # a kernel without control groups limits nothing
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = groups, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, names = groups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = root / path.lstrip("/")
        for each in (folder, *(above for above in folder.parents if above.is_relative_to(root))):
            limit, used = _number(each / names[0]), _number(each / names[1])
            if limit is not None:
                yield each, limit, used or 0


def _number(file: Path) -> int | None:
    """The number in a file; None where there is no such file, or no limit in it."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def memory_lines(
    stated: MemoryStatement, cameras: Sequence[config.Camera], there: MemoryOfMachine
) -> Iterator[str]:
    """The statement for a person, the total first."""
    scoring = mb(stated.scoring_bytes) if stated.scoring_bytes else "not known"
    yield (
        f"memory: the line takes about {mb(stated.total_bytes)}, for a while up to {mb(stated.most_bytes)}; "
        f"here are {mb(there.all_bytes)}{f' (limit of {there.limit_of})' if there.limit_of else ''}, "
        f"{mb(there.available_bytes)} free"
    )
    yield (
        f"  frame slots {mb(sum(stated.ring_bytes.values()))}, capture processes {mb(stated.capture_bytes)}, "
        f"scoring {scoring}, all else {mb(stated.other_bytes)}"
    )
    for camera in cameras:
        if camera.name in stated.ring_bytes:
            yield f"  {camera.name}: {mb(stated.ring_bytes[camera.name])}, {camera.slots} slots"
        else:
            yield f"  {camera.name}: not in it, it delivered no frame"


def memory_problem(stated: MemoryStatement, there: MemoryOfMachine) -> str | None:
    """Why the line can never run here; None if it can."""
    if stated.total_bytes <= there.all_bytes:
        return None
    return (
        f"memory: the line takes about {mb(stated.total_bytes)}, and {there.limit_of or 'this machine'} has "
        f"{mb(there.all_bytes)}; give the cameras fewer slots (cameras[].slots) or smaller pictures"
    )


def memory_warning(stated: MemoryStatement, there: MemoryOfMachine) -> str | None:
    """Why the line may run out of memory here as things are now; None if nothing speaks for it."""
    if stated.most_bytes <= there.available_bytes:
        return None
    return (
        f"memory: the line takes up to {mb(stated.most_bytes)}, and {mb(there.available_bytes)} are free now "
        "(if the line itself is not running): it may be ended by the kernel"
    )


def memory_problems(
    cameras: Sequence[config.Camera], slot_bytes: Mapping[str, int], scoring_bytes: int
) -> Iterator[str]:
    """Print what the line takes, with a warning where less is free now; more than there is is a problem.

    Args:
        cameras: of the line.
        slot_bytes: see `statement_of`.
        scoring_bytes: the same.
    """
    if not slot_bytes:
        return
    try:
        there = memory_of_machine()
    except UnavailableError as error:
        warn(str(error))
        return
    stated = statement_of(cameras, slot_bytes, scoring_bytes)
    for line in memory_lines(stated, cameras, there):
        print(printable(line))
    problem, warning = memory_problem(stated, there), memory_warning(stated, there)
    if problem is not None:
        yield problem
    elif warning is not None:
        warn(warning)


def own_peak_bytes() -> int:
    """Most memory that this process had so far, as the kernel counts it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mb(size: int) -> str:
    """Bytes for a person."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
