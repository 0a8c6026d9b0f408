"""A real browser before a real page, as a person at the line has it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.page_process import PageProcess

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-quic"]  # fmt: skip
TABLET = {"width": 1280, "height": 800}
PANEL = {"width": 1920, "height": 1080}


@contextmanager
def launched(more: Sequence[str] = ()) -> Iterator[Browser]:
    """Chromium, for as long as it is open; nothing else in this process can run an event loop then."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])
        yield browser
        browser.close()


class Glass:
    """A tab in which somebody is logged in; at its end nothing has failed in it or left its origin.

    Args:
        browser: Chromium.
        page: the operator's page, or a hub.
        role: of who is logged in.
        size: of the glass, in pixels.
        scheme: `light` or `dark`.
        through: port of what stands before the page; 0: nothing does.
    """

    def __init__(
        self,
        browser: Browser,
        page: PageProcess,
        role: str,
        *,
        size: dict[str, int] = TABLET,
        scheme: str = "light",
        through: int = 0,
    ) -> None:
        self.origin, self.role = page.origin, role
        if through:
            self.origin = f"http://127.0.0.1:{through}"
        self._context: BrowserContext = browser.new_context(
            viewport=size, color_scheme=scheme, has_touch=True
        )
        self._context.add_cookies(
            [{"name": page.cookie, "value": page.token(role), "url": self.origin, "sameSite": "Strict"}]
        )
        self.tab: Page = self._context.new_page()
        self.tab.set_default_timeout(20_000)
        self.addresses: list[str] = []
        self.faults: list[str] = []
        self.tab.on("request", lambda request: self.addresses.append(request.url))
        self.tab.on("websocket", lambda socket: self.addresses.append(socket.url))
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        # What the policy of the page forbids is said there alone.
        self.tab.on("console", lambda said: self.faults.append(said.text) if "Refused" in said.text else None)

    def open(self, path: str = "/") -> Self:
        """Go to a page, and wait until it is there."""
        self.tab.goto(self.origin + path, wait_until="domcontentloaded")
        self.tab.wait_for_selector("main#content")
        return self

    def sees(self, selector: str, text: str | None = None, *, within_seconds: float = 60.0) -> float:
        """Wait until it is there, and seen; how long it took in seconds."""
        began = time.monotonic()
        found = self.tab.locator(selector)
        if text is not None:
            found = found.filter(has_text=text)
        found.first.wait_for(state="visible", timeout=within_seconds * 1000)
        return time.monotonic() - began

    def text(self, selector: str) -> str:
        """The words of the first of them."""
        return self.tab.locator(selector).first.inner_text()

    def ask(self, method: str, path: str, body: Any = None) -> int:
        """Ask the server as a script of the page would; the status."""
        status: int = self.tab.evaluate(
            """async ([method, path, body]) => (await fetch(path, {method, ...(body === null ? {} :
            {body: JSON.stringify(body), headers: {"Content-Type": "application/json"}})})).status""",
            [method, path, body],
        )
        return status

    def colours(self, selector: str) -> int:
        """How many colours a canvas shows: 1, or few, where nothing was drawn."""
        found: int = self.tab.locator(selector).first.evaluate(
            """canvas => new Set(new Uint32Array(canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
        )
        return found

    def left_origin(self) -> list[str]:
        """Addresses that were asked for and are not the page's own."""
        own = (self.origin, self.origin.replace("http", "ws", 1), "blob:")
        return [address for address in self.addresses if not address.startswith(own)]

    def live_share(self, *, seconds: float) -> float:
        """Share of the next seconds in which the first picture is shown as live."""
        found: float = self.tab.evaluate(
            """async seconds => {
              let [live, looks] = [0, 0];
              for (const end = performance.now() + 1000 * seconds; performance.now() < end; looks++) {
                live += document.querySelector(".tile.fresh") ? 1 : 0;
                await new Promise(done => setTimeout(done, 50));
              }
              return live / looks;
            }""",
            seconds,
        )
        return found

    def shot(self, name: str) -> None:
        """Keep a picture of the glass in the folder `SHOTS`, if there is one."""
        folder = os.environ.get("SHOTS")
        if folder:
            self.tab.screenshot(path=Path(folder) / f"{name}.png")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        if error is None:
            assert self.left_origin() == []
            assert self.faults == []
