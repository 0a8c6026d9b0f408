"""The whole of teaching through the operator's page, by touch, on a real line of real pictures.

    PYTHONPATH=tests:tools python tools/measure_teach_page.py DATA --out FOLDER

DATA has `train/good`, `test/good` and other folders below `test`, each a kind of defect. Good parts that the
first bank rejects by its own threshold are marked as good, defects that it passes as bad, and one defect that
it finds is called good by mistake; two people confirm, an engineer has a candidate built. The mistake has to
show in the report; it is withdrawn, another candidate is built, signed by two, compared, put in force under
load, and taken back. How many good parts there are to mark depends on which images the bank is of: `--seed`.
Printed is what was found, as JSON; FOLDER gets pictures of each screen in both sizes and languages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright
from support.glass import ARGUMENTS, CHROMIUM, PANEL, TABLET, Glass
from support.page_process import PASSWORD
from support.taught_daemon import TaughtDaemon, build_first, judged_by

from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank
from inspectd.teach.candidates import BANK
from inspectd.wire import Evaluation

_AXE = Path("tools/page/node_modules/axe-core/axe.min.js")
_SMALL = """() => [...document.querySelectorAll("button, a, select, input, summary")].filter(each => {
  const at = each.getBoundingClientRect();
  return at.width && !each.matches(".skip") && (at.width < 43.5 || at.height < 43.5);
}).map(each => each.outerHTML.slice(0, 120))"""

_SPARE = 3


def main() -> None:
    """Do it, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--own", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="names which images are the bank's own")
    parser.add_argument("--passes", type=int, default=80)
    parser.add_argument("--rejects", type=int, default=10)
    parser.add_argument("--escapes", type=int, default=5)
    parser.add_argument("--found", type=int, default=24)
    parser.add_argument("--side", type=int, default=160, help="pixels of a frame, and of the bank's input")
    parser.add_argument("--fps", type=float, default=4)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="teach") as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        show = _Show(arguments, Path(folder), browser)
        try:
            show.run()
        finally:
            show.line.close()
            print(json.dumps(show.found, indent=1))


