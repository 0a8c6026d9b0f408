"""Every check of the fault suite finds what it looks for, and nothing where all is well."""

from __future__ import annotations

import dataclasses

import pytest
from faults import audit
from faults.audit import Evidence, Opening, Part, Truth
from faults.listener import Heard

MS = 1_000_000


def view(camera: str = "top", seq: int = 1, **changed) -> Heard:
    header = {
        "schema": "verdict/1",
        "epoch": 5,
        "seq": seq,
        "camera": camera,
        "trigger_id": "a",
        "evaluation": "pass",
        "bank_sha256": "bank",
        "frame_sha256": f"{camera}-picture",
    }
    return Heard(1100 * MS, header | changed)


def part_verdict(at_ms: int = 1100, seq: int = 3, **changed) -> Heard:
    views = [{"camera": "top", "seq": 1}, {"camera": "side", "seq": 2}]
    header = {
        "schema": "part/1",
        "epoch": 5,
        "seq": seq,
        "trigger_id": "a",
        "evaluation": "pass",
        "reason": "within_threshold",
        "late": False,
        "deadline_margin_ms": 200.0,
        "views": views,
    }
    return Heard(at_ms * MS, header | changed)


def evidence(*heard: Heard, opened: bool = True, good: bool = True) -> Evidence:
    part = Part("a", good, {"top": {"top-picture"}, "side": {"side-picture"}}, 990 * MS, 1000 * MS, True)
    part.answer = {"schema": "trigger_ack/1"}
    said = list(heard) or [view("top", 1), view("side", 2), part_verdict()]
    return Evidence(Truth("bank", 300 * MS), {"a": part}, [Opening("a", opened, 1450 * MS)], said)


def test_a_right_pass_is_no_wrong_one():
    assert audit.wrong_passes(evidence()) == []


@pytest.mark.parametrize(
    ("heard", "word"),
    [
        ([view("top", 1), view("side", 2)], "no verdict of it"),
        ([view("top", 1), view("side", 2), part_verdict(evaluation="fail")], "it is fail"),
        ([view("top", 1), view("side", 2), part_verdict(evaluation="undecidable")], "it is undecidable"),
        ([view("top", 1), view("side", 2), part_verdict(late=True)], "late"),
        ([view("top", 1), view("side", 2), part_verdict(deadline_margin_ms=-1.0)], "late"),
        ([view("top", 1), view("side", 2), part_verdict(at_ms=1451)], "after the gate"),
        ([view("top", 1), view("side", 2), part_verdict(at_ms=999)], "before the part"),
        ([view("top", 1), view("side", 2), part_verdict(trigger_id="b")], "no verdict of it"),
        ([view("top", 1), part_verdict()], "never published"),
        ([view("top", 1), view("side", 2, evaluation="fail"), part_verdict()], "is fail"),
        ([view("top", 1), view("side", 2, trigger_id="b"), part_verdict()], "for b"),
        ([view("top", 1), view("side", 2, bank_sha256="other"), part_verdict()], "another bank"),
        ([view("top", 1), view("side", 2, frame_sha256="other"), part_verdict()], "not made from"),
        ([view("top", 1), view("side", 2, frame_sha256=None), part_verdict()], "not made from"),
        ([view("top", 1), part_verdict(views=[{"camera": "top", "seq": 1}])], "it has the views"),
    ],
)
def test_a_gate_that_opens_without_a_right_pass_is_found(heard, word):
    (problem,) = audit.wrong_passes(evidence(*heard))
    assert word in problem
    assert audit.wrong_passes(evidence(*heard, opened=False)) == []


def test_a_bad_part_that_passes_is_found_whatever_was_said():
    (problem,) = audit.wrong_passes(evidence(good=False))
    assert "the part is bad" in problem


def test_a_bad_picture_of_a_free_camera_that_passes_is_found():
    free = {"trigger_id": None, "camera": "free"}
    right = [view(**free, source="good-01.png"), view(**free, source="bad-02.png", evaluation="fail")]
    assert audit.wrong_frames([*right, part_verdict()]) == []
    assert audit.wrong_frames([view(**free, source="bad-02.png")]) == ["bad-02.png passed"]


def test_a_part_that_nobody_triggered_is_found():
    found = evidence()
    found.openings.append(Opening("ghost", True, 1450 * MS))
    (problem,) = audit.wrong_passes(found)
    assert "no such part" in problem


