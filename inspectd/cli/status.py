"""`inspectd status LINE`: one screen that says how a line is, and an exit code for programs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.table import Table
from rich.text import Text

from inspectd.cli import output
from inspectd.cli.line_sockets import socket_of
from inspectd.cli.output import cell
from inspectd.client import (
    ClientKeys,
    Evaluation,
    HealthCondition,
    HealthStatus,
    LineStatus,
    ShadowResult,
    ShadowState,
    ShadowStatus,
    ask_status,
)
from inspectd.errors import ExitCode, InputError
from inspectd.text import json_line

_WELL: Final[set[str]] = {HealthStatus.GOOD, HealthStatus.MAINTENANCE_REQUIRED}
_COLOURS: Final[dict[str, str]] = {
    HealthStatus.GOOD: "bold green",
    HealthStatus.MAINTENANCE_REQUIRED: "bold blue",
    HealthStatus.OUT_OF_SPECIFICATION: "bold yellow",
    HealthStatus.FUNCTION_CHECK: "bold dark_orange",
    HealthStatus.FAILURE: "bold white on red",
}
"""As NAMUR NE 107 has them."""
_PHASES: Final = {"up": "green", "ended": "dim", "opening": "yellow", "down": "bold red"}
_MOST_CONDITIONS: Final = 5
_MOST_CAMERAS: Final = 5
_MOST_RECIPES: Final = 3
"""With these the screen fits 24 lines; `--json` has all."""
_WIDTH: Final = 80
_NAME: Final = 16
"""Characters of a name in the table."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `inspectd status`."""
    parser.description = (
        "Say how a running line is: its NE 107 status signal and why, cameras, scoring, recipes, journal, "
        "evidence, clients."
    )
    parser.epilog = (
        "Exit codes: 0 the line is good or needs maintenance; 1 it is out of specification, in function "
        "check or has failed; 2 bad input; 3 it does not answer."
    )
    parser.add_argument(
        "line",
        help="the line's configuration file, or its sync socket: ipc:///path/to/sync.sock or "
        "tcp://127.0.0.1:5573",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all there is")
    parser.add_argument("--server-key", type=Path, metavar="FILE", help="the line's public key, for TCP")
    parser.add_argument(
        "--client-key", type=Path, metavar="FILE", help="this client's NAME.key_secret, for TCP"
    )
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS",
        help="longest wait for an answer; default: 5",
    )  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Ask the line and print the screen.

    Raises:
        ConfigError: the configuration file cannot be used.
        InputError: the endpoint or a key file cannot be used.
        UnavailableError: the line does not answer.
    """
    if bool(arguments.server_key) != bool(arguments.client_key):
        raise InputError("expected both keys, --server-key and --client-key, or neither")
    keys = ClientKeys(arguments.server_key, arguments.client_key) if arguments.server_key else None
    if not 0 < arguments.timeout <= 3600:
        raise InputError(f"--timeout: got {arguments.timeout:g}, expected seconds above 0, at most 3600")
    status = ask_status(_endpoint(arguments.line), keys, arguments.timeout)
    if arguments.json:
        print(json_line(status))
    else:
        console = output.console(highlight=False)
        for part in screen(status):
            console.print(part, no_wrap=True, overflow="ellipsis", width=_WIDTH)
    return ExitCode.OK if status.health in _WELL else ExitCode.FAILED


def _endpoint(line: str) -> str:
    """The sync socket that was named, or that of a configuration's line."""
    return line if "://" in line else socket_of(Path(line), "sync")


def screen(status: LineStatus) -> Iterable[Text | Table]:
    """The lines of the screen, 80 columns and 24 rows at most."""
    yield _headline(status)
    yield from _conditions(status.conditions)
    yield _cameras(status)
    yield from _facts(status)


