"""The screen of `inspectd status`: 80 columns and 24 rows, whatever there is to say."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from rich.table import Table
from rich.text import Text

from inspectd.cli.output import cell
from inspectd.client import (
    CameraStatus,
    Evaluation,
    GoldenState,
    GoldenStatus,
    HealthCondition,
    HealthStatus,
    KeysStatus,
    LineStatus,
    RecipeStatus,
    ShadowResult,
    ShadowState,
    ShadowStatus,
)
from inspectd.text import printable

WIDTH: Final = 80
ROWS: Final = 24
_NAME: Final = 16
"""Characters of a name in the table."""
_LABEL: Final = 10
"""Columns of what stands before each fact."""
_COLOURS: Final[dict[str, str]] = {
    HealthStatus.GOOD: "bold green",
    HealthStatus.MAINTENANCE_REQUIRED: "bold blue",
    HealthStatus.OUT_OF_SPECIFICATION: "bold yellow",
    HealthStatus.FUNCTION_CHECK: "bold dark_orange",
    HealthStatus.FAILURE: "bold white on red",
}
"""As NAMUR NE 107 has them."""
_PHASES: Final = {"up": "green", "ended": "dim", "opening": "yellow", "down": "bold red"}
_SECOND_NS: Final = 1_000_000_000

Block = list[Text]
"""Rows that belong together."""


def screen(status: LineStatus) -> Iterable[Text | Table]:
    """The lines of the screen; of what does not fit it says how much there is."""
    facts = _facts(status)
    lists: dict[str, list[Block]] = {
        "conditions": [_condition(each, status.utc_ns) for each in status.conditions],
        "cameras": [[Text()] for _ in status.cameras],
        "recipes": [[_recipe(each)] for each in status.recipes],
        "golden": [_golden(each, status.utc_ns) for each in status.golden],
    }
    wanted = [sum(map(len, blocks)) for blocks in lists.values()]
    if sum(wanted) > ROWS - 2 - len(facts):
        facts.pop("drift", None)  # it explains two headings
    rows = _shared(wanted, ROWS - 2 - len(facts))
    shown = {name: _fitting(blocks, room) for (name, blocks), room in zip(lists.items(), rows, strict=True)}
    yield _headline(status)
    yield from _rows(lists["conditions"], shown["conditions"], "  ")
    yield _cameras(status.cameras, shown["cameras"])
    for name, fact in facts.items():
        yield fact
        if name == "in force":
            yield from _rows(lists["recipes"], shown["recipes"], " " * _LABEL)
            yield from _rows(lists["golden"], shown["golden"], f"{'golden':<{_LABEL}}")


# --- room ---------------------------------------------------------------------------------------------------


def _shared(wanted: Sequence[int], rows: int) -> list[int]:
    """Rows for each of several lists: all that they want, or less of the longest ones."""
    given = list(wanted)
    while sum(given) > rows:
        given[given.index(max(given))] -= 1
    return given


def _fitting(blocks: Sequence[Block], rows: int) -> int:
    """How many blocks are shown in so many rows; if not all, one row says so."""
    if sum(map(len, blocks)) <= rows:
        return len(blocks)
    used, count = 1, 0
    while used + len(blocks[count]) <= rows:
        used, count = used + len(blocks[count]), count + 1
    return count


def _rows(blocks: Sequence[Block], count: int, indent: str) -> Iterable[Text]:
    for block in blocks[:count]:
        yield from block
    if len(blocks) > count:
        yield cell(f"{indent}{_more(len(blocks), count)}", "dim")


def _more(total: int, shown: int) -> str:
    return f"and {total - shown} more (--json)" if shown else f"{total} of them (--json)"


# --- what is said -------------------------------------------------------------------------------------------


def _headline(status: LineStatus) -> Text:
    up = timedelta(seconds=max(0, (status.utc_ns - status.started_utc_ns) // 1_000_000_000))
    signal, state = f" {status.health.replace('_', ' ').upper()} ", f"  {status.state} for {up}"
    software = f", inspectd {status.software}"
    room = WIDTH - len(signal) - len(state) - len(software) - 2
    name = _short(f"{status.plant}/{status.line}", max(_NAME // 2, room))
    text = cell(signal, _COLOURS.get(status.health, ""))
    text.append_text(cell(f"  {name}", "bold"))
    text.append_text(cell(f"{state}{software}"))
    return text


def _condition(each: HealthCondition, utc_ns: int) -> Block:
    where = f"{each.camera}: " if each.camera else ""
    since = "" if each.since_utc_ns is None else f" (for {_span(utc_ns - each.since_utc_ns)})"
    name, *rest = _wrapped(f"  {each.condition}  {where}{each.detail}{since}", " " * 4)
    text = cell(name)
    text.stylize(_COLOURS.get(each.status, ""), 2, 2 + len(each.condition))
    return [text, *map(cell, rest)]


def _cameras(cameras: Sequence[CameraStatus], count: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("camera", "state", "recipe"):
        table.add_column(name, no_wrap=True)
    for name in ("1 min: pass", "fail", "undec.", "score", "good"):
        table.add_column(name, no_wrap=True, justify="right")
    for camera in cameras[:count]:
        counts = [str(camera.verdicts.get(evaluation, 0)) for evaluation in Evaluation]
        shares = ["" if each is None else f"{each:.0%}" for each in (camera.score_share, camera.good_share)]
        phase = cell(camera.phase, _PHASES.get(camera.phase, ""))
        recipe = camera.recipe.partition("/")[0]  # what follows is the camera's name again
        table.add_row(cell(_short(camera.place)), phase, cell(_short(recipe)), *counts, *shares)
    if len(cameras) > count:
        table.add_row(cell(_more(len(cameras), count), "dim"))
    return table


def _facts(status: LineStatus) -> dict[str, Text]:
    counts, texts = status.counts, {}
    if any(camera.score_share is not None for camera in status.cameras):
        texts["drift"] = "score: median of the last 200; good: the bank's good parts; limit 100%"
    texts["frames"] = (
        f"{counts.captured:,} = {counts.verdicts:,} verdicts "
        + (f"+ {counts.untriggered:,} untriggered " if counts.untriggered else "")
        + f"+ {counts.drops - counts.untriggered:,} drops + {counts.in_flight} in flight"
        + (f" - {counts.further:,} further regions" if counts.further else "")
    )
    if counts.triggers:
        texts["triggers"] = (
            f"{counts.triggers:,} = {counts.parts:,} parts + {counts.triggers_open} open; "
            f"{counts.missed:,} views without a frame"
        )
    scoring = "not ready" if status.device is None else f"ready on {status.device}"
    texts["scoring"] = f"{scoring}; {status.waiting} wait, {status.with_scoring} are with it"
    name, _, version = status.in_force.partition("@")
    named = status.in_force
    if name == "file":
        named = "the configuration file's recipes" + (f", changed by reload {version}" if version else "")
    texts["in force"] = named + (f"; prepared: {', '.join(status.prepared)}" if status.prepared else "")
    if status.shadow is not None:
        texts["shadow"] = _shadow(status.shadow)
    texts["disk"] = _disk(status)
    texts["clients"] = _clients(status, "") or "none known yet"
    if status.keys is not None:
        over_tcp = _clients(status, "tcp ")
        texts["keys"] = _keys(status.keys) + (f"; over TCP: {over_tcp}" if over_tcp else "")
    return {name: _fact(name, text) for name, text in texts.items()}


def _recipe(recipe: RecipeStatus) -> Text:
    speed = "" if recipe.images_per_second is None else f", {recipe.images_per_second:.0f} images/s"
    second = "" if recipe.check_above is None else f", check above {recipe.check_above:.4g}"
    about = f"threshold {recipe.threshold:.4g}{second}, bank {recipe.bank_sha256[:8]}{speed}"
    return _fact("", f"{_short(recipe.recipe, WIDTH - _LABEL - len(about) - 2)}: {about}")


def _golden(golden: GoldenStatus, utc_ns: int) -> Block:
    """What a person has to know of a recipe's check: how it is, since when, and what is next."""
    nexts = [] if golden.due_utc_ns is None else [f"in {_span(golden.due_utc_ns - utc_ns)}"]
    nexts += [] if golden.due_parts is None else [f"after {golden.due_parts:,} parts"]
    last = ""
    if golden.last_outcome is not None and golden.last_utc_ns is not None:
        who = f" by {golden.last_who}" if golden.last_who else ""
        last = f"{golden.last_outcome} {_span(utc_ns - golden.last_utc_ns)} ago{who}"
    match golden.state:
        case GoldenState.PASSED:
            words = f"next check {' or '.join(nexts) or 'not due by time'}"
        case GoldenState.DUE:
            words = f"check DUE, do it within {_span((golden.overdue_utc_ns or utc_ns) - utc_ns)}"
        case GoldenState.OVERDUE:
            since = "" if golden.overdue_utc_ns is None else f" for {_span(utc_ns - golden.overdue_utc_ns)}"
            words = f"check OVERDUE{since}"
        case _:
            words = f"check {golden.state.upper()}"
    if golden.under_way is not None:
        is_due = golden.state != GoldenState.PASSED
        words = f"{words}, one is under way" if is_due else "a check is under way"
    if golden.state in {GoldenState.OVERDUE, GoldenState.FAILED} and not golden.is_held:
        words += " (parts are judged)"
    if golden.state == GoldenState.FAILED and golden.problems:
        words += f": {'; '.join(golden.problems)}"
    words += f"; last {last}" if last else "; no check before"
    text = f"{'golden':<{_LABEL}}{_short(golden.recipe)}: {words}"
    return [_labelled(each) for each in _wrapped(text, " " * _LABEL)]


