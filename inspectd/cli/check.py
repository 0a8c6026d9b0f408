"""`inspectd check FILE`: reports every problem of a configuration, and tries its banks, cameras and ports."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from inspectd import config
from inspectd.alarms import unlike
from inspectd.batching.judge import is_like_the_banks
from inspectd.cli.check_disk import disk_of, disk_warnings
from inspectd.cli.check_golden import impossible_checks, unproven
from inspectd.cli.check_memory import memory_problems, own_peak_bytes
from inspectd.cli.line_folders import credential_place, runtime_place, state_place
from inspectd.cli.output import say_step, warn
from inspectd.cli.recipe_common import LineState
from inspectd.endpoint import metrics_access
from inspectd.errors import ConfigError, InputError, InspectdError, UnavailableError
from inspectd.evidence.store import owner_of
from inspectd.files import is_there
from inspectd.key_files import KeyPair, read_pair
from inspectd.publish.access.keys import SERVER_PUBLIC, SERVER_SECRET, read_allowed, read_server_pair
from inspectd.publish.journal.file import MARK_NAME, refuse_other_line
from inspectd.publish.journal.file import NAME as JOURNAL
from inspectd.publish.journal.sqlite import refuse_later_version
from inspectd.recipes.stored import RecipeRecords
from inspectd.records import BankInForce, FrameRef
from inspectd.scoring.pool import process_names
from inspectd.text import cannot_listen, counted, printable
from inspectd.wire.sockets import TCP_SETTINGS

if TYPE_CHECKING:
    from inspectd.capture.driver import Frame


_IF_CUT_OUT: Final = " (parts cut out one by one, each of a size of its own, take any_size = true)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("file", type=Path, help="configuration file")
    parser.add_argument(
        "--settings-only",
        action="store_true",
        help="check the file alone: load no bank, open no camera, try no port",
    )


def main(arguments: argparse.Namespace) -> int:
    """Report all problems, and end with 0 or 2: in the list a right that is missing is one of them.

    Raises:
        ConfigError: there is a problem; all are listed.
    """
    found = config.examine(arguments.file)
    for warning in (*_warnings(found), *_camera_warnings(found), *_timing_warnings(found)):
        warn(warning)
    problems = list(found.problems)
    if not arguments.settings_only:
        banks: dict[str, BankInForce] = {}
        problems += _try_out(found, arguments.file, banks)
        problems += _state_problems(arguments.file, banks) if not problems else ()
    if problems:
        raise ConfigError(str(arguments.file), config.named(problems, found.names))
    tried = "" if arguments.settings_only else "; banks load, cameras deliver, ports are free"
    what = f"{counted(len(found.cameras), 'camera')}, {counted(len(found.recipes), 'recipe')}"
    print(f"{arguments.file}: no problems, {what}{tried}")
    return 0


def _warnings(found: config.Examined) -> Iterator[str]:
    """Settings that are allowed, but risky."""
    if found.publish is None or found.security is None:
        return
    for where, address in config.plain_tcp(found.publish, found.security).items():
        does = "trigger parts" if where == "publish.control_tcp" else "read there"
        yield (
            f"{where}: {address} is plain TCP and authenticates nobody: every user of this host can {does}, "
            "and whoever takes the port while the line is down can answer as the line; a gate needs the "
            "local sockets, or keys (docs/security.md)"
        )


def _camera_warnings(found: config.Examined) -> Iterator[str]:
    """Cameras that are allowed, and yet may look at no part, or at one that no gate hears of."""
    has_triggers = any(camera.mode == "triggered" for _, camera in found.cameras)
    seen: dict[object, str] = {}
    for where, camera in found.cameras:
        source = getattr(camera, camera.source_key)
        if has_triggers and camera.mode != "triggered":
            yield (
                f'{where}.mode: is "{camera.mode}" beside triggered cameras, so what {camera.name} rejects '
                'belongs to no part, and no gate hears of it; is "triggered" meant?'
            )
        if camera.is_live and source in seen:
            yield (
                f"{where}.{camera.source_key}: is that of {seen[source]} too, so both look at the same; is "
                "another one meant? Several parts of one picture are regions (docs/cameras.md)"
            )
        elif camera.is_live:
            seen[source] = where
        if camera.mode == "triggered" and not camera.is_live:
            yield (
                f"{where}.kind: {camera.name} replays pictures, or makes them up, and gates act on them: it "
                "looks at no part on the line"
            )


def _timing_warnings(found: config.Examined) -> Iterator[str]:
    """Latencies and windows that are allowed, but give triggers wrong frames, or none."""
    for where, camera in found.cameras:
        if camera.mode != "triggered":
            continue
        latency_ms = camera.latency_ms or 0.0
        if camera.is_live and camera.latency_ms == 0:
            yield (
                f"{where}.latency_ms: is 0, but every real camera has a latency: a picture of the previous "
                f"part is taken for one exposed after the trigger; `inspectd camera latency {camera.name} "
                "--config FILE` measures it"
            )
        if found.triggers is None or found.triggers.match != "first_after" or camera.interval_ms is None:
            continue
        needed_ms = latency_ms + camera.interval_ms
        if found.triggers.window_ms <= needed_ms:
            yield (
                f"triggers.window_ms: is {found.triggers.window_ms:g}, but the first frame of {camera.name} "
                f"that certainly belongs to the trigger may come {needed_ms:.0f} ms after it (latency_ms "
                "plus the time between two frames): parts will be missed"
            )


def _try_out(found: config.Examined, file: Path, banks: dict[str, BankInForce]) -> Iterator[str]:
    """Problems that only show when banks, which are put into `banks`, cameras and ports are tried."""
    if found.line is not None:
        for find in (runtime_place, state_place):
            yield from _unavailable(partial(find, found.line, file))
    cameras = [camera for _, camera in found.cameras]
    scoring = found.scoring or config.ScoringSettings()
    if found.recipes:
        say_step(f"loading what scores {counted(len(found.recipes), 'recipe')}")
        from inspectd.cli.check_scoring import scoring_problems  # noqa: PLC0415 - seconds of imports

        deadline_ms = (found.line or config.LineSettings()).deadline_ms
        yield from scoring_problems(found.recipes, scoring, found.cameras, banks, deadline_ms)
    # Nothing but scoring was loaded so far, so that this process shows what a scoring process takes.
    scoring_bytes = own_peak_bytes() * len(process_names(scoring)) if banks else 0
    slot_bytes: dict[str, int] = {}
    yield from _camera_problems(found.cameras, banks, slot_bytes)
    yield from memory_problems(cameras, slot_bytes, scoring_bytes)
    if found.security is not None and found.security.keys_dir is not None:
        keys_dir = Path(found.security.keys_dir)
        yield from _access_problem("security.keys_dir", partial(_server_pair, keys_dir, file))
        yield from _access_problem("security.keys_dir", partial(read_allowed, keys_dir))
    with ExitStack() as taken:  # each stays taken, so that one for two of them shows
        if found.metrics is not None and found.metrics.port:
            yield from _access_problem("metrics", partial(metrics_access, found.metrics))
            yield from _port_problem("metrics.port", found.metrics.host, found.metrics.port, taken)
        if found.publish is not None:
            for key in TCP_SETTINGS:
                yield from _endpoint_problem(f"publish.{key}", getattr(found.publish, key), taken)


def _state_problems(file: Path, banks: Mapping[str, BankInForce]) -> Iterator[str]:
    """A state of another line, and what cameras lack for the store's recipe in force; of others it warns."""
    try:
        line = LineState(file)
        yield from _unusable_state(line.audit.parent)
        refuse_other_line(line.audit.parent, line.settings.line.plant, line.settings.line.name)
        refuse_later_version(line.audit.parent / JOURNAL)
        records = RecipeRecords(line.settings, line.audit.parent)
        in_force = records.in_force()
    except InspectdError as error:
        yield str(error)
        return
    if in_force.is_file:
        yield from impossible_checks(line.settings, banks)
        for warning in unproven(line.settings):
            warn(warning)
    else:
        print(f"in force: {in_force.name} of the recipe store, not the recipes of this file")
        parts = line.settings.golden.parts
        if parts and in_force.id not in {part.recipe for part in parts}:
            warn(
                f"golden.parts: recipe {in_force.name} in force has none: its parts are judged without checks"
            )
    yield from _evidence_problem(line)
    _warn_of_disks(line)
    for name in line.store.ids():
        try:
            if name != in_force.id:
                records.read(name, None)
        except InspectdError as error:
            warn(str(error))
    known = sorted({*(recipe.name for recipe in line.settings.recipes), *line.store.ids()})
    for index, part in enumerate(line.settings.golden.parts):
        if part.recipe not in known:
            warn(
                f"golden.parts[{index}].recipe: {part.recipe!r} is in neither this file nor the store, so no "
                f"recipe is held by this part; these are there: {', '.join(known)}"
            )


