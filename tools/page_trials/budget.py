"""What a browser loads of the page, and how soon something is seen, on a machine as slow as a tablet's.

`PYTHONPATH=tests:tools python -m page_trials.budget URL COOKIE=VALUE` measures a page that runs; the tests
measure their own. The figures are those that Lighthouse calls so: https://developer.chrome.com/docs/lighthouse/performance.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from playwright.sync_api import Page
from support.glass import launched

SLOWED: Final = 4
"""Lighthouse slows the processor so many times for a mid-range tablet."""
BUDGET: Final = {
    "files": 6.0,
    "loaded_kb": 80.0,
    "first_contentful_paint_ms": 1800.0,
    "largest_contentful_paint_ms": 2500.0,
    "main_thread_ms": 2000.0,
    "layout_shift": 0.1,
}
"""Of files that are the same for everybody, in bytes as they cross the network; the paints and the shift are
the limits of "good". Until people see what they came for: what is live goes on to move."""

_OBSERVE: Final = """() => {
  const seen = window.seen = {lcp: 0, shift: 0};
  const observe = (type, take) =>
    new PerformanceObserver(list => list.getEntries().forEach(take)).observe({type, buffered: true});
  observe("largest-contentful-paint", entry => { seen.lcp = entry.startTime; });
  const isNews = source => source.node?.parentElement?.closest(".strip");
  observe("layout-shift", entry => {
    if (!entry.hadRecentInput && !entry.sources.every(isNews)) seen.shift += entry.value;
  });
}"""
_READ: Final = """() => ({
  first_contentful_paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Infinity,
  largest_contentful_paint_ms: window.seen.lcp || Infinity,
  layout_shift: window.seen.shift,
})"""


def measure(tab: Page, address: str, seen: str) -> dict[str, float]:
    """Load a page as if for the first time.

    Args:
        tab: which is logged in.
        address: of the page.
        seen: selector of what has to be there for people.
    """
    session = tab.context.new_cdp_session(tab)
    files: set[str] = set()
    loaded: dict[str, float] = {}
    session.on(
        "Network.responseReceived",
        lambda said: None if "/api/" in said["response"]["url"] else files.add(said["requestId"]),
    )
    session.on(
        "Network.loadingFinished", lambda said: loaded.update({said["requestId"]: said["encodedDataLength"]})
    )
    session.send("Network.enable")
    # Of the processor, not of the clock: what else this machine does counts for nothing.
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWED})
    tab.add_init_script(f"({_OBSERVE})()")
    tab.goto(address, wait_until="domcontentloaded")
    tab.wait_for_selector(seen)
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    tab.wait_for_timeout(100)  # until what was painted is reported
    found: dict[str, float] = tab.evaluate(_READ)
    return {
        "files": len(files),
        "loaded_kb": round(sum(loaded.get(each, 0) for each in files) / 1000, 1),
        "main_thread_ms": round(1000 * metrics["TaskDuration"]),
        **{name: round(value, 3) for name, value in found.items()},
    }


def best(tab: Page, address: str, seen: str, loads: int = 4) -> dict[str, float]:
    """The least of each figure in so many loads, as others use the machine; fewer where all fits."""
    found = measure(tab, address, seen)
    for _ in range(loads - 1):
        if not exceeded(found):
            break
        again = measure(tab, address, seen)
        found = {name: min(value, again[name]) for name, value in found.items()}
    return found


def exceeded(found: dict[str, float]) -> list[str]:
    """What is beyond the budget."""
    return [
        f"{name}: {found[name]}, expected at most {most}"
        for name, most in BUDGET.items()
        if found[name] > most
    ]


def main() -> int:
    """Measure and print; 1 if something is beyond the budget."""
    parser = argparse.ArgumentParser(description="Measures what a page of the operator's page costs to load.")
    parser.add_argument("address", help="such as http://127.0.0.1:8443/")
    parser.add_argument("cookie", help="NAME=VALUE of a session")
    arguments = parser.parse_args()
    name, _, value = arguments.cookie.partition("=")
    with launched() as browser:
        context = browser.new_context(ignore_https_errors=True)
        context.add_cookies([{"name": name, "value": value, "url": arguments.address}])
        found = best(context.new_page(), arguments.address, "main#content")
    print(json.dumps(found, indent=1))
    problems = exceeded(found)
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
