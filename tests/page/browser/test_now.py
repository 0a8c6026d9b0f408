"""What a person at the line sees now, and what is said when it is not live any more."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

pytestmark = pytest.mark.system

LIVE = ".tile.fresh"


def test_a_picture_its_verdict_and_the_line_are_shown_live(page, look) -> None:
    glass = look(page)
    glass.sees(".band.ok strong", "RUNNING")
    glass.sees(LIVE, "top")
    assert glass.colours(f"{LIVE} canvas") > 8
    assert glass.text(f"{LIVE} .numbers").startswith("Score")
    glass.sees(".strip a.fail canvas")  # a reject, with its picture
    glass.sees(".counter .parts", "parts")
    side = glass.tab.locator(".tile", has_text="side")
    assert "NO PICTURE" in side.inner_text()
    assert "No part has come" in side.inner_text()


def rejects_in(glass) -> list[str]:
    """Which parts the strip shows; their pictures may still be on their way."""
    return glass.tab.eval_on_selector_all(".strip a", "links => links.map(link => link.href)")


def test_a_frozen_view_says_so_and_the_line_goes_on(page, look) -> None:
    glass = look(page)
    glass.sees(".strip a.fail")
    glass.tab.get_by_role("button", name="Freeze this view").tap()
    glass.sees(".frozen-said", "The line goes on")
    strip, parts = rejects_in(glass), glass.text(".counter .parts b")
    glass.tab.wait_for_function(
        "before => document.querySelector('.counter .parts b').innerText !== before", arg=parts
    )
    assert glass.tab.locator(LIVE).count() == 0
    assert rejects_in(glass) == strip
    glass.tab.get_by_role("button", name="Back to live").tap()
    glass.sees(LIVE)


def test_the_strip_waits_for_a_picture_whatever_the_browser_s_clock_says(line, page, look) -> None:
    glass = look(page, path="/account")
    glass.tab.add_init_script("{ const now = Date.now; Date.now = () => now() + 3_600_000; }")
    asked: dict[str, float] = {}
    glass.tab.on(
        "request",
        lambda request: (
            asked.setdefault(request.url.partition("/api/strip/")[2], time.time())
            if "/api/strip/" in request.url
            else None
        ),
    )
    glass.open("/")
    glass.sees(LIVE)
    began = time.time() + 1
    waited: list[float] = []
    while len(waited) < 3:
        assert time.time() < began + 20
        glass.tab.wait_for_timeout(500)
        line.reader.read(0)
        decided = {f"{each.epoch}/{each.seq}": each.decided_utc_ns / 1e9 for each in line.reader.verdicts}
        waited = [at - decided[name] for name, at in asked.items() if decided.get(name, 0.0) > began]
    assert min(waited) > 0.7  # a picture comes up to 0.8 s after its verdict


def test_without_pictures_the_newest_verdict_is_shown_as_the_last_one(line, page, look) -> None:
    glass = look(page)
    tile = '.tile:has(.place:text-is("top"))'
    glass.sees(f"{tile}.fresh")
    preview = line.children()["preview"]
    os.kill(preview, signal.SIGSTOP)  # no more pictures; verdicts come as before
    try:
        for verdict in ("fail", "pass", "fail"):  # good parts and bad ones come all the time
            glass.sees(f"{tile}.stale .badge.{verdict}", within_seconds=10)
        glass.sees(f"{tile}.stale .last", "Last:")
    finally:
        with contextlib.suppress(ProcessLookupError):  # the line replaces one that stands still for long
            os.kill(preview, signal.SIGCONT)
    glass.sees(f"{tile}.fresh:not(:has(.last))")


def test_heat_is_drawn_and_taken_away(page, look) -> None:
    glass = look(page)
    glass.sees(".strip a.fail canvas")
    glass.tab.get_by_role("button", name="Freeze this view").tap()
    shown = "canvas => canvas.toDataURL()"
    canvas = glass.tab.locator(".strip a.fail canvas").first
    with_heat = canvas.evaluate(shown)
    glass.tab.get_by_role("button", name="Show where").tap()
    glass.tab.wait_for_function(
        "before => document.querySelector('.strip a.fail canvas').toDataURL() !== before", arg=with_heat
    )
