"""What the pages show of a history that is there, of a line that is away by now."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.page_history import EPOCH, made
from support.page_process import PageProcess

from inspectd.client import Cursor, Position, Verdict
from inspectd.page.history.schema import FILE
from inspectd.page.history.store import Batch, HistoryStore

pytestmark = pytest.mark.system

NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000


def verdicts(count: int, every_ms: int, **more: Any) -> list[Verdict]:
    """As many of the page's line, the last of them a second ago."""
    first = NOW_MS - 1000 - (count - 1) * every_ms
    named = {"plant": "test", "line": "line", **more}
    return [made(seq + 1, first + seq * every_ms, **named) for seq in range(count)]


@pytest.fixture
def page_of(tmp_path: Path) -> Iterator[Callable[..., PageProcess]]:
    """Starts a page whose history has these verdicts."""
    with ExitStack() as started:

        def start(items: list[Verdict]) -> PageProcess:
            folder = tmp_path / "page" / "store" / "history"
            folder.mkdir(parents=True)
            store = HistoryStore(folder / FILE)
            last = items[-1]
            store.write(Batch(items, Cursor("test", "line", Position(last.epoch, last.seq))))
            store.close()
            page = PageProcess(tmp_path / "page", tmp_path / "none")
            started.callback(page.close)
            return page

        yield start


COLOURED = """canvas => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    const of = data.slice(i, i + 3);
    if (data[i + 3] > 200 && Math.max(...of) - Math.min(...of) > 60) found++;
  }
  return found;
}"""
"""Pixels that are neither grey nor clear: axes and their words are."""


def test_trends_show_values_that_stand_alone(page_of, look) -> None:
    page = page_of(verdicts(100, 180_000))  # a part every three minutes, of which a point stands for one
    glass = look(page, path=f"/trends?from_ms={NOW_MS - 5 * HOUR_MS}&to_ms={NOW_MS}")
    glass.sees("figure.chart canvas")
    chart = glass.tab.locator("figure.chart", has_text="Time to the verdict")
    assert chart.locator("canvas").evaluate(COLOURED) > 500


DRAWN = """
const [drawn, draw] = [[], CanvasRenderingContext2D.prototype.fillText];
window.drawn = drawn;
CanvasRenderingContext2D.prototype.fillText = function (text, x, ...more) {
  drawn.push([text, this.textAlign, Math.round(x), x + this.measureText(text).width < this.canvas.width]);
  return draw.call(this, text, x, ...more);
};
"""
"""Keeps what charts write, and how."""


def test_a_short_span_has_each_time_once_and_names_of_changes_beside_their_lines(page_of, look) -> None:
    items = verdicts(40, 15_000)
    for at, epoch in ((20, 1), (39, 2)):  # restarts, of which one has no room on its right
        items[at:] = [msgspec.structs.replace(item, epoch=EPOCH + epoch) for item in items[at:]]
    glass = look(page_of(items), path="/account")
    glass.tab.add_init_script(DRAWN)
    glass.open(f"/trends?from_ms={NOW_MS - 10 * 60_000}&to_ms={NOW_MS}")
    glass.sees("figure.chart canvas")
    drawn = [tuple(each) for each in glass.tab.evaluate("window.drawn")]
    restarts = {(text, align, is_whole) for text, align, _, is_whole in drawn if text.startswith("Restart")}
    assert restarts == {("Restart", "left", True)}
    of_time = {(text, x) for text, _, x, _ in drawn if re.fullmatch(r"\d\d:\d\d", text)}
    assert len(of_time) == len({text for text, _ in of_time}) > 5


def test_one_after_leads_to_the_next_part_however_many_come_in_a_minute(page_of, look) -> None:
    items = verdicts(600, 100)
    glass = look(page_of(items), path=f"/part/{items[0].epoch}/100?from_ms={NOW_MS - HOUR_MS}&to_ms={NOW_MS}")
    for step, seq in (("One after", 101), ("One before", 100)):
        glass.tab.get_by_role("link", name=step).tap()
        glass.tab.wait_for_url(f"**/part/{items[0].epoch}/{seq}?**")


def test_a_camera_that_the_line_has_no_more_can_be_chosen_and_is_shown_as_chosen(page_of, look) -> None:
    page = page_of([*verdicts(20, 60_000, camera="old"), made(30, NOW_MS, plant="test", line="line")])
    for path in ("/history", "/trends"):
        glass = look(page, path=f"{path}?from_ms={NOW_MS - HOUR_MS}&to_ms={NOW_MS}&camera=gone")
        field = glass.tab.locator("select").first
        field.locator("option", has_text="old").wait_for(state="attached")
        assert field.evaluate("field => field.selectedOptions[0].label") == "gone"
        field.select_option("old")
        glass.tab.wait_for_url("**camera=old**")
