"""A tab that stays open: what it, its browser and the page's process take, minute by minute.

`PYTHONPATH=tests:tools python -m page_trials.hour --rate 80 --minutes 60 --out hour.csv`: two cameras, so
many verdicts a second of both together. The file has a row a minute; at the end it says whether memory grew.
The browser is watched through its own protocol, a moment a minute: what drives browsers for tests has them
keep what they loaded.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from rich.progress import track
from support.glass import ARGUMENTS, CHROMIUM
from support.page_process import COOKIE, PageProcess
from websockets.sync.client import connect

from page_trials.watched_line import cpu_seconds, resident_mb, watched_line

_HEADLESS = ["--headless=new", "--remote-debugging-port=0", "--window-size=1280,800", "about:blank"]
_FLAT_SHARE = 0.05
_FLAT_MB = 2.0
"""What the last quarter may take more than the second, of each column of memory."""
_MEMORY = ("heap_mb", "nodes", "listeners", "renderer_mb", "page_mb")
_SHOWN = "document.querySelectorAll('.tile.fresh').length"


class Chromium:
    """A browser with one tab, which nobody drives but for a moment."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [CHROMIUM, *ARGUMENTS, *_HEADLESS, f"--user-data-dir={folder}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        said = folder / "DevToolsActivePort"
        while not said.exists() or len(said.read_text().splitlines()) < 2:
            time.sleep(0.1)
        port, path = said.read_text().splitlines()[:2]
        self._port, self._browser = int(port), f"ws://127.0.0.1:{port}{path}"

    def tell(self, *messages: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Say this to the browser; its answers."""
        return self._told(self._browser, messages)

    def tell_tab(self, *messages: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Say this to the tab; its answers."""
        targets = httpx.get(f"http://127.0.0.1:{self._port}/json").json()
        address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        return self._told(address, messages)

    def renderer(self) -> int:
        """Process id of what works most for a tab: there is another one, for the next."""
        (found,) = self.tell(("SystemInfo.getProcessInfo", {}))
        those = [each for each in found["processInfo"] if each["type"] == "renderer"]
        return int(max(those, key=lambda each: each["cpuTime"])["id"])

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)

    def _told(self, address: str, messages: tuple[tuple[str, dict[str, Any]], ...]) -> list[dict[str, Any]]:
        answers = []
        with connect(address, max_size=None, compression=None) as socket:
            for number, (method, parameters) in zip(count(1), messages, strict=False):
                socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
                while (said := json.loads(socket.recv(timeout=30))).get("id") != number:
                    continue
                answers.append(said["result"])
        return answers


def sample(chromium: Chromium, renderer: int, page: PageProcess) -> dict[str, float]:
    """What the tab and the page's process take now, after the tab was tidied up."""
    shown, _, _, metrics = chromium.tell_tab(
        ("Runtime.evaluate", {"expression": _SHOWN}),
        ("Performance.enable", {}),
        ("HeapProfiler.collectGarbage", {}),
        ("Performance.getMetrics", {}),
    )
    found = {each["name"]: each["value"] for each in metrics["metrics"]}
    assert page.process is not None
    return {
        "heap_mb": round(found["JSHeapUsedSize"] / 1e6, 2),
        "nodes": found["Nodes"],
        "listeners": found["JSEventListeners"],
        "renderer_mb": round(resident_mb(renderer), 1),
        "page_mb": round(resident_mb(page.process.pid), 1),
        "page_cpu_seconds": round(cpu_seconds(page.process.pid), 1),
        "renderer_cpu_seconds": round(cpu_seconds(renderer), 1),
        "shown": shown["result"]["value"],
    }


def growth(rows: list[dict[str, float]]) -> dict[str, Any]:
    """By column: the middle of the second and of the last quarter, and whether it is flat."""
    quarter = max(1, len(rows) // 4)
    said: dict[str, Any] = {}
    for name in _MEMORY:
        before = statistics.median(row[name] for row in rows[quarter : 2 * quarter])
        after = statistics.median(row[name] for row in rows[-quarter:])
        allowed = max(_FLAT_SHARE * before, _FLAT_MB if name.endswith("_mb") else 20)
        said[name] = {"second_quarter": before, "last_quarter": after, "flat": after - before <= allowed}
    return said


@contextmanager
def opened(page: PageProcess, folder: Path) -> Iterator[Chromium]:
    """A browser in which somebody looks at the page."""
    chromium = Chromium(folder)
    try:
        cookie = {"name": COOKIE, "value": page.token("viewer"), "url": page.origin, "sameSite": "Strict"}
        chromium.tell(("Storage.setCookies", {"cookies": [cookie]}))
        chromium.tell_tab(("Page.navigate", {"url": page.origin}))
        end = time.monotonic() + 60
        while chromium.tell_tab(("Runtime.evaluate", {"expression": _SHOWN}))[0]["result"]["value"] < 2:
            assert time.monotonic() < end, "the tab shows nothing live"
            time.sleep(0.5)
        yield chromium
    finally:
        chromium.close()


def watch(folder: Path, rate: float, minutes: int, out: Path) -> dict[str, Any]:
    """Keep a tab open for so long; what was found."""
    rows: list[dict[str, float]] = []
    with ExitStack() as open_now:
        daemon = open_now.enter_context(watched_line(folder, rate))
        page = PageProcess(folder / "page", daemon.runtime_dir)
        open_now.callback(page.close)
        with opened(page, folder / "chromium") as chromium, out.open("w", newline="") as file:
            renderer, verdicts, began = chromium.renderer(), 0, time.monotonic()
            writer = None
            for minute in track(range(minutes + 1), "minutes"):
                while time.monotonic() - began < 60 * minute:
                    daemon.reader.read(500)
                    verdicts += len(daemon.reader.verdicts)
                    daemon.reader.verdicts.clear()
                row = {"minute": minute, "verdicts": verdicts, **sample(chromium, renderer, page)}
                rows.append(row)
                writer = writer or csv.DictWriter(file, list(row))
                if minute == 0:
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
            seconds = time.monotonic() - began

            def core_percent(name: str) -> float:
                return round(100 * (rows[-1][name] - rows[0][name]) / seconds, 1)

            return {
                "verdicts_a_second": round(verdicts / seconds, 1),
                "page_core_percent": core_percent("page_cpu_seconds"),
                "renderer_core_percent": core_percent("renderer_cpu_seconds"),
                "minutes_live": sum(row["shown"] == 2 for row in rows),
                **growth(rows),
            }


def main() -> None:
    """Watch and print."""
    parser = argparse.ArgumentParser(description="Keeps a tab of the operator's page open.")
    parser.add_argument("--rate", type=float, default=80, help="verdicts a second of both cameras together")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("hour.csv"), help="a row for each minute")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inspectd-page-") as folder:
        found = watch(Path(folder), arguments.rate, arguments.minutes, arguments.out)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
