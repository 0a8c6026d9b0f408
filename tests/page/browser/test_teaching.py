"""A real line is taught by touch: marked, confirmed, built, signed, compared, in force, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.cells import cells
from support.page_process import PASSWORD
from support.taught_daemon import TaughtDaemon, build_first, judged_by

from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank
from inspectd.evaluation.dataset import read_dataset
from inspectd.evaluation.evaluate import evaluate
from inspectd.pictures.reading import read_picture
from inspectd.teach.candidates import BANK
from inspectd.wire import Evaluation, Reason

pytestmark = [pytest.mark.system, pytest.mark.timed]

OWN, GOOD = cells(defective=False)[:30], cells(defective=False)[40:64]
DEFECTS = cells(defective=True)[:14]
SPEC = BuildSpec(height=96, width=96, coreset=0.1, seed=3)


@pytest.fixture
def taught(tmp_path: Path) -> Iterator[TaughtDaemon]:
    """Two false rejects, an escape, and a clear defect that comes twice, among good parts."""
    bank, good = build_first(tmp_path, OWN, SPEC, GOOD, 2)
    limit = read_bank(bank).manifest.threshold
    bad = judged_by(bank, DEFECTS)
    *passes, first, second = sorted(GOOD, key=good.__getitem__)
    passes, rejects = passes[:12], [first, second]
    escape = min(DEFECTS, key=bad.__getitem__)
    # Above three times the limit it takes quality to call it good.
    clear = max((path for path in DEFECTS if bad[path] < 2.9 * limit), key=bad.__getitem__)
    assert bad[escape] <= limit < bad[clear]
    again = tmp_path / f"again-{clear.stem}.png"
    noise = np.random.default_rng(0).integers(-2, 3, read_picture(clear).shape)
    cv2.imwrite(str(again), np.clip(read_picture(clear) + noise, 0, 255).astype(np.uint8))
    seen = [
        *passes[:4],
        rejects[0],
        *passes[4:6],
        clear,
        *passes[6:8],
        rejects[1],
        *passes[8:],
        again,
        escape,
    ]
    line = TaughtDaemon(tmp_path, bank, OWN, seen, fps=4)
    line.rejects, line.escape, line.clear, line.again = rejects, escape, clear, again
    yield line
    line.close()


def test_from_a_touch_into_force_and_back(taught: TaughtDaemon, tmp_path: Path, look) -> None:
    verdicts = taught.first_verdicts()
    assert verdicts[taught.rejects[0]].evaluation is Evaluation.FAIL
    operator = look(taught.page, "operator")
    cases = [taught.mark(operator, verdicts[path], "oil") for path in taught.rejects]
    escape = taught.mark(operator, verdicts[taught.escape], "crack")
    wrong = taught.mark(operator, verdicts[taught.clear], "looks good to me")
    operator.open("/teach").sees("article.case")
    assert operator.tab.get_by_role("button", name="Confirm").count() == 0

    inspector = look(taught.page, "inspector")
    for case in (*cases, wrong):
        taught.answer(inspector, case, "Confirm: it is good")
    taught.answer(inspector, escape, "Confirm: it is bad")

    # The wrong click is shown: a reject that nobody called good passes because of it.
    engineer = look(taught.page, "engineer")
    spoilt = taught.build(engineer)
    effects = {each["case"]: each["passes"] for each in taught.report(spoilt)["effects"]}
    assert effects[wrong]
    engineer.open(f"/teach/{spoilt}").sees(".needs", f"Because of picture {wrong}")
    engineer.sees(".effect.bad .both-picture")
    engineer.sees(".sign .hint", "Quality has to vouch first")
    assert engineer.tab.get_by_role("button", name="Propose it").is_disabled()
    assert engineer.ask("POST", "/api/acts/teach_propose",
                        {"candidate": spoilt, "reason": "x", "password": PASSWORD}) == 409  # fmt: skip
    quality = look(taught.page, "quality", "/teach")
    quality.tab.get_by_label("Show").select_option("confirmed")
    taught.answer(quality, wrong, "Withdraw", Reason="it is a defect", Password=PASSWORD)

    candidate = taught.build(engineer)
    report = taught.report(candidate)
    assert wrong not in report["taught"]
    assert [each["name"] for each in report["known_defects"]] == [escape]
    flips_are_those_of_evaluate(taught, candidate, report, tmp_path)
    second = {"Second_reason": "seen"} if report["needs"] else {}
    taught.sign(engineer, candidate, "Propose it", Reason="oil is good", **second)
    assert quality.ask("POST", "/api/acts/teach_approve",
                       {"candidate": candidate, "reason": "x", "password": "wrong"}) == 403  # fmt: skip
    taught.sign(quality, candidate, "Approve it", Reason="all flips seen")
    quality.sees(".live h2", "parts @ 2")

    engineer.open(f"/teach/{candidate}")
    taught.touch(engineer, "Compare parts @ 2 on the line", "first")
    taught.daemon.until(lambda: taught.hurry() or taught.daemon.reader.event("shadow_started"), 120)
    engineer.sees(".live", "Compared since")
    taught.touch(engineer, "Put parts @ 2 in force", "compared")
    engineer.sees(".live", "In force")
    engineer.sees(".watch", "Too few parts")
    quality.open(f"/teach/{candidate}")
    taught.touch(quality, "Back to parts @ 1", "only tried")
    quality.sees(".live", "Not in force")
    of_parts = [verdict for verdict in taught.daemon.reader.verdicts if verdict.recipe == "parts"]
    assert {verdict.recipe_version for verdict in of_parts} >= {1}
    numbers = [verdict.seq for verdict in taught.daemon.reader.verdicts]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    undecided = {verdict.reason for verdict in of_parts if verdict.evaluation is Evaluation.UNDECIDABLE}
    assert undecided <= {Reason.DEADLINE, Reason.OVERLOAD}  # here others have the processors, too


def flips_are_those_of_evaluate(taught: TaughtDaemon, candidate: str, report: dict, tmp_path: Path) -> None:
    """The report's flips are those of scoring by both banks as `bank compare` does."""
    for name, path in taught.pictures.items():
        place = tmp_path / "data" / "test" / ("good" if path in GOOD else "defect") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path.resolve())
    banks = [tmp_path / "first.safetensors", taught.place.root / "candidates" / candidate / BANK]
    passes = []
    for bank in banks:
        found = evaluate(bank, read_dataset(tmp_path / "data").images, "cpu", lambda *_: None)
        passes.append({item.image.path.name: item.score <= found.report.threshold for item in found.judged})
    named = {f"{v.epoch}:{v.seq}": Path(v.source).name for v in taught.daemon.reader.verdicts if v.source}
    flips = {named[each["name"]] for each in report["flips"] if each["kind"] == "evidence"}
    assert flips == {name for name in passes[0] if passes[0][name] is not passes[1][name]}