def _shadow(shadow: ShadowStatus) -> str:
    """What a shadow would have judged otherwise."""
    if shadow.state in {ShadowState.DOWN, ShadowState.FAILED}:
        return f"{shadow.recipe} {shadow.state}: {shadow.detail}"
    if shadow.state == ShadowState.LOADING:
        return f"{shadow.recipe} loading"
    scored = shadow.frames.get(ShadowResult.SCORED, 0)
    if not scored and any(shadow.frames.values()):
        why = max(shadow.frames, key=shadow.frames.__getitem__)
        return f"{shadow.recipe} compares NONE of {sum(shadow.frames.values()):,} frames, most as {why}"
    total = f"{sum(shadow.frames.values()):,}"
    otherwise = f"fail {shadow.to_fail:,} passes, pass {shadow.to_pass:,} fails"
    if shadow.unjudged:  # first, as the row may be cut at its end
        return f"{shadow.recipe}: would not judge {shadow.unjudged:,}, {otherwise} of {total}"
    return f"{shadow.recipe}: {scored:,} of {total} frames; would {otherwise}"


def _disk(status: LineStatus) -> str:
    texts = [f"journal {status.journal}"]
    if status.journal_bytes is not None:
        texts[0] += f", {_mb(status.journal_bytes)}"
    if status.evidence_bytes is not None:
        texts.append(f"evidence {_mb(status.evidence_bytes)} of {_mb(status.evidence_quota_bytes)}")
    if status.disk_free_bytes is not None:
        texts.append(f"{_mb(status.disk_free_bytes)} free")
    return "; ".join(texts)