def test_a_verdict_that_only_the_journal_has_counts():
    found = evidence()
    found.committed = {audit.name_of(v.header): v.header for v in found.heard}
    found.heard = []
    assert audit.wrong_passes(found) == []


def test_a_trigger_without_answer_is_found_while_the_daemon_is_up():
    up = [(900 * MS, 1200 * MS)]
    assert audit.unanswered(evidence(), up) == []
    silent = evidence()
    silent.parts["a"].answer = None
    assert "never answered" in audit.unanswered(silent, up)[0]
    assert audit.unanswered(silent, [(1001 * MS, 1200 * MS)]) == []


def test_an_accepted_trigger_without_exactly_one_verdict_is_found():
    assert audit.owed(evidence()) == []
    assert "got 0 verdicts" in audit.owed(evidence(view()))[0]
    assert "got 2 verdicts" in audit.owed(evidence(part_verdict(), part_verdict(seq=9)))[0]
    killed = evidence(view())
    killed.committed = {(6, 1): part_verdict(epoch=6, seq=1, evaluation="undecidable").header}
    assert audit.owed(killed) == []


def test_lateness_counts_from_the_suites_own_trigger():
    late = evidence(part_verdict(at_ms=1401, evaluation="undecidable"))
    assert audit.lateness_ns(late) == [101 * MS]
    assert len(audit.too_late(audit.lateness_ns(late))) == 1
    assert (
        audit.too_late(audit.lateness_ns(evidence(part_verdict(at_ms=1400, evaluation="undecidable")))) == []
    )


def test_a_good_part_that_failed_was_judged_by_another_picture():
    assert audit.misjudged(evidence()) == []
    assert audit.misjudged(evidence(part_verdict(evaluation="fail"))) == ["a is good and failed"]
    assert audit.misjudged(evidence(part_verdict(evaluation="fail"), good=False)) == []


def test_a_judgement_by_a_picture_of_another_time_is_found():
    def problems(**changed):
        judged = view(camera="free", trigger_id=None, captured_utc_ns=1050 * MS, **changed)
        return audit.misdated(evidence(judged), "free", {"known": 1030 * MS, "old": 1010 * MS}, 30 * MS, 0)

    assert problems(frame_sha256="known") == []
    assert "40 ms before its stamp" in problems(frame_sha256="old")[0]
    assert problems(frame_sha256="old", evaluation="undecidable") == []
    assert problems(frame_sha256="none") == []
    assert "no such part" in problems(frame_sha256="none", evaluation="fail")[0]


def test_the_longest_silence_counts_from_the_beginning_and_to_the_end():
    assert audit.silent([1000 * MS, 1200 * MS, 1300 * MS], (900 * MS, 1400 * MS)) == 0.2
    assert audit.silent([], (900 * MS, 1400 * MS)) == 0.5
    assert audit.silent([1000 * MS], (900 * MS, 1400 * MS)) == 0.4


def test_order_across_epochs():
    assert audit.out_of_order([(1, 4), (1, 5), (3, 1), (3, 2)]) == []
    for names in ([(1, 5), (1, 5)], [(1, 5), (1, 4)], [(1, 5), (1, 7)], [(3, 1), (1, 1)], [(1, 5), (3, 2)]):
        assert len(audit.out_of_order(names)) == 1


def test_lost_repeated_and_uncommitted_verdicts_are_found():
    assert audit.lost([(1, 1), (1, 2)], [(1, 2), (1, 1)]) == []
    assert len(audit.lost([(1, 1), (1, 2)], [(1, 2)])) == 1
    assert len(audit.duplicates([(1, 1), (1, 1), (1, 2)])) == 1
    assert len(audit.uncommitted([(1, 1)], [(1, 1), (1, 2)])) == 1


def test_a_verdict_that_the_journal_tells_otherwise_is_found():
    heard = part_verdict()
    assert audit.conflicting([heard], {(5, 3): heard.header}) == []
    assert len(audit.conflicting([heard], {(5, 3): {**heard.header, "evaluation": "fail"}})) == 1


def test_a_run_in_which_nothing_passed_or_failed_proves_nothing():
    assert audit.idle(evidence(), 1) == ["no bad part was judged"]
    assert len(audit.idle(evidence(opened=False), 1)) == 2
    bad = dataclasses.replace(evidence().parts["a"], trigger_id="b", good=False)
    both = evidence(part_verdict(trigger_id="b", evaluation="fail"))
    both.parts["b"] = bad
    assert audit.idle(both, 1) == []
