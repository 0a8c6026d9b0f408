"""`inspectd fleet publish | desire | rollout | make-streams | archives`: what is done with the servers."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from inspectd.cli.beside_line import say
from inspectd.cli.fleet_order import read_order
from inspectd.cli.output import progress_bars
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.fleet.agent import publisher
from inspectd.fleet.agent.archives import archives, remove
from inspectd.fleet.agent.order import FleetOrder, SignedOrder
from inspectd.fleet.agent.rollout import Decision, Rollout, Step, what_runs_where
from inspectd.fleet.agent.settings import load_publisher
from inspectd.fleet.agent.signing import NEEDED
from inspectd.fleet.names import PlantNames
from inspectd.fleet.servers import DeniedError, Servers, ServersDoor, ServersError
from inspectd.fleet.streams import made

_ADMINISTRATOR: Final = "_INBOX.administrator"
_ARCHIVES_GB: Final = 50.0
_AGAIN_SECONDS: Final = 2.0
_FIRST_PATIENCE_SECONDS: Final = 20.0
_PATIENCE_SECONDS: Final = 600.0
"""Without a chunk more."""

_T = TypeVar("_T")


def main(arguments: argparse.Namespace) -> int:
    """Do one of them.

    Raises:
        ConfigError: the publisher's file has problems.
        InputError: a key, the archive or the order cannot be used.
        UnavailableError: the servers cannot be reached, or refuse it.
    """
    settings = load_publisher(arguments.config)
    inbox = _ADMINISTRATOR if arguments.action in {"make-streams", "archives"} else publisher.INBOX
    door = ServersDoor(settings, inbox, f"inspectd-fleet {arguments.action}")
    try:
        if arguments.action == "make-streams":
            return asyncio.run(_make_streams(door, arguments))
        if arguments.action == "archives":
            return asyncio.run(_archives(door, PlantNames(arguments.plant), arguments.remove))
        signed, order = read_order(arguments.order)
        if arguments.action == "publish":
            return asyncio.run(_publish(door, arguments, order))
        _refuse_unsigned(signed, arguments)
        if arguments.action == "desire":
            return asyncio.run(_desire(door, signed, order, arguments.line or order.lines))
        return asyncio.run(_Run(door, signed, arguments.every).run(is_resumed=arguments.resume))
    except ServersError as error:
        raise UnavailableError(f"the plant's servers: {error}") from error


async def _make_streams(door: ServersDoor, arguments: argparse.Namespace) -> int:
    names = PlantNames(arguments.plant)
    async with door.connect() as servers:
        banks = publisher.banks_config(names, max_gb=arguments.gb or _ARCHIVES_GB)
        kept = [] if arguments.gb else ["max_bytes"]
        say(await made(servers, banks, kept, may_delete=arguments.delete))
        say(await made(servers, publisher.desired_config(names)))
    return ExitCode.OK


async def _archives(door: ServersDoor, names: PlantNames, removed: str | None) -> int:
    async with door.connect() as servers:
        if removed is not None:
            say(f"removed {await remove(servers, names, removed)}")
            return ExitCode.OK
        found = await archives(servers, names)
        for archive in found:
            say(str(archive))
        if not found:
            say("there are no archives")
    return ExitCode.OK


async def _publish(door: ServersDoor, arguments: argparse.Namespace, order: FleetOrder) -> int:
    """Send what is missing, over a new connection wherever one is lost."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    until = time.monotonic() + _FIRST_PATIENCE_SECONDS
    with progress_bars(*columns) as bars:
        bar = bars.add_task("chunks", total=len(order.recipe.chunk_sha256))
        best = 0

        def progress(done: int, total: int) -> None:
            nonlocal until, best
            if done > best:
                until, best = time.monotonic() + _PATIENCE_SECONDS, done
            bars.update(bar, completed=done, total=total)

        async def send(servers: Servers) -> tuple[int, int]:
            names = PlantNames(order.plant)
            return await publisher.publish_chunks(servers, names, arguments.archive, order.recipe, progress)

        sent, were_there = await _again(door, send, lambda _: time.monotonic() < until)
    print(f"{order.recipe}: {sent} chunks sent, {were_there} were there")
    return ExitCode.OK