class _Show:
    """One line, from its first bank to the way back."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, browser: Browser) -> None:
        self.arguments, self.folder, self.browser = arguments, folder, browser
        self.found: dict[str, Any] = {}
        self._began = time.monotonic()
        train, good = _frames(arguments, folder, "train/good"), _frames(arguments, folder, "test/good")
        defects = [
            path
            for kind in sorted((arguments.data / "test").iterdir())
            if kind.name != "good"
            for path in _frames(arguments, folder, f"test/{kind.name}")
        ]
        chance = np.random.default_rng(arguments.seed)
        paths = [train[row] for row in chance.permutation(len(train))]
        own, others = paths[: arguments.own], [*paths[arguments.own :], *good]
        side = arguments.side
        self.first, scores = build_first(folder, own, BuildSpec(height=side, width=side), others, None)
        limit = read_bank(self.first).manifest.threshold
        # Some that the bank rejects the line does not even judge: they are too bright for it.
        rejected = [path for path in others if scores[path] > limit]
        self.rejects = rejected[: arguments.rejects + _SPARE]
        passes = [path for path in others if scores[path] <= limit][: arguments.passes]
        of_defects = judged_by(self.first, defects)
        ordered = sorted(defects, key=of_defects.__getitem__)
        escaping = [path for path in ordered if of_defects[path] <= limit]
        finding = [path for path in ordered if of_defects[path] > limit]
        self.escapes = _spread(escaping, arguments.escapes)
        caught = _spread(finding, arguments.found)
        self.wrong = caught[len(caught) // 2]
        self.found |= {
            "limit": round(limit, 3), "defects": len(defects), "found_by_the_first_bank": len(finding),
            "good_parts_rejected": [len(rejected), len(others)], "kept_rejects": len(caught),
            "wrong": self.wrong.name,
        }  # fmt: skip
        seen = _mixed(passes, [*self.rejects, *caught, *self.escapes], chance)
        self.line = TaughtDaemon(folder, self.first, own, seen, fps=arguments.fps)
        self._say("line_ready")

    def run(self) -> None:
        """All steps."""
        verdicts = self.line.first_verdicts()
        self.judged = set(verdicts)
        self.rejects = [path for path in self.rejects if path in verdicts][: self.arguments.rejects]
        self._say("all_pictures_judged")
        operator, inspector, engineer, quality = (
            Glass(self.browser, self.line.page, role)
            for role in ("operator", "inspector", "engineer", "quality")
        )
        good = [self.line.mark(operator, verdicts[path], "oil mark") for path in self.rejects]
        bad = [self.line.mark(operator, verdicts[path], "came back") for path in self.escapes]
        wrong = self.line.mark(operator, verdicts[self.wrong], "looks good to me")
        self._say("marked")
        self._shots("part", f"/part/{wrong.replace('-', '/')}", "operator")
        self._shots("teach", "/teach", "inspector")
        for case in (*good, wrong):
            facts = next(each for each in self.line.look()["cases"] if each["id"] == case)
            if facts["is_unusual"]:
                self.line.answer(quality, case, "Confirm: it is good", Reason="looked at it")
            else:
                self.line.answer(inspector, case, "Confirm: it is good")
        for case in bad:
            self.line.answer(inspector, case, "Confirm: it is bad")
        self._say("confirmed")
        spoilt = self.line.build(engineer)
        self._say("first_candidate")
        self._effects("with_the_wrong_click", spoilt, wrong)
        self._shots("candidate-wrong", f"/teach/{spoilt}", "engineer", scrolls=4)
        quality.open("/teach").tab.get_by_label("Show").select_option("confirmed")
        self.line.answer(quality, wrong, "Withdraw", Reason="it is a defect", Password=PASSWORD)
        candidate = self.line.build(engineer)
        self._say("second_candidate")
        report = self._effects("without_it", candidate, wrong)
        self._compare(candidate, report)
        for case in report["unlike_the_rest"]:
            quality.open("/teach").tab.get_by_label("Show").select_option("confirmed")
            self.line.answer(quality, case, "Vouch for it", Reason="looked at it", Password=PASSWORD)
        second = {"Second_reason": "all looked at"} if report["needs"] else {}
        self.line.sign(engineer, candidate, "Propose it", Reason="oil marks are good", **second)
        self._shots("candidate-proposed", f"/teach/{candidate}", "quality")
        self.line.sign(quality, candidate, "Approve it", Reason="all flips seen")
        self._say("signed")
        engineer.open(f"/teach/{candidate}")
        self.line.touch(engineer, "Compare parts @ 2 on the line", "first")
        self.line.daemon.until(self._is_compared, 300)
        self._wait(20)
        self._shots("candidate-compared", f"/teach/{candidate}", "engineer")
        self.line.touch(engineer, "Put parts @ 2 in force", "compared")
        self._wait(30)
        self._shots("candidate-in-force", f"/teach/{candidate}", "quality")
        quality.open(f"/teach/{candidate}")
        self.line.touch(quality, "Back to parts @ 1", "only tried")
        self._wait(10)
        self._say("back")
        self._count()

    def _is_compared(self) -> bool:
        self.line.hurry()
        return self.line.daemon.reader.event("shadow_started") is not None

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.line.hurry()
            self.line.daemon.reader.read(200)

    def _say(self, step: str) -> None:
        self.found.setdefault("seconds", {})[step] = round(time.monotonic() - self._began)
        print(step, round(time.monotonic() - self._began), file=sys.stderr, flush=True)

    def _effects(self, name: str, candidate: str, wrong: str) -> dict[str, Any]:
        report = self.line.report(candidate)
        self.found[name] = {
            "limit": [round(report["threshold_before"], 3), round(report["threshold"], 3)],
            "flips": {
                kind: {
                    way: [report[kind][way][part] for part in ("count", "total")]
                    for way in ("to_fail", "to_pass")
                }
                for kind in ("passes_by_chance", "other_passes", "fails")
            },
            "known_defects": [
                "found" if each["found"] else "seen" if each["seen"] else "not seen"
                for each in report["known_defects"]
            ],
            "rejects_that_pass_because_of": {
                "the wrong click" if each["case"] == wrong else each["case"]: [
                    len(set(self._names(each["passes"]))), each["rejects"],
                ]
                for each in report["effects"]
            },
            "unlike_the_rest": [
                "the wrong click" if each == wrong else each for each in report["unlike_the_rest"]
            ],
            "needs": [each["what"] for each in report["needs"]],
        }  # fmt: skip
        return report

    def _names(self, parts: Sequence[str]) -> list[str]:
        """Pictures of verdicts, as the camera sees each several times."""
        named = {
            f"{v.epoch}:{v.seq}": Path(v.source).name for v in self.line.daemon.reader.verdicts if v.source
        }
        return [named.get(part, part) for part in parts]

    def _compare(self, candidate: str, report: dict[str, Any]) -> None:
        """What `bank compare` says of both banks on the pictures that the line judged."""
        for name, path in self.line.pictures.items():
            if path not in self.judged:
                continue
            kind = "good" if path.parent.name == "good" else "defect"
            place = self.folder / "data" / "test" / kind / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
        banks = [
            self.first,
            self.line.place.root / "candidates" / candidate / BANK,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "inspectd", "bank", "compare", *map(str, banks), "--data",
             str(self.folder / "data"), "--device", "cpu", "--json"],
            check=True, capture_output=True,
        )  # fmt: skip
        told = json.loads(done.stdout)[str(banks[1])]
        flips = [each for each in report["flips"] if each["kind"] == "evidence"]
        ways = {
            way: set(self._names([f["name"] for f in flips if f["passes"] is way])) for way in (True, False)
        }
        self.found["compare"] = {
            "by bank compare": [told["passes_what_the_first_fails"], told["fails_what_the_first_passes"]],
            "by the report": [len(ways[True]), len(ways[False])],
        }

    def _count(self) -> None:
        """Every frame has its verdict, under every recipe."""
        verdicts = self.line.daemon.reader.verdicts
        numbers = [verdict.seq for verdict in verdicts]
        of_parts = [verdict for verdict in verdicts if verdict.recipe == "parts"]
        self.found["line"] = {
            "verdicts": len(verdicts),
            "missing": numbers[-1] - numbers[0] + 1 - len(numbers),
            "by_version": {
                str(version): sum(verdict.recipe_version == version for verdict in of_parts)
                for version in (1, 2)
            },
            "undecidable": sum(verdict.evaluation is Evaluation.UNDECIDABLE for verdict in of_parts),
            "drops": self.line.daemon.reader.heartbeats[-1].counts.drops,
        }

    def _shots(self, name: str, path: str, role: str, scrolls: int = 1) -> None:
        """Pictures of a screen in both sizes and languages, light and dark; what axe finds of it."""
        for size, scheme, language in (
            (TABLET, "light", "en"),
            (PANEL, "dark", "en"),
            (TABLET, "dark", "ko"),
            (PANEL, "light", "ko"),
        ):
            glass = Glass(self.browser, self.line.page, role, size=size, scheme=scheme)
            glass.open("/account")
            glass.ask("POST", "/api/me/language", {"language": language})
            glass.open(path)
            glass.tab.wait_for_timeout(4000)
            for step in range(scrolls):
                file = f"{name}-{size['width']}-{language}-{scheme}{f'-{step}' if step else ''}.png"
                glass.tab.screenshot(path=str(self.arguments.out / file))
                glass.tab.evaluate("() => document.querySelector('main').scrollBy(0, innerHeight * 0.75)")
                glass.tab.wait_for_timeout(1500)
            glass.tab.evaluate(f"{_AXE.read_text()}; 0")
            violations = glass.tab.evaluate(
                "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
                ".map(each => each.id + ' ' + each.nodes[0].html.slice(0, 120))"
            )
            wider = glass.tab.evaluate("() => document.documentElement.scrollWidth > innerWidth")
            problems = [
                *violations,
                *glass.tab.evaluate(_SMALL),
                *(["wider than the glass"] if wider else []),
            ]
            self.found.setdefault("screens", {})[f"{name} {size['width']} {language}"] = problems
            glass.ask("POST", "/api/me/language", {"language": "en"})
            glass.__exit__(None, None, None)


def _frames(arguments: argparse.Namespace, folder: Path, below: str) -> list[Path]:
    """Pictures of a folder in one size, as a camera of a line has it."""
    out = folder / "frames" / below
    out.mkdir(parents=True)
    found = []
    for path in sorted((arguments.data / below).iterdir()):
        picture = cv2.imread(str(path))
        if picture is None:
            continue
        size = (arguments.side, arguments.side)
        found.append(out / f"{path.parent.name}-{path.stem}.png")
        cv2.imwrite(str(found[-1]), cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return found


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """So many of them, from the first to the last."""
    rows = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[row] for row in dict.fromkeys(rows.tolist())]


def _mixed(passes: Sequence[Path], others: Sequence[Path], chance: np.random.Generator) -> list[Path]:
    """The others spread evenly among the passes, so that there is no run of rejects."""
    others = [others[row] for row in chance.permutation(len(others))]
    at = [(row / len(passes), path) for row, path in enumerate(passes)]
    at += [((row + 0.5) / len(others), path) for row, path in enumerate(others)]
    return [path for _, path in sorted(at)]


if __name__ == "__main__":
    main()