def _warn_of_disks(line: LineState) -> None:
    state, evidence = line.audit.parent, line.evidence
    with contextlib.suppress(OSError):  # a disk that cannot be asked is told when it is to be written to
        found = disk_warnings(line.settings, (state, disk_of(state)), (evidence, disk_of(evidence)))
        for warning in found:
            warn(warning)


def _evidence_problem(line: LineState) -> Iterator[str]:
    """A directory of another line's evidence, which none is kept in."""
    own = f"{line.settings.line.plant}/{line.settings.line.name}"
    owner = ""
    with contextlib.suppress(OSError):  # the line says so when it keeps some
        owner = owner_of(line.evidence)
    if line.settings.evidence.enabled and owner not in {"", own}:
        yield (
            f"evidence.dir: {line.evidence} has the evidence of line {printable(owner[:130])}, "
            f"expected a directory of {own}'s own"
        )


def _unusable_state(state: Path) -> Iterator[str]:
    """A state directory, or a journal in it, that this user cannot use; the line would record nothing."""
    there = next(folder for folder in (state, *state.parents) if os.path.lexists(folder))
    if not there.is_dir():
        yield f"line.state_dir: {there} is no directory; choose one that the line's user may write"
        return
    for path in (there, *(state / name for name in (JOURNAL, f"{JOURNAL}-wal", MARK_NAME))):
        if not os.path.lexists(path) or os.access(path, os.R_OK | os.W_OK):
            continue
        if os.path.exists(path):  # noqa: PTH110 - which of a link that goes round says that it is not there
            owner = path.stat().st_uid
            yield (
                f"line.state_dir: {path} belongs to user {owner} and cannot be written by user "
                f"{os.getuid()}; give it to the line's user (chown), or check as that user"
            )
        elif not os.access(Path(os.path.realpath(path)).parent, os.W_OK):  # else the line makes it
            yield (
                f"line.state_dir: {path} is a link to {path.readlink()}, which cannot be seen or made; is "
                "its disk away? Bring it back, or take the link away"
            )


