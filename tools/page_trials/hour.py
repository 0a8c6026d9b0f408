"""A tab that stays open: what it, its browser and the page's process take, minute by minute.

`PYTHONPATH=tests:tools python -m page_trials.hour --rate 80 --minutes 60 --out hour.csv`: two cameras, so
many verdicts a second of both together. The file has a row a minute; at the end it says whether memory grew.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measure_page import cpu_seconds, resident_mb
from playwright.sync_api import CDPSession, sync_playwright
from rich.progress import track
from support.cells import cells, link
from support.daemon import WELL, Daemon, camera_table, settings
from support.glass import ARGUMENTS, CHROMIUM, Glass
from support.page_process import PageProcess

_EXACT = ["--js-flags=--expose-gc", "--enable-precise-memory-info"]
_FLAT_SHARE = 0.05
_FLAT_MB = 2.0
"""What the last quarter may take more than the second, of each column of memory."""
_MEMORY = ("heap_mb", "nodes", "listeners", "renderer_mb", "page_mb")


def sample(glass: Glass, session: CDPSession, renderer: int, page: PageProcess) -> dict[str, float]:
    """What the tab and the page's process take now, after the tab was tidied up."""
    session.send("HeapProfiler.collectGarbage")
    found = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    assert page.process is not None
    return {
        "heap_mb": round(found["JSHeapUsedSize"] / 1e6, 2),
        "nodes": found["Nodes"],
        "listeners": found["JSEventListeners"],
        "renderer_mb": round(resident_mb(renderer), 1),
        "page_mb": round(resident_mb(page.process.pid), 1),
        "page_cpu_seconds": round(cpu_seconds(page.process.pid), 1),
        "renderer_cpu_seconds": round(cpu_seconds(renderer), 1),
        "shown": int(glass.tab.locator(".tile.fresh").count()),
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


def watch(folder: Path, rate: float, minutes: int, out: Path) -> dict[str, Any]:
    """Keep a tab open for so long; what was found."""
    images = folder / "images"
    link(cells(defective=False)[:20], images / "good")
    link(cells(defective=True)[:5], images / "bad")
    cameras = "".join(camera_table(name, images, fps=rate / 2) for name in ("top", "side"))
    daemon = Daemon(folder, settings(Path("stub.bank"), cameras, extra="[preview]"), behaviour=WELL).ready()
    page = PageProcess(folder / "page", daemon.runtime_dir)
    rows: list[dict[str, float]] = []
    verdicts, began = 0, time.monotonic()
    try:
        with sync_playwright() as driver, out.open("w", newline="") as file:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS + _EXACT)
            glass = Glass(browser, page, "viewer").open()
            glass.sees(".tile.fresh", within_seconds=60)
            processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
            # The one that works for the tab: there is another, without one, for the next.
            renderer = max(
                (each for each in processes if each["type"] == "renderer"), key=lambda each: each["cpuTime"]
            )
            session = glass.tab.context.new_cdp_session(glass.tab)
            session.send("Performance.enable")
            writer = None
            for minute in track(range(minutes + 1), "minutes"):
                while time.monotonic() - began < 60 * minute:
                    glass.tab.wait_for_timeout(1000)
                    daemon.reader.read(0)
                    verdicts += len(daemon.reader.verdicts)
                    daemon.reader.verdicts.clear()
                row = {"minute": minute, "verdicts": verdicts, **sample(glass, session, renderer["id"], page)}
                rows.append(row)
                writer = writer or csv.DictWriter(file, list(row))
                if minute == 0:
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
            seconds = time.monotonic() - began
            first, last = rows[0], rows[-1]
            return {
                "verdicts_a_second": round(verdicts / seconds, 1),
                "page_core_percent": round(
                    100 * (last["page_cpu_seconds"] - first["page_cpu_seconds"]) / seconds, 1
                ),
                "renderer_core_percent": round(
                    100 * (last["renderer_cpu_seconds"] - first["renderer_cpu_seconds"]) / seconds, 1
                ),
                "minutes_live": sum(row["shown"] == 2 for row in rows),
                "faults": glass.faults,
                **growth(rows),
            }
    finally:
        page.close()
        daemon.close()


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
