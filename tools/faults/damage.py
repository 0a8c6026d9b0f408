"""The journal is cut or a bit in it is flipped: what is read from it must be true, or reported as lost."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from faults import audit
from faults.fault import Context, Outcome
from faults.line import Line
from faults.listener import wait_for
from faults.rig import Rig
from faults.state import ALARM_SECONDS

from inspectd.client import Lost, VerdictReader

_RECORD_SECONDS: Final = 3.0
_BUS_SECONDS: Final = 15.0
_REPLAY_SECONDS: Final = 15.0
_FEWEST: Final = 20
_FULL_EVERY: Final = 10
"""One place in so many is followed until parts are judged again."""


def run(context: Context) -> Outcome:
    """Record a while and kill the daemon; damage copies of what it left, one place each; start on them.

    Every other place is damaged at rest, the others under a daemon that has the journal open, which is killed
    and started again afterwards.
    """
    outcome = Outcome()
    told: Counter[str] = Counter()
    with Rig(context.folder / "rig", context.bank, context.random.randrange(10**6)) as rig:
        time.sleep(_RECORD_SECONDS)
        rig.line.kill()
        truth = {audit.name_of(v.header): v.header for v in rig.evidence(with_journal=False).heard}
        outcome.require(len(truth) > _FEWEST, f"only {len(truth)} verdicts were recorded")
        pristine = context.folder / "pristine"
        shutil.copytree(rig.line.state_dir, pristine)
        for number in range(context.count):
            shutil.rmtree(rig.line.state_dir)
            shutil.copytree(pristine, rig.line.state_dir)
            try:
                told[_one_place(outcome, rig.line, truth, context.random, number)] += 1
            except (TimeoutError, RuntimeError) as error:
                outcome.violations.append(f"place {number}: {error}")
            rig.line.kill()
            outcome.injected += 1
            context.advance()
        outcome.demand(audit.wrong_passes(rig.evidence(with_journal=False)))
    outcome.figures |= {what: str(count) for what, count in told.items()}
    return outcome


def _one_place(
    outcome: Outcome, line: Line, truth: Mapping[audit.Name, audit.Header], chance: random.Random, number: int
) -> str:
    """Damage one place and read all there is; how the damage came out, in words."""
    is_live = number % 2 == 1
    place = "" if is_live else damage(line.state_dir, chance)
    line.start()
    wait_for(lambda: line.listener.state(line.launched_ns), _BUS_SECONDS, f"{place}: nothing on the bus")
    began_ns = line.launched_ns
    if is_live:
        line.wait_ready()
        place = f"live: {damage(line.state_dir, chance)}"
        _check(outcome, line, truth, place, began_ns)
        line.restart()
        wait_for(lambda: line.listener.state(line.launched_ns), _BUS_SECONDS, f"{place}: nothing on the bus")
    told = _check(outcome, line, truth, place, began_ns)
    if number % _FULL_EVERY == 0:
        line.wait_ready()
        _wait_for_part(line)
    return ("under a running daemon: " if is_live else "at rest: ") + told


def _check(
    outcome: Outcome, line: Line, truth: Mapping[audit.Name, audit.Header], place: str, began_ns: int
) -> str:
    """Read everything: it is true, or a loss was reported or an alarm raised since `began_ns`."""
    wrong, missing, is_lost = compare(_replayed(line), truth)
    outcome.demand(f"{place}: {problem}" for problem in wrong)
    if missing and not is_lost:
        outcome.demand(_silence(line, began_ns, f"{place}: {len(missing)} verdicts are gone"))
    alarm = line.listener.alarm(began_ns, "journal")
    if alarm is not None:
        return "alarm"
    return "said to be lost" if is_lost else "nothing lost"


def damage(state_dir: Path, chance: random.Random) -> str:
    """Cut one of the journal's files, or flip one bit of it; where, in words."""
    files = [file for file in sorted(state_dir.glob("journal.*")) if file.stat().st_size]
    file = chance.choice(files)
    size = file.stat().st_size
    at = chance.randrange(size)
    if chance.random() < 0.4:
        with file.open("r+b") as cut:
            cut.truncate(at)
        return f"{file.name} cut at {at} of {size}"
    with file.open("r+b") as flipped:
        flipped.seek(at)
        byte = flipped.read(1)[0]
        flipped.seek(at)
        flipped.write(bytes([byte ^ 1 << chance.randrange(8)]))
    return f"{file.name} flipped at {at} of {size}"


def _silence(line: Line, began_ns: int, what: str) -> list[str]:
    """Wait for an alarm as long as one may take; what is silently wrong if none comes."""
    try:
        wait_for(lambda: line.listener.alarm(began_ns, "journal"), ALARM_SECONDS, what)
    except TimeoutError as error:
        return [f"no alarm, though {error}"]
    return []


def compare(
    items: list[Any], truth: Mapping[audit.Name, audit.Header]
) -> tuple[list[str], list[audit.Name], bool]:
    """Compare replayed with published verdicts: untruths, gaps, and whether a loss was reported."""
    is_lost = any(isinstance(item, Lost) for item in items)
    replayed = {(item.epoch, item.seq): item for item in items if not isinstance(item, Lost)}
    wrong = [
        f"{name} was replayed as something else"
        for name, item in replayed.items()
        if name in truth and msgspec.to_builtins(item) != _plain(truth[name], type(item))
    ]
    return wrong, sorted(truth.keys() - replayed.keys()), is_lost


def _plain(header: audit.Header, kind: type[Any]) -> Any:
    return msgspec.to_builtins(msgspec.convert(header, kind))


def _replayed(line: Line) -> list[Any]:
    """Everything a new reader is given of epochs before this daemon's."""
    assert line.listener.last_heartbeat is not None
    epoch = line.listener.last_heartbeat.header["epoch"]
    items: list[Any] = []
    with VerdictReader(line.endpoint("verdicts"), start="oldest") as reader:
        end = time.monotonic() + _REPLAY_SECONDS
        quiet_since = time.monotonic()
        while time.monotonic() < end and time.monotonic() - quiet_since < 1.0:
            item = reader.receive(0.1)
            if item is None:
                continue
            quiet_since = time.monotonic()
            items.append(item)
            if not isinstance(item, Lost) and item.epoch == epoch:
                break
    return items


def _wait_for_part(line: Line) -> None:
    wait_for(
        lambda: any(
            v.at_ns > line.launched_ns and audit.is_part(v.header) and v.header["evaluation"] != "undecidable"
            for v in line.listener.numbered[:]
        ),
        ALARM_SECONDS,
        "no part is judged",
    )
