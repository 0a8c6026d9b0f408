"""How the operator's page keeps up: from the bus to the glass, and what it costs.

A line of two cameras that is scored by the stub, its page, and Chromium before it:
`PYTHONPATH=tests:tools python -m page_trials.glass_latency --rate 20 --seconds 60`: so many verdicts a second
of both. `--slow 6` slows the browser so many times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from support.glass import ARGUMENTS, CHROMIUM, Glass
from support.page_process import PageProcess

from page_trials.watched_line import cpu_seconds, resident_mb, watched_line

_WATCH = """() => {
  window.ages = []; window.waits = []; window.touched = 0;
  const seen = new Set([...document.querySelectorAll(".strip a")].map(each => each.href));
  new MutationObserver(() => {
    window.touched++;
    for (const time of document.querySelectorAll(".strip time")) {
      const key = time.closest("a").href;
      if (seen.has(key)) continue;
      seen.add(key);
      window.waits.push(Date.now() - Date.parse(time.dateTime));
    }
  }).observe(document.querySelector("main"),
    {subtree: true, childList: true, characterData: true, attributes: true});
  setInterval(() => {
    for (const age of document.querySelectorAll(".tile .age")) {
      const found = /([0-9.]+) s/.exec(age.innerText);
      if (found) window.ages.push(1000 * found[1]);
    }
  }, 100);
}"""


def heap_mb(glass: Glass) -> float:
    """The tab's memory, after it was tidied up."""
    found: float = glass.tab.evaluate("() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }")
    return round(found, 2)


def spread(values: list[float]) -> dict[str, float]:
    """Median and the 95th of 100."""
    if len(values) < 20:
        return {"number": len(values)}
    return {
        "number": len(values),
        "p50": round(statistics.median(values)),
        "p95": round(statistics.quantiles(values, n=20)[-1]),
    }


def measure(folder: Path, rate: float, seconds: float, slow: float) -> dict[str, Any]:
    """Watch for so long; what was found."""
    with ExitStack() as open_now:
        daemon = open_now.enter_context(watched_line(folder, rate))
        page = PageProcess(folder / "page", daemon.runtime_dir)
        open_now.callback(page.close)
        with sync_playwright() as driver:
            more = ["--js-flags=--expose-gc", "--enable-precise-memory-info"]
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS + more)
            glass = Glass(browser, page, "viewer")
            if slow > 1:
                throttle = glass.tab.context.new_cdp_session(glass.tab)
                throttle.send("Emulation.setCPUThrottlingRate", {"rate": slow})
            began = time.monotonic()
            glass.open().sees(".tile.fresh", within_seconds=60)
            first = time.monotonic() - began
            glass.tab.wait_for_timeout(3000)
            glass.tab.evaluate(_WATCH)
            assert page.process is not None
            heap, cpu, began = heap_mb(glass), cpu_seconds(page.process.pid), time.monotonic()
            while time.monotonic() - began < seconds:
                glass.tab.wait_for_timeout(1000)
                daemon.reader.read(0)
                daemon.reader.verdicts.clear()
            passed = time.monotonic() - began
            return {
                "first_live_seconds": round(first, 2),
                "verdict_to_glass_ms": spread(glass.tab.evaluate("window.waits")),
                "picture_age_ms": spread(glass.tab.evaluate("window.ages")),
                "page_touched_a_second": round(glass.tab.evaluate("window.touched") / passed, 1),
                "page_process_core_percent": round(100 * (cpu_seconds(page.process.pid) - cpu) / passed, 1),
                "page_process_mb": round(resident_mb(page.process.pid)),
                "tab_heap_mb": [heap, heap_mb(glass)],
                "nodes": glass.tab.evaluate("document.querySelectorAll('*').length"),
            }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measures the operator's page.")
    parser.add_argument("--rate", type=float, default=20, help="verdicts a second of both cameras together")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--slow", type=float, default=1, help="slow the browser so many times")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inspectd-page-") as folder:
        found = measure(Path(folder), arguments.rate, arguments.seconds, arguments.slow)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
