"""The report on a candidate as one HTML page with pictures, which refers to nothing outside itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from inspectd.bank.answers import SHORT
from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.page import facts, gallery, page, table
from inspectd.evaluation.plots import escape
from inspectd.files import write_text
from inspectd.teach.replay import MOST_PARTS, LeftOut, Replay, Replayed
from inspectd.teach.report import Flips, KnownDefect, TeachReport
from inspectd.teach.report_pictures import beside_both

_MOST_PICTURES: Final = 60
_LEFT_OUT: Final[dict[LeftOut, str]] = {
    "unreadable": "its evidence.json cannot be read",
    "no_picture": "its picture cannot be read, or is not the one that was judged",
    "other": "of another recipe or camera",
    "undecidable": "undecidable",
    "older": f"older than the {MOST_PARTS} newest",
}


def write_teach_report(path: Path, report: TeachReport, found: Replay) -> None:
    """Write the page.

    Raises:
        UnavailableError: the file cannot be written.
    """
    title = f"{report.recipe}@{report.recipe_version}, {report.place}: candidate {report.bank_sha256[:SHORT]}"
    write_text(path, page(title, _body(report, found)))


def share_words(share: Interval) -> str:
    """A share with its bounds, for people."""
    if not share.total:
        return "none was kept: not known"
    return f"{share.count} of {share.total} = {share.share:.1%} ({share.low:.1%} to {share.high:.1%})"


def flip_rows(report: TeachReport) -> list[tuple[str, ...]]:
    """Rows of the table of flips: what, replayed, of how many judged, and both ways with bounds."""
    named = (
        ("passed, kept by chance", report.passes_by_chance),
        ("passed, marked for a second look", report.other_passes),
        ("failed", report.fails),
    )
    return [(name, *_cells(flips)) for name, flips in named]


def all_passes_words(report: TeachReport) -> str:
    """What comes of all passes of the line, those that are marked among them, for people."""
    return f"at most {report.passes_to_fail:.1%} fail from now on, if every marked one that was not kept does"


FLIP_HEADINGS: Final = ("parts", "replayed", "judged by the line", "fail from now on", "pass from now on")


EFFECT_HEADINGS: Final = ("case", "rejects that pass because of it", "which")
EFFECT_NOTE: Final = (
    "Counted are kept rejects that nobody called good, and known bad parts. A defect that was called good by "
    "mistake shows here, if rejects like it were kept."
)


def effect_rows(report: TeachReport) -> list[tuple[str, ...]]:
    """Rows of the table of what each newly taught picture does."""
    if report.effects is None:
        return [("all", "not known", "no rows of single pictures, or none that fit the bank in force")]
    return [
        (each.case, f"{len(each.passes)} of {each.rejects}", ", ".join(each.passes)[:200] or "none")
        for each in report.effects
    ]


def left_out_rows(report: TeachReport) -> list[tuple[str, str]]:
    """Reasons for not replaying evidence, in words, and how often each."""
    return [(_LEFT_OUT[why], str(count)) for why, count in report.left_out.items()]


def defect_words(defect: KnownDefect) -> str:
    """What a candidate makes of a known defect, for people."""
    cost = f"a threshold that finds it rejects {share_words(defect.good_as_high)} of the bank's good images"
    if defect.found:
        return f"is found; {cost}"
    if defect.seen:
        return f"passes, but the bank sees it: {cost}"
    return f"passes, and the bank does not see it: {cost}; other light, layers or a finer grid may help"


def _cells(flips: Flips) -> tuple[str, ...]:
    judged = "not known" if flips.judged is None else f"{flips.judged:,}"
    return str(flips.kept), judged, share_words(flips.to_fail), share_words(flips.to_pass)


def _body(report: TeachReport, found: Replay) -> Iterator[str]:
    yield f"<p class='note'>Beside the bank of {report.recipe}@{report.judging_version}. "
    yield "Shares have exact 95 % bounds.</p>"
    for need in report.needs:
        yield f"<p><b>Needs a second reason:</b> {escape(need.words)}.</p>"
    yield from facts(
        [
            ("threshold before", f"{report.threshold_before:.4g}"),
            ("threshold", f"{report.threshold:.4g}"),
            ("cases taught", str(len(report.taught))),
            ("of them unlike the rest", str(len(report.unlike_the_rest))),
            ("verdicts that flip", str(len(report.flips))),
            ("golden images judged wrong", f"{report.golden_wrong} of {report.golden}"),
            ("known defects that pass", _passed(report)),
        ]
    )
    yield "<h2>What each taught picture does</h2>"
    yield from table(EFFECT_HEADINGS, effect_rows(report))
    yield f"<p class='note'>{EFFECT_NOTE}</p>"
    yield "<h2>How verdicts flip</h2>"
    yield from table(FLIP_HEADINGS, flip_rows(report))
    yield f"<p>Of all passes of the line {all_passes_words(report)}.</p>"
    yield "<p class='note'>Only passes that were kept by chance stand for others, for those that are not "
    yield "marked; of the rest one sees what was kept. What is not among the replayed parts was not kept, "
    yield "and nobody knows how it flips.</p>"
    if report.left_out:
        yield "<h2>Evidence that was not replayed</h2>"
        yield from table(("reason", "parts"), left_out_rows(report))
    flips = [item for item in found.items if item.flips]
    for heading, passes in (("Pass from now on", True), ("Fail from now on", False)):
        items = sorted(
            (item for item in flips if item.passes[1] is passes),
            key=lambda item: item.scores[1],
            reverse=passes,
        )
        yield from _pictures(heading, items, report)
    defects = [item for item in found.items if item.kind == "known_defect"]
    yield from _pictures("Known defects", defects, report)
    yield from table(
        ("known defect", "score before", "score", "what the candidate makes of it"),
        (
            (defect.name, f"{defect.score_before:.4g}", f"{defect.score:.4g}", defect_words(defect))
            for defect in report.known_defects
        ),
    )
    for note in report.notes:
        yield f"<p class='note'>{escape(note)}</p>"


def _passed(report: TeachReport) -> str:
    passed = sum(not defect.found for defect in report.known_defects)
    return f"{passed} of {len(report.known_defects)}"


def _pictures(heading: str, items: Sequence[Replayed], report: TeachReport) -> Iterator[str]:
    """Each picture beside its heatmaps by the bank in force and by the candidate."""
    figures = []
    for item in items[:_MOST_PICTURES]:
        shown = beside_both(item, (report.threshold_before, report.threshold))
        figures.append((shown, _caption(item)))
    yield from gallery(heading, figures, len(items), wide=True)
    if len(items) > _MOST_PICTURES:
        yield f"<p class='note'>And {len(items) - _MOST_PICTURES} more; the JSON has all of them.</p>"


def _caption(item: Replayed) -> str:
    words = ["fails", "passes"]
    before, now = words[item.passes[0]], words[item.passes[1]]
    text = f"<b>{escape(item.name)}</b> &middot; {escape(item.kind.replace('_', ' '))}<br>"
    text += f"{before} with {item.scores[0]:.4g}, then {now} with {item.scores[1]:.4g}"
    if item.expect is not None:
        text += f"; {escape(item.expect)} is right"
    return text + ("; taught: score of a fit without it" if item.own[1] else "")
