"""`make faults`: run the fault suite, or one fault of it, and write the table of results."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from faults import report, runner
from faults.fault import Fault
from faults.parts import Bank, build_bank
from faults.suite import FAULTS
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_ROOT: Final = Path(__file__).parents[2]
_RESULTS: Final = Path("faults-run")
_PAGE: Final = _ROOT / "docs" / "faults.md"


def main() -> int:
    """Run what was asked for; 0 when everything held, 1 when not, 3 when this machine cannot run it."""
    arguments = _arguments()
    chosen = [fault for fault in FAULTS if not arguments.only or fault.name in arguments.only]
    console = Console(stderr=True)
    impossible = [f"{fault.name}: {why}" for fault in chosen if (why := fault.needs()) is not None]
    if impossible:
        console.print("These faults cannot be injected here:", *impossible, sep="\n  ", highlight=False)
        return 3
    with tempfile.TemporaryDirectory(prefix="inspectd-bank-") as folder:
        console.print("building a bank", highlight=False)
        bank = build_bank(Path(folder))
        held = [_run(console, fault, arguments.count or fault.full, bank, arguments.seed) for fault in chosen]
    _PAGE.write_text(report.page(FAULTS, runner.read_results(_RESULTS), _PAGE.read_text()))
    console.print(f"{sum(held)} of {len(held)} held; see {_PAGE.relative_to(_ROOT)}", highlight=False)
    return 0 if all(held) else 1


def _run(console: Console, fault: Fault, count: int, bank: Bank, seed: int) -> bool:
    with _progress(console, fault.name, count) as advance:
        outcome, seconds = runner.timed(lambda: runner.run_fault(fault, count, bank, seed, advance))
    found = runner.result(fault, count, seed, outcome, seconds)
    runner.write_result(_RESULTS, found)
    verdict = "held" if found["held"] else "DID NOT HOLD"
    console.print(f"{fault.name}: {outcome.injected} injected in {seconds:.0f} s, {verdict}", highlight=False)
    for what, figure in outcome.figures.items():
        console.print(f"    {what}: {figure}", highlight=False)
    for violation in outcome.violations:
        console.print(f"    ! {violation}", highlight=False, markup=False)
    return bool(found["held"])


@contextlib.contextmanager
def _progress(console: Console, name: str, count: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal; elsewhere a line for every twentieth of the way. Gives what moves it by one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=count)

        def advance() -> None:
            bar.advance(task)
            done = int(bar.tasks[0].completed)
            if not console.is_terminal and done % max(1, count // 20) == 0:
                console.print(f"{name}: {done} of {count}", highlight=False)

        yield advance


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[fault.name for fault in FAULTS],
        help="this fault alone; repeatable",
    )
    parser.add_argument("--count", type=int, help="injections; default: each fault's full count")
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(4)), help="names the random moments"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