def _unavailable(find: Callable[[], object]) -> Iterator[str]:
    """The problem of a directory that is left to the system, if any; it names the setting."""
    try:
        find()
    except UnavailableError as error:
        yield str(error)


def _server_pair(keys_dir: Path, file: Path) -> KeyPair | None:
    """The line's own pair as its service has it; None, with a warning: in a store that this user cannot see.

    Raises:
        InputError: it has none, or one that cannot be used.
    """
    credential = credential_place(file)
    try:
        is_in_store = is_there(credential)
    except InputError as error:
        is_in_store = False
        # The store is root's. A secret key that is missing beside its public one was likely put there.
        if is_there(keys_dir / SERVER_PUBLIC) and not is_there(keys_dir / SERVER_SECRET):
            warn(
                f"security.keys_dir: {keys_dir} has {SERVER_PUBLIC} and not {SERVER_SECRET}, which may be in "
                f"systemd's credential store: {error}; check as root"
            )
            return None
    return read_pair(credential) if is_in_store else read_server_pair(keys_dir)


def _access_problem(where: str, read: Callable[[], object]) -> Iterator[str]:
    """Problems of keys and passwords."""
    try:
        read()
    except InspectdError as error:
        yield f"{where}: {error}"


def _camera_problems(
    cameras: list[tuple[str, config.Camera]], banks: dict[str, BankInForce], slot_bytes: dict[str, int]
) -> Iterator[str]:
    """Read one frame from each camera, in parallel; one whose driver hangs is named and abandoned.

    A frame that the daemon would call undecidable for its size or depth is a problem too. What a slot of
    each has to hold is put into `slot_bytes`.
    """
    from inspectd.capture.camera_settings import open_as_set  # noqa: PLC0415 - as below
    from inspectd.capture.registry import make_driver  # noqa: PLC0415 - loads the cameras' libraries
    from inspectd.cli.check_pictures import first_frame, try_pictures  # noqa: PLC0415 - as above

    say_step(f"trying {counted(len(cameras), 'camera')}")
    results: dict[str, str | None] = {}
    pictures = {where: try_pictures(where, camera) for where, camera in cameras}
    for tried in pictures.values():
        yield from tried.problems

    def try_camera(where: str, camera: config.Camera) -> None:
        driver = make_driver(camera)
        try:
            open_as_set(driver, camera)
            frame = first_frame(where, driver)
            results[where] = None if frame is None else pictures[where].problem_of(frame)
            if frame is not None:
                slot_bytes[camera.name] = driver.slot_bytes(frame)
            if frame is not None and results[where] is None:
                results[where] = _format_problem(camera, frame, banks)
        except InspectdError as error:
            results[where] = f"{camera.source_key}: {error}"
        finally:
            driver.close()

    to_try = [(where, camera) for where, camera in cameras if not pictures[where].problems]
    threads = [threading.Thread(target=try_camera, args=one, daemon=True) for one in to_try]
    for thread in threads:
        thread.start()
    for (where, camera), thread in zip(to_try, threads, strict=True):
        wait_seconds = 2 * camera.stall_timeout_ms / 1000
        thread.join(wait_seconds)
        silent = f"{camera.source_key}: delivered no frame within {wait_seconds:g} s"
        problem = results.get(where, silent)
        if problem is not None:
            yield f"{where}.{problem}"


