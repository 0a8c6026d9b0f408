"""A defect that somebody called good shows itself in the report: rejects like it pass because of it."""

from __future__ import annotations

import msgspec
import numpy as np
from support.cells import cells
from support.teaching import ENGINEER, OPERATOR, QUALITY, TaughtLine, quiet

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import read_bank
from inspectd.pictures.reading import read_picture
from inspectd.teach.answering import confirm, mark
from inspectd.teach.building import build_candidate
from inspectd.teach.candidates import BANK, find_base, find_candidate
from inspectd.teach.effects import effects_of
from inspectd.teach.image_lists import adopt
from inspectd.teach.reporting import make_report
from inspectd.wire import Evaluation

OWN, GOOD = cells(defective=False)[:20], cells(defective=False)[40:43]
DEFECTS = cells(defective=True)[:4]


def test_a_wrong_click_shows_beside_the_reject_that_looks_like_it(line: TaughtLine) -> None:
    adopt(line.place, line.bank, OWN, ENGINEER, quiet)
    scorer = Scorer.load(line.bank, "cpu")
    clear = max(map(read_picture, DEFECTS), key=lambda each: scorer.score([each])[0].image_score)
    noise = np.random.default_rng(0).integers(-2, 3, clear.shape)
    alike = line.keep(np.clip(clear + noise, 0, 255).astype(np.uint8), Evaluation.FAIL)
    cases = [mark(line.place, line.keep(picture, Evaluation.FAIL), "good", OPERATOR) for picture in GOOD[:1]]
    wrong = mark(line.place, line.keep(clear, Evaluation.FAIL), "good", OPERATOR)
    for case in (*cases, wrong):
        confirm(line.place, case.id, QUALITY)
    candidate = build_candidate(
        line.place,
        find_base(line.place, "cells", "top"),
        ENGINEER,
        memory_gb=3.0,
        device="cpu",
        progress=quiet,
    )
    assert candidate.rows is not None
    assert set(candidate.rows) == {cases[0].id, wrong.id}
    report, _ = make_report(line.place, candidate.bank_sha256, ENGINEER, "cpu", quiet)
    assert report.effects is not None
    effects = {each.case: each.passes for each in report.effects}
    assert effects == {wrong.id: [alike.name], cases[0].id: []}
    (need,) = [each for each in report.needs if each.what == "rejects_pass"]
    assert (need.case, need.count) == (wrong.id, 1)
    (flip,) = [each for each in report.flips if each.name == alike.name]
    assert line.place.shown.path(str(flip.picture)).read_bytes()[:2] == b"\xff\xd8"
    # One that was built before rows were kept of all that the bank in force lacks.
    banks = read_bank(line.bank), read_bank(find_candidate(line.place, candidate.bank_sha256)[1] / BANK)
    older = msgspec.structs.replace(candidate, rows={wrong.id: candidate.rows[wrong.id]})
    assert effects_of(older, banks, None, "cpu", quiet) is None
