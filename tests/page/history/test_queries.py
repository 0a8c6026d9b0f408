"""Every filter finds what it should, in order, page by page, and counts add up."""

from __future__ import annotations

import contextlib
import random
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.messages import EPOCH
from support.page_history import START_MS, Filled, made

from inspectd.client import Evaluation, PartVerdict, Reason, Verdict, ViewVerdict
from inspectd.page.history import filters, queries
from inspectd.page.history.bins import add_packed, bin_of, middle_of, packed, quantiles
from inspectd.page.history.filters import Filter, FilterError
from inspectd.page.history.rows import every_field, pack, unpack

HOSTILE = (
    "=HYPERLINK(1)",
    "'; DROP TABLE verdict; --",
    "a\nb",
    "\x00",
    "%",
    "_",
    "<script>1</script>",
    "한글",
)
CAMERAS, RECIPES = ("top", "side"), ("cells", "wafers")


def many(count: int, seed: int) -> list[Verdict]:
    """Verdicts of two cameras and recipes, some at the same millisecond, some without a score."""
    chance = random.Random(seed)
    at, found = START_MS, []
    for seq in range(1, count + 1):
        at += chance.choice([0, 0, 1, 40, 60_000])
        score = chance.choice([None, 0.0, -1.5, chance.uniform(0, 5), chance.uniform(0, 5)])
        evaluation, reason = (
            (Evaluation.UNDECIDABLE, chance.choice([Reason.BLACK, Reason.DEADLINE]))
            if score is None
            else (Evaluation.FAIL, Reason.ABOVE_THRESHOLD)
            if score > 2.5
            else (Evaluation.PASS, Reason.WITHIN_THRESHOLD)
        )
        found.append(
            made(
                seq, at, camera=chance.choice(CAMERAS), region=chance.choice([None, "left"]), score=score,
                recipe=chance.choice(RECIPES), evaluation=evaluation, reason=reason,
                part_id=chance.choice([None, *HOSTILE]),
            )
        )  # fmt: skip
    return found


def fits(item: Verdict, wanted: Filter) -> bool:
    at = item.decided_utc_ns // 1_000_000
    pairs = [
        (wanted.camera, item.camera), (wanted.region, item.region), (wanted.verdict, item.evaluation),
        (wanted.reason, item.reason), (wanted.part_id, item.part_id), (wanted.recipe, item.recipe),
    ]  # fmt: skip
    low = -9e9 if wanted.score_min is None else wanted.score_min
    high = 9e9 if wanted.score_max is None else wanted.score_max
    return (
        wanted.from_ms <= at < wanted.to_ms
        and all(want is None or want == have for want, have in pairs)
        and wanted.kind != "part"
        and (not wanted.has_score or (item.score is not None and low <= item.score <= high))
    )


def all_pages(filled: Filled, wanted: Filter, limit: int, *, is_oldest_first: bool) -> list[int]:
    """The seqs of all pages."""
    found: list[int] = []
    before = None
    while True:
        rows, before = filled.ask(
            lambda connection, at=before: queries.page(
                connection, wanted, at, limit, is_oldest_first=is_oldest_first
            )
        )
        assert len(rows) <= limit
        found += [unpack(row.body).seq for row in rows]
        if before is None:
            return found
        assert len(rows) == limit