def _format_problem(camera: config.Camera, frame: Frame, banks: Mapping[str, BankInForce]) -> str | None:
    """Differences for which the daemon would not judge such frames, or a region of them, if any."""
    height, width, _ = frame.pixels.shape
    whole = FrameRef(camera.name, 1, 0, 1, 0, 0, height, width, bit_depth=frame.bit_depth)
    found, hint = [], ""
    for region in camera.regions or (None,):
        seen = whole if region is None else msgspec.structs.replace(whole, region=region.of_frame)
        bank = banks.get(camera.places[seen.place])
        if bank is not None and not is_like_the_banks(seen, bank):
            found.append(unlike(seen, bank))
            if region is None and seen.bit_depth == bank.bit_depth:
                hint = _IF_CUT_OUT
    return f"{camera.source_key}: {'; '.join(found)}; none would be judged{hint}" if found else None


def _endpoint_problem(where: str, endpoint: str | None, taken: ExitStack) -> Iterator[str]:
    if endpoint is None:
        return
    try:
        host, port = config.tcp_address(endpoint, anywhere=True)
    except ValueError:
        return  # reported with the settings
    yield from _port_problem(where, host.strip("[]"), port, taken)


def _port_problem(where: str, host: str, port: int, taken: ExitStack) -> Iterator[str]:
    """The reason why this process cannot listen there, if any; else it does, until the end of `taken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        taken.enter_context(socket.create_server((host, port), family=family))
    except OSError as error:
        yield cannot_listen(where, host, port, error)