async def _desire(door: ServersDoor, signed: SignedOrder, order: FleetOrder, lines: list[str]) -> int:
    if others := [line for line in lines if line not in order.lines]:
        raise InputError(f"--line: {', '.join(others)}: not in the order, expected {', '.join(order.lines)}")
    names = PlantNames(order.plant)
    async with door.connect() as servers:
        seen = {line: await publisher.desired(servers, names, line) or (0, None) for line in lines}
        for line, (_, data) in seen.items():  # before any is told
            _, other = publisher.told(data, signed, order.serial)
            if other is not None:
                raise InputError(
                    f"{line}: was told order {other} by somebody else, and this one is {order.serial}: no "
                    "line was told it; to go back, sign a new order with a higher serial number; if nobody "
                    "you know signed that one, replace the publisher's key, and have the administrator "
                    f"say `nats stream purge {names.desired_stream} --subject {names.desired(line)}`"
                )
        for line, (number, _) in seen.items():
            if not await publisher.desire(servers, names, line, signed, after=number):
                raise UnavailableError(f"{line}: was told something else meanwhile; say it again to see what")
            print(f"{line}: told order {order.serial}, {order.recipe}")
    return ExitCode.OK


def _refuse_unsigned(signed: SignedOrder, arguments: argparse.Namespace) -> None:
    names = {signature.name for signature in signed.signatures}
    if len(names) < NEEDED:
        raise InputError(
            f"{arguments.order}: is signed by {', '.join(names) or 'nobody'}, every line would refuse it: "
            f"expected {NEEDED} different people; `inspectd fleet sign`"
        )


async def _again(
    door: ServersDoor, work: Callable[[Servers], Awaitable[_T]], may_go_on: Callable[[ServersError], bool]
) -> _T:
    """What a work gives, over one connection after another while it may go on.

    Raises:
        ServersError: the servers do not take it.
    """
    while True:
        try:
            async with door.connect() as servers:
                return await work(servers)
        except DeniedError:
            raise
        except ServersError as error:
            if not may_go_on(error):
                raise
        await asyncio.sleep(_AGAIN_SECONDS)


class _Run:
    """A rollout until it is done or stopped; says each change in words."""

    def __init__(self, door: ServersDoor, signed: SignedOrder, every_seconds: float) -> None:
        self._door, self._every_seconds = door, every_seconds
        self._rollout = Rollout(signed, time.monotonic)
        self._said = ""

    async def run(self, *, is_resumed: bool) -> int:
        rollout = self._rollout
        stopped = await self._ask(rollout.stopped)
        if stopped is not None and not is_resumed:
            decision = await self._ask(rollout.look)
            return self._ended(f"was stopped before: {stopped}; --resume goes on", Step.STOP)
        if stopped is not None:
            await self._ask(partial(self._resume, stopped))
        while True:
            decision = await self._ask(self._step)
            match decision.step:
                case Step.TELL:
                    continue  # the next line, which what came meanwhile may speak against
                case Step.STOP:
                    await self._ask(partial(rollout.record, is_stopped=True, why=decision.text))
                    return self._ended(f"STOPPED: {decision.text}", Step.STOP)
                case Step.DONE:
                    return self._ended(f"done: {decision.text}", Step.DONE)
            await asyncio.sleep(self._every_seconds)

    async def _resume(self, stopped: str, servers: Servers) -> None:
        """Record that it goes on, unless it was stopped for something else since."""
        if await self._rollout.stopped(servers) == stopped:
            await self._rollout.record(servers, is_stopped=False, why="resumed")

    async def _step(self, servers: Servers) -> Decision:
        """Look, and tell one line where lines are to be told.

        Both over one connection: where it is lost between them, what was seen before is old, and is looked at
        again.
        """
        decision = await self._rollout.look(servers)
        self._tell_people(f"{decision.step}: {decision.text}")
        if decision.step is Step.TELL:
            await self._rollout.tell(servers, decision.lines[:1])
        return decision

    async def _ask(self, work: Callable[[Servers], Awaitable[_T]]) -> _T:
        """Servers that are away are waited for: meanwhile no further line is told."""
        return await _again(self._door, work, self._away)

    def _away(self, error: ServersError) -> bool:
        self._tell_people(f"servers: {error}; waiting for them")
        return True

    def _tell_people(self, text: str) -> None:
        if text != self._said:
            self._said = text
            say(text)

    def _ended(self, text: str, step: Step) -> int:
        say(text)
        if step is Step.STOP:
            for line in what_runs_where(self._rollout.order, self._rollout.seen):
                say(line)
        return ExitCode.OK if step is Step.DONE else ExitCode.FAILED
