"""Cases: who may say what of which verdict, and that all of it is one chain of records."""

from __future__ import annotations

import os
import time

import msgspec
import numpy as np
import pytest
from msgspec import structs
from support.cells import cells
from support.teaching import DAY_NS, INSPECTOR, OPERATOR, QUALITY, TaughtLine

from inspectd.bank.images import pixel_digest
from inspectd.errors import InputError
from inspectd.pictures.reading import read_picture
from inspectd.recipes.audit import read, verify
from inspectd.recipes.audit.reading import AuditSummary
from inspectd.teach.answering import confirm, mark, vouch, withdraw
from inspectd.teach.cases import MOST_A_DAY, CaseBook, case_path
from inspectd.teach.golden_images import golden_images, golden_set, keep_golden, take_out_golden
from inspectd.teach.kept_parts import KeptPart, find_part
from inspectd.wire import Evaluation, Rectangle

PASS, FAIL, UNDECIDABLE = Evaluation.PASS, Evaluation.FAIL, Evaluation.UNDECIDABLE
GOOD = cells(defective=False)[40:]
NAMELESS = QUALITY._replace(why="")


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)


def test_a_false_reject_goes_from_mark_to_confirmed_and_back(line: TaughtLine) -> None:
    part = line.keep(GOOD[0], FAIL)
    case = mark(line.place, find_part(line.place.evidence, part.name), "good", OPERATOR)
    assert (case.id, case.place, case.score) == ("7-1", "top", 2.0)
    assert line.place.images.path(case.image).read_bytes() == (part.folder / "frame.png").read_bytes()
    assert case.pixels_sha256 == pixel_digest(read_picture(GOOD[0])).tobytes().hex()
    (found,) = CaseBook(line.place).all()
    assert (found.state, found.marked_by, found.marked_why) == ("marked", "olga", "because")
    assert CaseBook(line.place).confirmed("cells", "top", "good") == []
    found = confirm(line.place, "7:1", INSPECTOR)
    assert (found.state, found.decided_by, found.vouched_by) == ("confirmed", "ivan", "")
    assert CaseBook(line.place).confirmed("cells", "top", "good") == [found]
    assert withdraw(line.place, "7-1", INSPECTOR).state == "withdrawn"
    assert CaseBook(line.place).confirmed("cells", "top", "good") == []
    done = [
        (record.action, record.who, record.object, (record.new or "")[:9])
        for record in read(line.place.audit)
    ]
    assert done == [
        ("teach", "olga", "case 7-1", "marked go"),
        ("teach", "ivan", "case 7-1", "confirmed"),
        ("teach", "ivan", "case 7-1", "withdrawn"),
    ]
    assert isinstance(verify(line.place.audit), AuditSummary)


def test_the_beginning_of_a_record_that_a_crash_left_stops_nothing(line: TaughtLine) -> None:
    mark(line.place, line.keep(GOOD[0], FAIL), "good", OPERATOR)
    with line.place.audit.open("ab") as file:
        file.write(line.place.audit.read_bytes()[:120])
    assert [each.state for each in CaseBook(line.place).all()] == ["marked"]
    assert confirm(line.place, "7-1", INSPECTOR).state == "confirmed"