def _headline(status: LineStatus) -> Text:
    up = timedelta(seconds=max(0, (status.utc_ns - status.started_utc_ns) // 1_000_000_000))
    text = cell(f" {status.health.replace('_', ' ').upper()} ", _COLOURS.get(status.health, ""))
    text.append_text(cell(f"  {status.plant}/{status.line}", "bold"))
    text.append_text(cell(f"  {status.state} for {up}, inspectd {status.software}"))
    return text


def _conditions(conditions: list[HealthCondition]) -> Iterable[Text]:
    for each in conditions[:_MOST_CONDITIONS]:
        where = f"{each.camera}: " if each.camera else ""
        text = cell(f"  {each.condition}", _COLOURS.get(each.status, ""))
        text.append_text(cell(f"  {where}{each.detail}"))
        yield text
    if len(conditions) > _MOST_CONDITIONS:
        yield cell(f"  and {len(conditions) - _MOST_CONDITIONS} more (--json)", "dim")


def _cameras(status: LineStatus) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("camera", "state", "recipe", "last minute:", "pass", "fail", "undecidable", "score"):
        table.add_column(name, justify="right" if name in {*Evaluation, "score"} else "left", no_wrap=True)
    for camera in status.cameras[:_MOST_CAMERAS]:
        counts = [camera.verdicts.get(evaluation, 0) for evaluation in Evaluation]
        share = "" if camera.score_share is None else f"{camera.score_share:.0%}"
        phase = cell(camera.phase, _PHASES.get(camera.phase, ""))
        names = cell(_short(camera.camera)), phase, cell(_short(camera.recipe))
        table.add_row(*names, "", *map(str, counts), share)
    if len(status.cameras) > _MOST_CAMERAS:
        table.add_row(cell(f"and {len(status.cameras) - _MOST_CAMERAS} more", "dim"))
    return table


def _facts(status: LineStatus) -> Iterable[Text]:
    counts = status.counts
    yield _fact(
        "frames",
        f"{counts.captured:,} captured = {counts.verdicts:,} verdicts + {counts.drops:,} drops "
        f"+ {counts.in_flight} in flight",
    )
    if counts.triggers:
        yield _fact(
            "triggers",
            f"{counts.triggers:,} accepted = {counts.parts:,} parts + {counts.triggers_open} open; "
            f"{counts.missed:,} views without a frame",
        )
    prepared = f"; prepared: {', '.join(status.prepared)}" if status.prepared else ""
    named = "the configuration file's recipes" if status.in_force == "file" else status.in_force
    if status.in_force != "file" or prepared:
        yield _fact("in force", f"{named}{prepared}")
    if status.shadow is not None:
        yield _fact("shadow", shadow_in_words(status.shadow))
    scoring = "not ready" if status.device is None else f"ready on {status.device}"
    yield _fact("scoring", f"{scoring}; {status.waiting} wait, {status.with_scoring} are with it")
    for recipe in status.recipes[:_MOST_RECIPES]:
        speed = "" if recipe.images_per_second is None else f", {recipe.images_per_second:.0f} images/s"
        second = "" if recipe.check_above is None else f", second look above {recipe.check_above:.4g}"
        about = f"{recipe.recipe}: bank {recipe.bank_sha256[:12]}, threshold {recipe.threshold:.4g}"
        yield _fact("recipe", f"{about}{second}{speed}")
    if len(status.recipes) > _MOST_RECIPES:
        yield _fact("", f"and {len(status.recipes) - _MOST_RECIPES} more")
    journal = status.journal
    if status.journal_bytes is not None:
        journal += f", {_mb(status.journal_bytes)}"
    if status.disk_free_bytes is not None:
        journal += f", {_mb(status.disk_free_bytes)} free on its disk"
    yield _fact("journal", journal)
    if status.evidence_bytes is not None:
        yield _fact("evidence", f"{_mb(status.evidence_bytes)} of {_mb(status.evidence_quota_bytes)}")
    clients = ", ".join(f"{socket} {count}" for socket, count in status.connections.items())
    yield _fact("clients", clients or "none known yet")


def shadow_in_words(shadow: ShadowStatus) -> str:
    """What a shadow would have judged otherwise."""
    if shadow.state in {ShadowState.DOWN, ShadowState.FAILED}:
        return f"{shadow.recipe} {shadow.state}: {shadow.detail}"
    if shadow.state == ShadowState.LOADING:
        return f"{shadow.recipe} loading"
    scored = shadow.frames.get(ShadowResult.SCORED, 0)
    return (
        f"{shadow.recipe}: {scored:,} of {sum(shadow.frames.values()):,} frames; would fail "
        f"{shadow.to_fail:,} passes, pass {shadow.to_pass:,} fails"
    )


def _fact(name: str, about: str) -> Text:
    text = cell(f"{name:<9}", "dim")
    text.append_text(cell(about))
    return text


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"