def test_every_combination_of_filters_finds_what_a_plain_search_finds(filled: Filled) -> None:
    items = many(400, seed=1)
    for start in range(0, len(items), 50):
        filled.write(items[start : start + 50])
    newest_first = sorted(items, key=lambda item: (item.decided_utc_ns // 1_000_000, item.seq), reverse=True)
    chance = random.Random(2)
    middle = items[200].decided_utc_ns // 1_000_000
    for _ in range(150):
        wanted = Filter(
            from_ms=chance.choice([0, middle]),
            to_ms=chance.choice([middle + 1, 2 * START_MS]),
            camera=chance.choice([None, None, *CAMERAS]),
            region=chance.choice([None, None, "left"]),
            verdict=chance.choice([None, None, "fail", "undecidable"]),
            reason=chance.choice([None, None, "black", "above_threshold"]),
            part_id=chance.choice([None, None, None, *HOSTILE]),
            recipe=chance.choice([None, None, *RECIPES]),
            score_min=chance.choice([None, None, 0.0, 2.0, -2.0]),
            score_max=chance.choice([None, None, 4.0, 2.0]),
            kind=chance.choice([None, "frame", "part"]),
        )
        expected = [item.seq for item in newest_first if fits(item, wanted)]
        is_oldest_first = chance.choice([False, True])
        found = all_pages(filled, wanted, chance.choice([1, 7, 200]), is_oldest_first=is_oldest_first)
        assert found == (expected[::-1] if is_oldest_first else expected), wanted


def test_a_part_is_found_by_the_recipe_of_its_views_and_shows_them(filled: Filled) -> None:
    views = [
        made(seq, START_MS + seq, trigger_id="t1", part_id="p", recipe="wafers", camera=camera)
        for seq, camera in ((1, "top"), (2, "side"))
    ]
    filled.write(views)
    filled.store._views.clear()  # as after a restart of the page
    part = PartVerdict(
        "demo", "line1", EPOCH, 3, "t1", "p", None, Evaluation.PASS, Reason.WITHIN_THRESHOLD,
        START_MS * 1_000_000, (START_MS + 3) * 1_000_000, 12.0, 500.0, 400.0, False,
        [ViewVerdict(view.camera, view.seq, view.evaluation, view.reason) for view in views],
    )  # fmt: skip
    filled.write([part])
    answer = filled.client().get("/api/verdicts", params={"kind": "part", "recipe": "wafers"}).json()
    assert [row["seq"] for row in answer["rows"]] == [3]
    shown = filled.client().get(f"/api/parts/{EPOCH}/3").json()
    assert [view["camera"] for view in shown["views"]] == ["top", "side"]
    assert shown["all"]["decided_utc_ns"] == str((START_MS + 3) * 1_000_000)
    assert shown["picture"]["why"] == "see_views"


def test_what_is_kept_is_every_field_as_it_came() -> None:
    item = made(1, START_MS, encoder_count=2**60, part_id="한글 \u2028")
    assert unpack(pack(item)) == item
    assert every_field(item)["encoder_count"] == str(2**60)
    assert len(pack(item)) < 400


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=20)), max_size=4))
def test_no_parameter_is_anything_but_read_or_refused_in_words(parameters: list[tuple[str, str]]) -> None:
    with contextlib.suppress(FilterError):
        filters.parse(parameters)


_GOOD: dict[str, Any] = {
    "from_ms": st.integers(0, 10**12), "to_ms": st.integers(10**12 + 1, 10**13),
    "camera": st.text(max_size=64), "limit": st.integers(1, 200),
    "part_id": st.text(max_size=256), "score_min": st.floats(-1e9, 0), "score_max": st.floats(0, 1e9),
    "before": st.builds("{}.{}".format, st.integers(0, 10**14), st.integers(0, 10**17)),
    "verdict": st.sampled_from(["pass", "fail", "undecidable"]), "kind": st.sampled_from(["frame", "part"]),
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional=_GOOD))
def test_what_is_asked_for_is_what_is_read(asked: dict[str, Any]) -> None:
    read = filters.parse([(name, str(value)) for name, value in asked.items()])
    for name, value in asked.items():
        if name == "limit":
            assert read.limit == value
        elif name == "before":
            assert str(read.before) == ".".join(str(int(number)) for number in value.split("."))
        else:
            assert getattr(read.filter, name) == (None if value == "" else value)


@pytest.mark.parametrize(
    "query",
    [
        "from_ms=5&to_ms=5", "from_ms=-1", "from_ms=1e3", "from_ms=٣", "limit=0", "limit=201", "before=1",
        "score_min=nan", "score_max=inf", "score_min=2&score_max=1", "verdict=maybe", "kind=x", "wat=1",
        "camera=a&camera=b", f"part_id={'x' * 257}", "before=1.99999999999999999999",
    ],
)  # fmt: skip
def test_a_wrong_filter_is_refused_with_its_name(query: str) -> None:
    with pytest.raises(FilterError, match=query.partition("=")[0]):
        filters.parse(parse_qsl(query))


def test_a_refused_filter_is_an_answer_in_words(filled: Filled) -> None:
    answer = filled.client().get("/api/verdicts?limit=0")
    assert (answer.status_code, answer.json()["what"]) == (400, "filter")
    assert answer.json()["error"] == "limit: got '0', expected 1 to 200"


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_larger_value_has_no_lower_bin(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert bin_of(low, 8) <= bin_of(high, 8)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=60))
def test_quantiles_are_those_of_the_values_within_half_a_bin(values: list[float]) -> None:
    counts: dict[int, int] = {}
    for value in values:
        add_packed(counts, packed({bin_of(value, 32): 1}))
    values.sort()
    for share, found in zip((0.5, 0.9), quantiles(counts, (0.5, 0.9), 32), strict=True):
        exact = values[max(0, -int(-share * len(values) // 1) - 1)]
        assert found == pytest.approx(exact, rel=0.012)


def test_bins_say_what_they_stand_for() -> None:
    assert middle_of(bin_of(2.5, 32), 32) == pytest.approx(2.5, rel=0.011)
    assert middle_of(bin_of(-2.5, 32), 32) == pytest.approx(-2.5, rel=0.011)
    assert quantiles({}, (0.5,), 32) == [None]