def _clients(status: LineStatus, prefix: str) -> str:
    """Connections of the local clients, or with the prefix `tcp ` of the others."""
    found = {
        socket.removeprefix(prefix): count
        for socket, count in status.connections.items()
        if socket.startswith("tcp ") == bool(prefix)
    }
    return ", ".join(f"{socket} {count}" for socket, count in found.items())


def _keys(keys: KeysStatus) -> str:
    if keys.is_unread:
        return "list UNREAD, the one read last is in force"
    if keys.insecure:
        return f"NONE, and other hosts reach {', '.join(keys.insecure)}"
    if keys.plain:
        return f"none needed on this host for {', '.join(keys.plain)}"
    return "nobody can connect over TCP" if keys.allowed is None else f"{keys.allowed} allowed"


# --- words --------------------------------------------------------------------------------------------------


def _fact(name: str, about: str) -> Text:
    return _labelled(_cut(f"{name:<{_LABEL}}{printable(about)}"))


def _labelled(row: str) -> Text:
    text = cell(row)
    text.stylize("dim", 0, _LABEL)
    return text


def _wrapped(text: str, indent: str) -> list[str]:
    """Two rows at most; what is longer ends with an ellipsis."""
    return textwrap.wrap(printable(text), WIDTH, subsequent_indent=indent, max_lines=2, placeholder=" …")


def _cut(row: str) -> str:
    return row if len(row) <= WIDTH else f"{row[: WIDTH - 1]}…"


def _short(name: str, most: int = _NAME) -> str:
    """The name, or its beginning and its end: names of a line often differ at the end alone."""
    name = printable(name)
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _span(span_ns: int) -> str:
    """A time in words; one that is over, by a clock that was set, is none."""
    seconds = max(0, span_ns) // _SECOND_NS
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"
