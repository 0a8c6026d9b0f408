"""A candidate is compared with what judges, and not with a version that was signed and is not in force."""

from __future__ import annotations

import numpy as np
import pytest
from support.cells import cells
from support.teaching import ENGINEER, OPERATOR, QUALITY, TaughtLine, quiet

from inspectd.errors import InputError
from inspectd.pictures.reading import read_picture
from inspectd.recipes.audit import AuditAction, AuditEntry, append_record
from inspectd.recipes.store import RecipeDraft
from inspectd.teach.answering import confirm, mark
from inspectd.teach.building import build_candidate
from inspectd.teach.candidates import Candidate, candidate_object, find_base
from inspectd.teach.image_lists import adopt
from inspectd.teach.judging import judging
from inspectd.teach.reporting import make_report
from inspectd.teach.signing import approve, propose
from inspectd.wire import Evaluation

OWN, GOOD, DEFECT = cells(defective=False)[:20], cells(defective=False)[40], cells(defective=True)[3]


def put_in_force(line: TaughtLine, version: int, action: AuditAction = AuditAction.ACTIVATE) -> None:
    made = line.place.recipes.read("cells", version)
    append_record(
        line.place.audit, AuditEntry(action, "anna", "local", "cells", None, f"{made} {made.sha256}")
    )


def candidate_with(line: TaughtLine, picture: np.ndarray) -> tuple[str, Candidate]:
    """A case that this picture is good, and a candidate with all such cases."""
    case = mark(line.place, line.keep(picture, Evaluation.FAIL), "good", OPERATOR)
    confirm(line.place, case.id, QUALITY)
    base = find_base(line.place, "cells", "top")
    return case.id, build_candidate(line.place, base, ENGINEER, memory_gb=3.0, device="cpu", progress=quiet)


def test_what_a_signed_version_was_taught_counts_until_that_judges(line: TaughtLine) -> None:
    adopt(line.place, line.bank, OWN, ENGINEER, quiet)
    put_in_force(line, 1)
    defect = read_picture(DEFECT)
    noise = np.random.default_rng(0).integers(-2, 3, defect.shape)
    alike = line.keep(np.clip(defect + noise, 0, 255).astype(np.uint8), Evaluation.FAIL)
    wrong, first = candidate_with(line, defect)
    make_report(line.place, first.bank_sha256, ENGINEER, "cpu", quiet)
    propose(line.place, first.bank_sha256, ENGINEER, "second")
    approve(line.place, first.bank_sha256, QUALITY)

    right, second = candidate_with(line, read_picture(GOOD))
    assert (second.recipe_version, second.threshold_before) == (2, first.threshold_before)
    report, _ = make_report(line.place, second.bank_sha256, ENGINEER, "cpu", quiet)
    assert report.judging_version == 1
    assert "made from cells@2, which is not in force" in report.notes[0]
    assert alike.name in {flip.name for flip in report.flips}
    assert report.effects is not None
    assert {each.case: each.passes for each in report.effects} == {wrong: [alike.name], right: []}
    with pytest.raises(InputError, match="expected a second reason"):
        propose(line.place, second.bank_sha256, ENGINEER)

    put_in_force(line, 2, AuditAction.PROMOTE)
    with pytest.raises(InputError, match="its report is beside cells@1, and @2 judges now"):
        propose(line.place, second.bank_sha256, ENGINEER, "second")
    report, _ = make_report(line.place, second.bank_sha256, ENGINEER, "cpu", quiet)
    assert (report.judging_version, report.threshold_before) == (2, first.threshold)
    assert [each.case for each in report.effects or []] == [right]
    put_in_force(line, 1, AuditAction.ROLLBACK)
    with pytest.raises(InputError, match="its report is beside cells@2, and @1 judges now"):
        propose(line.place, second.bank_sha256, ENGINEER, "second")


def test_where_nothing_was_ever_in_force_that_is_said_and_teaching_is_counted(line: TaughtLine) -> None:
    recipes = line.place.recipes
    top = recipes.read("cells", 1).cameras["top"]
    banks = {top.bank: recipes.folder("cells", 1) / top.bank}
    for parent in (1, 2):
        recipes.add(
            RecipeDraft(id="cells", number=12, cameras={"top": top}, banks=banks, who="paul", parent=parent)
        )
    line.place.record(candidate_object("ab" * 32), f"approved {recipes.read('cells', 3)}", QUALITY)
    found = judging(line.place, "cells", "top", 3)
    assert (found.version, found.path) == (2, recipes.folder("cells", 2) / top.bank)
    assert "was ever put in force, so what judges is not known" in found.note
