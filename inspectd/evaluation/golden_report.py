"""A self-contained HTML page of a line's golden parts: agreement, scores over time, drifts and failures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.golden_plots import (
    AGREED,
    BEGINNING,
    DISAGREED,
    LIMIT,
    TREND,
    agreement_svg,
    local_day,
    part_svg,
)
from inspectd.evaluation.golden_summary import GoldenSummary, PartSummary
from inspectd.evaluation.golden_trend import FEWEST_CHECKS
from inspectd.evaluation.page import facts, page, percent, table
from inspectd.evaluation.plots import escape
from inspectd.files import write_text

HEADINGS: Final = ("part", "camera", "expect", "agreed", "undecided", "first 10", "last 10", "a day")
_MOST_PICTURES: Final = 60


def write_golden_report(path: Path, summary: GoldenSummary, title: str, notes: Sequence[str] = ()) -> None:
    """Write the page; it refers to nothing outside itself.

    Args:
        path: its file.
        summary: what it says.
        title: of the line.
        notes: about what the figures rest on, for people.

    Raises:
        UnavailableError: the file cannot be written.
    """
    write_text(path, page(title, _body(summary, notes)))


def table_row(part: PartSummary) -> tuple[str, ...]:
    """What a part on a camera has under each of `HEADINGS`."""
    series, trend = part.series, part.trend
    return (
        series.part,
        series.camera,
        series.expect,
        f"{part.agreed.count} of {part.agreed.total}",
        str(part.undecided),
        f"{trend.first:.4g}",
        f"{trend.last:.4g}" if len(series.points) > FEWEST_CHECKS else "",
        "" if trend.per_day is None else f"{trend.per_day:+.2g}",
    )


def _body(summary: GoldenSummary, notes: Sequence[str]) -> Iterator[str]:
    begin, end = (local_day(at) for at in (summary.begin_utc_ns, summary.end_utc_ns))
    yield f"<p class='note'>Checks from {begin} to {end}, in this host's time.</p>"
    for note in notes:
        yield f"<p class='note'>{escape(note)}</p>"
    yield from facts(
        [
            ("known good parts rejected", _rate(summary.false_rejects)),
            ("known bad parts passed", _rate(summary.false_accepts)),
            *((f"checks {outcome}", str(count)) for outcome, count in summary.checks.items()),
            ("showings outside their band", str(summary.good.outside_band + summary.bad.outside_band)),
            ("showings not judged", str(summary.good.undecided + summary.bad.undecided)),
        ]
    )
    yield "<p class='note'>In brackets: 95 % intervals (Clopper and Pearson). They say how surely the line "
    yield "judges these very parts when they are shown again; of other parts and other defects they say "
    yield "nothing: <code>inspectd bank evaluate</code> and <code>bank sensitivity</code> do.</p>"
    yield from _warnings(summary.warnings)
    if summary.periods:
        yield "<h2>Agreement over time</h2><div class='plots one'><div>"
        yield agreement_svg(summary.periods)
        yield "</div></div><p class='note'>Beside each point: the showings it rests on.</p>"
    yield "<h2>Golden parts</h2>"
    yield from table((*HEADINGS, "towards"), ((*table_row(part), _towards(part)) for part in summary.parts))
    yield from _pictures(summary.parts)
    yield from _failures(summary)


def _rate(share: Interval) -> str:
    return "none shown" if math.isnan(share.share) else percent(share)


def _warnings(warnings: Sequence[str]) -> Iterator[str]:
    yield "<h2>Drifts towards a limit</h2>"
    if warnings:
        yield f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in warnings)}</ul>"
    else:
        yield "<p class='note'>None that these checks show.</p>"
    yield "<p class='note'>A drift is the median slope between all pairs of a part's last 60 checks (Theil "
    yield "and Sen); it is told if its 95 % interval leaves out zero. The time to the limit supposes that it "
    yield "goes on as it did, so it is told no farther ahead than the part was watched. A jump comes without "
    yield "a warning, and of 40 parts that do not drift about one is told to drift by chance.</p>"


def _towards(part: PartSummary) -> str:
    trend = part.trend
    if trend.limit is None:
        return ""
    when = "" if trend.days is None else f", about {trend.days:.0f} days"
    return f"{trend.limit_name} {trend.limit:.4g}{when}"


def _pictures(parts: Sequence[PartSummary]) -> Iterator[str]:
    yield "<h2>Scores over time</h2><p class='note'>"
    for colour, name in (
        (AGREED, "a check that agreed, and the band"),
        (DISAGREED, "one that did not"),
        (LIMIT, "threshold"),
        (BEGINNING, "median of the first ten checks"),
        (TREND, "trend"),
    ):
        yield f"<b style='color:{colour}'>&#9632;</b> {name} &nbsp; "
    yield "</p><div class='plots'>"
    first = sorted(parts, key=lambda part: (part.warning is None, part.agreed.count == part.agreed.total))
    for part in first[:_MOST_PICTURES]:
        earlier = part.series.earlier_banks
        yield f"<div>{part_svg(part)}"
        if earlier:
            yield f"<p class='note'>Bank {part.series.bank_sha256[:12]}; {earlier} earlier not shown.</p>"
        yield "</div>"
    yield "</div>"
    if len(first) > _MOST_PICTURES:
        yield f"<p class='note'>And {len(first) - _MOST_PICTURES} more.</p>"


def _failures(summary: GoldenSummary) -> Iterator[str]:
    yield f"<h2>Failed checks ({summary.checks['failed']})</h2>"
    if not summary.failures:
        yield "<p class='note'>None.</p>"
        return
    yield from table(
        ("when", "recipe", "who", "why"),
        (
            (
                local_day(failed.utc_ns, with_time=True),
                failed.recipe + ("" if failed.recipe_version is None else f"@{failed.recipe_version}"),
                failed.who or "trigger",
                "; ".join(failed.problems),
            )
            for failed in summary.failures
        ),
    )
