"""Pictures of every page, at both sizes, in each language, dark and light, to be looked at by a stranger.

`PYTHONPATH=tests python tools/page_screens.py --out FOLDER` starts a line that the stub scores and its page,
lets parts go by for a while, and writes `PAGE-WIDTHxHEIGHT-LANGUAGE-THEME.png` and `index.html` with all.
"""

from __future__ import annotations

import argparse
import html
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright
from rich.progress import track
from support.cells import cells, link
from support.changeovers import add_recipe
from support.daemon import WELL, Daemon, camera_table, settings
from support.glass import ARGUMENTS, CHROMIUM, PANEL, TABLET, Glass
from support.page_process import PageProcess
from support.triggers import Plant

LANGUAGES: Final = ("en", "ko")
SCHEMES: Final = ("dark", "light")
PAGES: Final = {
    "now": ("engineer", "/"),
    "history": ("inspector", "/history"),
    "part": ("inspector", "/history?verdict=fail"),
    "trends": ("viewer", "/trends"),
    "recipes": ("engineer", "/recipes"),
    "golden": ("operator", "/golden"),
    "account": ("operator", "/account"),
    "users": ("admin", "/users"),
    "sessions": ("admin", "/sessions"),
    "audit": ("quality", "/audit"),
}
THERE: Final = "tbody tr, .tile, .chart canvas, dl.facts, .hint"
_GOLDEN: Final = """
[golden]
at_start = false
[[golden.parts]]
name = "good-1"
recipe = "cell"
expect = "pass"
cameras = ["top"]
"""


@contextmanager
def busy_line(folder: Path) -> Iterator[PageProcess]:
    """A line of two cameras with rejects, recipes, a golden part, an order and evidence; its page."""
    images, evidence = folder / "images", folder / "evidence"
    link(cells(defective=False)[:20], images / "good")
    link(cells(defective=True)[:5], images / "bad")
    cameras = camera_table("top", images, fps=4) + camera_table("side", images, fps=8, mode='"triggered"')
    triggers = "[triggers]\nwindow_ms = 1000\nmax_delay_ms = 3000\n"
    kept = f'[evidence]\ndir = "{evidence}"\nmax_per_second = 100\n'
    text = settings(
        Path("stub.bank"), cameras, deadline_ms=3000, extra=triggers + kept + "[preview]\n" + _GOLDEN
    )
    daemon = Daemon(folder, text, behaviour=WELL).ready()
    add_recipe(folder / "state", "blue", 7, {"top": 1.5, "side": 1.5})
    of_line = f'evidence_dir = "{evidence}"\nrecipes_dir = "{folder / "state" / "recipes"}"\n'
    view = '[view]\nzone = "Asia/Seoul"\ntakt_target_seconds = 1.5\n'
    page = PageProcess(folder / "page", daemon.runtime_dir, view, line=of_line)
    plant = Plant(daemon)
    try:
        page.browser("operator").post("/api/acts/order_begin", json={"order": "4711"}).raise_for_status()
        for number in track(range(60), "parts"):
            plant.trigger(number)
            daemon.reader.read(500)
        yield page
    finally:
        plant.close()
        page.close()
        daemon.close()


def open_page(glass: Glass, name: str) -> None:
    """Go to a page and wait until it shows what it has."""
    glass.open(PAGES[name][1])
    glass.sees(THERE)
    if name == "part":
        glass.sees("tbody a")
        glass.tab.locator("tbody a").last.tap()
        glass.sees(".verdict-line")
        glass.sees(".picture canvas")
    if name == "now":
        glass.sees(".tile.fresh")
    glass.tab.wait_for_timeout(1200)


def shoot(browser: Browser, page: PageProcess, out: Path, look: tuple[dict[str, int], str, str]) -> None:
    """Every page, in one size, theme and language."""
    size, scheme, language = look
    tail = f"{size['width']}x{size['height']}-{language}-{scheme}.png"
    with browser.new_context(viewport=size, color_scheme=scheme, locale=language) as context:
        login = context.new_page()
        login.goto(f"{page.origin}/login")
        login.screenshot(path=out / f"login-{tail}")
    for name, (role, _) in PAGES.items():
        with Glass(browser, page, role, size=size, scheme=scheme) as glass:
            glass.open("/account")
            glass.ask("POST", "/api/me/language", {"language": language})
            open_page(glass, name)
            glass.tab.screenshot(path=out / f"{name}-{tail}")


def main() -> None:
    """Start everything, and take them all."""
    parser = argparse.ArgumentParser(description="Takes pictures of every page of the operator's page.")
    parser.add_argument("--out", type=Path, default=Path("page-screens"))
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    looks = [
        (size, scheme, language) for size in (TABLET, PANEL) for scheme in SCHEMES for language in LANGUAGES
    ]
    with (
        tempfile.TemporaryDirectory(prefix="inspectd-screens-") as folder,
        busy_line(Path(folder)) as page,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for look in track(looks, "looks"):
            shoot(browser, page, out, look)
            page.close_browsers()
    shots = sorted(path.name for path in out.glob("*.png"))
    rows = "".join(f'<h2>{html.escape(name)}</h2><img src="{html.escape(name)}">' for name in shots)
    (out / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>Screens</title>{rows}")
    print(f"{len(shots)} pictures in {out}, index.html has them all")


if __name__ == "__main__":
    main()
