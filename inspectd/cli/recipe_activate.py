"""`inspectd recipe prepare | activate | rollback | shadow | promote ...`: what a line is asked for."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from typing import Final

import msgspec

from inspectd.cli.line_folders import runtime_places
from inspectd.cli.line_sockets import socket_of
from inspectd.cli.numbers import patience
from inspectd.cli.person import command_door, user_name
from inspectd.cli.recipe_common import LineState, version_named
from inspectd.client import (
    Liveness,
    LiveReader,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRequest,
    ask_recipe,
    ask_status,
)
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.ipc.runtime_dir import RuntimeDir
from inspectd.ipc.state_hold import StateHold
from inspectd.recipes.audit import AuditAction
from inspectd.recipes.book import FILE, LineRecipe
from inspectd.recipes.stored import Change, RecipeRecords, recipe_before
from inspectd.text import json_line, printable
from inspectd.wire import Event, RecipeState
from inspectd.wire.shadow import ShadowState

_ENDS: Final = {
    RecipeAction.PREPARE: ("recipe_prepared", "recipe_failed"),
    RecipeAction.SHADOW: ("shadow_started", "shadow_failed"),
}
"""Events that end what takes its time: done, and failed."""
_LOOK_SECONDS: Final = 2.0
"""How often the line is asked besides, where that event is lost on its way."""


def main(arguments: argparse.Namespace) -> int:
    """Ask the running line; where none runs, `activate` and `rollback` record what the next start goes by.

    Raises:
        InputError: there is no such recipe, or it cannot be used, or an option is wrong.
        UnavailableError: the line does not answer, or what it records cannot be written.
        InspectdError: the line refuses.
    """
    patience(arguments.timeout)
    line = LineState(arguments.config)
    action = RecipeAction(arguments.recipe_command)
    name, version = _meant(line, arguments, action)
    who, why = arguments.who or user_name(), arguments.why or ""
    try:
        control = socket_of(arguments.config, "control")
    except UnavailableError:
        if action not in {RecipeAction.ACTIVATE, RecipeAction.ROLLBACK}:
            raise
        change = Change(AuditAction(action), who, command_door(arguments.who), why)
        return _record(line, arguments, change, (name, version))
    request = RecipeRequest(f"{os.getpid()}-{time.time_ns()}", action, name, version, who, why)
    if action is RecipeAction.SHADOW:
        return _say(arguments, _wait(control, arguments, request))
    if action not in {RecipeAction.UNPREPARE, RecipeAction.UNSHADOW}:
        _wait(control, arguments, msgspec.structs.replace(request, action=RecipeAction.PREPARE))
    return _say(arguments, _asked(control, request))


def _wait(control: str, arguments: argparse.Namespace, asked: RecipeRequest) -> RecipeAck:
    """Have a recipe loaded beside what runs, and wait for it; the answer as it is then."""
    done, failed = _ENDS[asked.action]
    sync = socket_of(arguments.config, "sync")
    with LiveReader(socket_of(arguments.config, "verdicts")) as reader:
        reader.receive(0.2)  # connected before the answer can be missed
        until = time.monotonic() + arguments.timeout
        answer = ask_recipe(control, asked)
        while isinstance(answer, RecipeRefusal) and answer.reason == "busy" and time.monotonic() < until:
            time.sleep(0.2)
            answer = ask_recipe(control, asked)
        if isinstance(answer, RecipeRefusal):
            raise InspectdError(f"{_name(asked)}: {answer.reason}: {answer.detail}")
        epochs: set[int | None] = set()
        look, is_loaded = time.monotonic() + _LOOK_SECONDS, None
        while answer.state is RecipeState.LOADING:
            message = reader.receive(0.5)
            lines = reader.lines.values()
            epochs |= {line.epoch for line in lines} - {None}
            found = {line.liveness for line in lines}
            if len(epochs) > 1 or Liveness.STOPPED in found:
                raise UnavailableError(
                    f"{_name(asked)}: the line stopped before it was loaded, so nothing was put in force; "
                    "ask again when it runs"
                )
            if Liveness.STALE in found:  # killed, or it stands still, as where its host is paused
                raise UnavailableError(
                    f"{_name(asked)}: the line does not answer, and nothing was put in force; it may still "
                    "load it: ask again when it answers"
                )
            if (
                isinstance(message, Event)
                and message.event in {done, failed}
                and f"({asked.request})" in message.detail
            ):
                if message.event == failed:
                    raise InspectdError(message.detail.replace(f" ({asked.request})", ""))
                is_loaded = True
            elif is_loaded is None and time.monotonic() >= look:
                is_loaded = _has_loaded(sync, asked, answer)
                look = time.monotonic() + _LOOK_SECONDS
            elif is_loaded is False and time.monotonic() >= look:  # nor has the event come, which says why
                raise InspectdError(f"{_name(asked)}: could not be loaded; the line's log says why")
            if is_loaded:
                is_shadow = asked.action is RecipeAction.SHADOW
                state = RecipeState.SHADOW if is_shadow else RecipeState.PREPARED
                return msgspec.structs.replace(answer, state=state)
            if time.monotonic() > until:
                raise UnavailableError(
                    f"{_name(asked)}: not loaded within {arguments.timeout:g} s; the line goes on trying"
                )
        return answer


def _has_loaded(sync: str, asked: RecipeRequest, answer: RecipeAck) -> bool | None:
    """What the line says became of what it loads, as the event may be lost; None: it does not say yet."""
    try:
        status = ask_status(sync, timeout_seconds=_LOOK_SECONDS)
    except UnavailableError:  # its heartbeats tell whether it is there
        return None
    if asked.action is not RecipeAction.SHADOW:
        return status.has_loaded(answer.name)
    shadow = status.shadow
    if shadow is None or shadow.recipe != answer.name or shadow.state == ShadowState.FAILED:
        return False
    return None if shadow.state == ShadowState.LOADING else True


def _asked(control: str, request: RecipeRequest) -> RecipeAck:
    answer = ask_recipe(control, request)
    if isinstance(answer, RecipeRefusal):
        raise InspectdError(f"{_name(request)}: {answer.reason}: {answer.detail}")
    return answer


def _say(arguments: argparse.Namespace, answer: RecipeAck) -> int:
    if arguments.json:
        print(json_line(answer))
    else:
        before = f", instead of {answer.before}" if answer.before else ""
        state = "in force" if answer.state is RecipeState.ACTIVE else answer.state
        print(printable(f"{answer.recipe}@{answer.version}: {state}{before}"))
    return ExitCode.OK


def _record(
    line: LineState, arguments: argparse.Namespace, change: Change, named: tuple[str, int | None]
) -> int:
    """Record what the next start judges by, with the line's directories locked against that start."""
    records = RecipeRecords(line.settings, line.audit.parent)
    new = records.read(*named)
    if not new.is_file:
        line.store.read_whole(new.id, new.version)
    places = runtime_places(line.kept.line, arguments.config)
    runs = (
        f"{line.audit.parent}: a line runs by it and has no socket in {' or '.join(map(str, places))}: name "
        f"its directory of sockets in {arguments.config} (line.runtime_dir), or, where the line tells "
        "sockets_gone, restart it; where a camera command is at work, wait for it"
    )
    there = [place for place in places if place.is_dir()]
    with (
        StateHold(line.audit.parent, runs),
        RuntimeDir(there[0] if there else places[-1]),
    ):
        old: LineRecipe | None = None
        with contextlib.suppress(InputError):  # this is how to get out of that
            old = records.in_force()
        if old is not None and (old.name, old.sha256) == (new.name, new.sha256):
            print(f"{new.name}: in force already")
            return ExitCode.OK
        records.record(change, old, new)
    before = f", instead of {old.name}" if old is not None else ""
    print(f"{new.name}: in force from the line's next start{before}")
    return ExitCode.OK


def _meant(line: LineState, arguments: argparse.Namespace, action: RecipeAction) -> tuple[str, int | None]:
    """The recipe and version that a command is about."""
    if action is RecipeAction.ROLLBACK:
        return _before(line)
    if action not in {RecipeAction.UNSHADOW, RecipeAction.PROMOTE}:
        return _named(line, arguments.recipe, is_newest_meant=action is RecipeAction.SHADOW)
    shadow = ask_status(socket_of(arguments.config, "sync")).shadow
    if shadow is None:
        raise InputError("the line has no shadow; inspectd recipe shadow begins one")
    return _named(line, shadow.recipe)


def _before(line: LineState) -> tuple[str, int | None]:
    """What was in force before the last change."""
    before = recipe_before(line.audit)
    return before.id, before.version


def _named(line: LineState, text: str, *, is_newest_meant: bool = False) -> tuple[str, int | None]:
    if text == FILE:
        return FILE, None
    return version_named(line, text, is_newest_meant=is_newest_meant)


def _name(request: RecipeRequest) -> str:
    return f"{request.recipe}" if request.version is None else f"{request.recipe}@{request.version}"