@pytest.mark.parametrize(
    ("evaluation", "answer", "message"),
    [
        (UNDECIDABLE, "good", "undecidable .*teaches nothing"),
        (UNDECIDABLE, "bad", "undecidable .*teaches nothing"),
        (PASS, "good", "that is right; expected a fail"),
        (FAIL, "bad", "that is right; expected a pass"),
    ],
)
def test_only_a_wrong_verdict_is_a_case(
    line: TaughtLine, evaluation: Evaluation, answer: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        mark(line.place, line.keep(GOOD[0], evaluation), answer, OPERATOR)
    assert not line.place.root.exists()


def test_one_verdict_and_one_picture_are_one_case(line: TaughtLine) -> None:
    part = line.keep(GOOD[0], FAIL)
    mark(line.place, part, "good", OPERATOR)
    with pytest.raises(InputError, match="has a case already"):
        mark(line.place, part, "good", INSPECTOR)
    with pytest.raises(InputError, match="its picture is that of case 7-1"):
        mark(line.place, line.keep(GOOD[0], FAIL), "good", OPERATOR)
    with pytest.raises(InputError, match="OLGA  marked it, expected a second person"):
        confirm(line.place, "7-1", OPERATOR._replace(role="inspector", who="OLGA "))
    assert confirm(line.place, "7-1", INSPECTOR, agrees=False).state == "refused"
    with pytest.raises(InputError, match="is refused, expected one that nobody has decided"):
        confirm(line.place, "7-1", QUALITY)
    with pytest.raises(InputError, match="got case '7-9'"):
        confirm(line.place, "7-9", INSPECTOR)


def test_the_golden_set_is_never_taught(line: TaughtLine) -> None:
    keep = {"recipe": "cells", "camera": "top", "expect": "pass", "bit_depth": 8, "person": QUALITY}
    assert keep_golden(line.place, GOOD[:2], **keep) == 2
    assert keep_golden(line.place, GOOD[:2], **keep) == 0
    with pytest.raises(InputError, match="the same picture is kept as one that has to pass, expected fail"):
        keep_golden(line.place, [GOOD[5], GOOD[0]], **{**keep, "expect": "fail"})
    assert len(golden_images(line.place)) == 2
    with pytest.raises(InputError, match="its picture is of the golden set"):
        mark(line.place, line.keep(GOOD[0], FAIL), "good", OPERATOR)


def test_a_golden_image_that_was_a_mistake_is_taken_out_and_kept_otherwise(line: TaughtLine) -> None:
    of = {"recipe": "cells", "camera": "top", "bit_depth": 8}
    keep_golden(line.place, GOOD[:3], **of, expect="pass", person=QUALITY)
    before = golden_set(line.place, "cells", "top")
    with pytest.raises(InputError, match="--why: is missing"):
        take_out_golden(line.place, GOOD[:1], **of, person=NAMELESS)
    with pytest.raises(InputError, match="only these may golden"):
        take_out_golden(line.place, GOOD[:1], **of, person=INSPECTOR)
    with pytest.raises(InputError, match="none of 1 picture is golden for cells on side; 0 others are"):
        take_out_golden(line.place, GOOD[:1], **{**of, "camera": "side"}, person=QUALITY)
    assert take_out_golden(line.place, GOOD[2:5], **of, person=QUALITY) == 1
    assert len(golden_images(line.place)) == 2
    assert keep_golden(line.place, GOOD[2:3], **of, expect="fail", person=QUALITY) == 1
    assert [image.expect for image in golden_images(line.place)] == ["pass", "pass", "fail"]
    assert golden_set(line.place, "cells", "top") != before  # as many as before, and yet a report is old
    take_out_golden(line.place, GOOD[2:3], **of, person=QUALITY)
    keep_golden(line.place, GOOD[2:3], **of, expect="pass", person=QUALITY)
    assert golden_set(line.place, "cells", "top") == before


@pytest.mark.parametrize(("score", "threshold"), [(3.01, 1.0), (0.1, 0.0), (-0.1, -1.0)])
def test_what_is_unusual_takes_quality_and_a_reason(line: TaughtLine, score: float, threshold: float) -> None:
    mark(line.place, line.keep(GOOD[0], FAIL, score, threshold), "good", OPERATOR)
    for person in (INSPECTOR, NAMELESS):
        with pytest.raises(InputError, match="expected somebody of quality with a reason"):
            confirm(line.place, "7-1", person)
    assert confirm(line.place, "7-1", QUALITY).vouched_by == "quentin"


def test_quality_vouches_later_and_no_word_is_without_a_reason(line: TaughtLine) -> None:
    mark(line.place, line.keep(GOOD[0], FAIL), "good", OPERATOR)
    with pytest.raises(InputError, match="is marked as good, expected a confirmed one"):
        vouch(line.place, "7-1", QUALITY)
    confirm(line.place, "7-1", INSPECTOR)
    with pytest.raises(InputError, match="--why: is missing"):
        vouch(line.place, "7-1", NAMELESS)
    assert vouch(line.place, "7-1", QUALITY).vouched_why == "because"


def test_a_day_has_a_limit_for_good_parts_and_none_for_escapes(line: TaughtLine) -> None:
    for seed in range(MOST_A_DAY):
        mark(line.place, line.keep(noise(seed), FAIL), "good", OPERATOR)
    with pytest.raises(InputError, match="20 parts were marked good within 24 hours, expected at most 20"):
        mark(line.place, line.keep(noise(99), FAIL), "good", OPERATOR)
    mark(line.place, line.keep(noise(98), PASS), "bad", OPERATOR)
    CaseBook(line.place).refuse_more("marked", "top/left")  # a region counts by itself
    line.now_ns += DAY_NS + 10**11
    mark(line.place, line.keep(noise(99), FAIL), "good", OPERATOR)


def test_an_altered_record_case_or_picture_is_refused(line: TaughtLine) -> None:
    case = mark(line.place, line.keep(GOOD[0], FAIL), "good", OPERATOR)
    path = case_path(line.place, case.id)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"answer":"good"', b'"answer":"bad"'))
    with pytest.raises(InputError, match="was altered"):
        CaseBook(line.place)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        CaseBook(line.place)
    path.write_bytes(whole)
    image = line.place.images.place(case.image)
    image.chmod(0o644)
    image.write_bytes(b"another")
    with pytest.raises(InputError, match="was altered"):
        line.place.images.path(case.image)
    audit = line.place.audit.read_bytes()
    line.place.audit.write_bytes(audit.replace(b'"olga"', b'"otto"'))
    with pytest.raises(InputError, match="line 1: expected"):
        CaseBook(line.place)


def test_a_frame_that_is_not_the_judged_one_is_refused(line: TaughtLine) -> None:
    part = line.keep(GOOD[0], FAIL)
    (part.folder / "frame.png").write_bytes((line.keep(GOOD[1], FAIL).folder / "frame.png").read_bytes())
    with pytest.raises(InputError, match="is not the frame that was judged"):
        mark(line.place, part, "good", OPERATOR)
    with pytest.raises(InputError, match="holds no evidence of verdict 7:99"):
        find_part(line.place.evidence, "7:99")
    with pytest.raises(InputError, match="expected EPOCH:SEQ"):
        find_part(line.place.evidence, "../7:1")


@pytest.mark.parametrize(
    ("altered", "answer"),
    [({"evaluation": PASS}, "bad"), ({"score": 1.5}, "good"), ({"frame_sha256": "a"}, "good")],
)
def test_evidence_that_the_journal_says_otherwise_teaches_nothing(line: TaughtLine, altered, answer) -> None:
    part = line.keep(GOOD[0], FAIL)
    record = structs.replace(part.record, verdict=structs.replace(part.verdict, **altered))
    (part.folder / "evidence.json").write_bytes(msgspec.json.encode(record))
    with pytest.raises(InputError, match=r"expected .* as in the line's journal"):
        mark(line.place, KeptPart(part.folder), answer, OPERATOR)


def test_of_a_region_its_own_picture_is_kept(line: TaughtLine) -> None:
    part = line.keep(GOOD[0], FAIL, rectangle=Rectangle(10, 20, 100, 90))
    case = mark(line.place, part, "good", OPERATOR)
    assert case.frame != case.image
    cut = read_picture(line.place.images.path(case.image))
    np.testing.assert_array_equal(cut, read_picture(GOOD[0])[20:110, 10:110])


def test_quality_alone_takes_a_known_defect_back(line: TaughtLine) -> None:
    mark(line.place, line.keep(GOOD[0], PASS), "bad", OPERATOR)
    confirm(line.place, "7-1", INSPECTOR)
    assert len(CaseBook(line.place).confirmed("cells", "top", "bad")) == 1
    with pytest.raises(InputError, match="only these may withdraw_escape"):
        withdraw(line.place, "7-1", INSPECTOR)
    assert withdraw(line.place, "7-1", QUALITY).state == "withdrawn"


def test_the_audit_file_is_verified_again_whenever_it_changed_and_only_then(line: TaughtLine) -> None:
    place = line.place
    assert list(place.records()) == []
    mark(place, line.keep(GOOD[0], FAIL), "good", OPERATOR)
    end = time.monotonic() + 10
    while (found := place.records()) is not place.records():  # a state of just now may have two contents
        assert time.monotonic() < end
    assert [record.who for record in found] == ["olga"]
    whole, times = place.audit.read_bytes(), place.audit.stat()
    place.audit.write_bytes(whole.replace(b'"olga"', b'"otto"'))
    os.utime(place.audit, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError, match="was altered: line 1: expected"):
        place.records()
    place.audit.write_bytes(whole)
    confirm(place, "7-1", INSPECTOR)
    assert [record.who for record in place.records()] == ["olga", "ivan"]
