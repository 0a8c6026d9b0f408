"""What the suite is built from notices what it is there to notice."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import msgspec
from faults import audit, damage, fault, gateways, report, runner, soak
from faults.fault import Context, Fault, Outcome
from faults.plc import BitProgram
from faults.reader import read_record
from faults.rig import Rig
from faults.suite import FAULTS

from inspectd.client import LossReason, Lost, Position
from inspectd.wire import Evaluation, PartVerdict


@dataclass
class BrokenGate:
    """A gate that lets every part through, whatever it hears."""

    waiting: list[str] = field(default_factory=list)

    def part(self, trigger_id):
        self.waiting.append(trigger_id)

    def accepted(self, answer):
        pass

    def verdict(self, verdict):
        pass

    def decide(self, *, line_is_alive):
        @dataclass
        class Decision:
            trigger_id: str
            opened: bool = True
            at: float = time.monotonic()
            because: str = "broken"

        here, self.waiting = self.waiting, []
        return [Decision(trigger_id) for trigger_id in here]


def test_a_broken_gate_on_a_real_line_is_found(tmp_path, parts_bank):
    outcome = Outcome()
    with Rig(tmp_path / "l", parts_bank, 3, gate=BrokenGate()) as rig:
        time.sleep(2)
        evidence = rig.settle(outcome)
    wrong = audit.wrong_passes(evidence)
    assert outcome.violations == []
    assert len(wrong) == len(evidence.openings)
    assert any("the part is bad" in problem for problem in wrong)
    assert any("after the gate had opened" in problem for problem in wrong), wrong


def record(tmp_path, text):
    file = tmp_path / "record"
    file.write_text(text)
    return read_record(file)


def test_a_reader_that_is_given_a_committed_verdict_again_is_found(tmp_path):
    found = record(tmp_path, "given 1 1 5 4\ncommitted\ngiven 1 1 9 4\n")
    assert found.repeated == [(1, 1)]
    assert found.given == [(1, 1)]


def test_a_verdict_that_was_not_committed_may_come_again(tmp_path):
    found = record(tmp_path, "given 1 1 5 4\ngiven 1 1 9 4\ncommitted\nlost something\n")
    assert (found.repeated, found.unsure, found.given) == ([], 1, [(1, 1)])
    assert found.lost == ["something"]


def test_damage_changes_one_place_of_one_file(tmp_path):
    for seed in range(30):
        for name in ("journal.sqlite", "journal.sqlite-wal"):
            (tmp_path / name).write_bytes(bytes(1000))
        damage.damage(tmp_path, random.Random(seed))
        files = [(tmp_path / name).read_bytes() for name in ("journal.sqlite", "journal.sqlite-wal")]
        (changed,) = [content for content in files if content != bytes(1000)]
        assert len(changed) < 1000 or sum(byte.bit_count() for byte in changed) == 1


def test_a_replay_that_tells_another_story_is_found():
    said = {"schema": "part/1", "epoch": 5, "seq": 3, "trigger_id": "a", "plant": "p", "line": "l"}
    said |= {"part_id": None, "encoder_count": None, "evaluation": "fail", "reason": "above_threshold"}
    said |= {"triggered_utc_ns": 1, "decided_utc_ns": 2, "latency_ms": 3.0, "deadline_ms": 4.0}
    views = [{"camera": "c", "seq": 2, "evaluation": "pass", "reason": "within_threshold"}]
    said |= {"deadline_margin_ms": 1.0, "late": False, "views": views}
    item = msgspec.convert(said, PartVerdict)
    assert damage.compare([item], {(5, 3): said}) == ([], [], False)
    changed = msgspec.structs.replace(item, evaluation=Evaluation.PASS)
    assert damage.compare([changed], {(5, 3): said})[0] == ["(5, 3) was replayed as something else"]
    assert damage.compare([], {(5, 3): said}) == ([], [(5, 3)], False)
    lost = Lost(Position(5, 2), Position(5, 4), 1, LossReason.MISSING)
    assert damage.compare([lost], {(5, 3): said}) == ([], [(5, 3)], True)


def test_memory_that_grows_is_seen_through_noise():
    noise = random.Random(1)
    growing = [(at, int(50e6 + at * 2**21 / 3600 + noise.gauss(0, 1e5))) for at in range(0, 1800, 5)]
    flat = [(at, int(50e6 + noise.gauss(0, 1e5))) for at in range(0, 1800, 5)]
    slope, low, high = soak.slope_mib_per_hour(growing)
    assert low < 2.0 < high
    assert slope > 1.5
    assert abs(soak.slope_mib_per_hour(flat)[0]) < 0.5


def test_a_fault_that_breaks_off_did_not_hold(parts_bank):
    def broken(context: Context) -> Outcome:
        raise TimeoutError("nothing came")

    entry = Fault("x", "something", "all", full=5, short=1, run=broken)
    outcome = runner.run_fault(entry, 5, parts_bank, seed=1)
    found = runner.result(entry, 5, 1, outcome, 1.0)
    assert not found["held"]
    assert "nothing came" in found["violations"][0]


def test_the_page_says_what_did_not_hold_and_what_was_not_run_in_full():
    outcome = fault.Outcome(injected=3, violations=["a part passed\nwith more"], figures={"parts": "7"})
    first = FAULTS[0]
    text = report.page(FAULTS, [runner.result(first, 3, 1, outcome, 2.0)], "")
    assert f"| 3 of {first.full:,} | **no** |" in text
    assert "- **Did not hold**: a part passed\n" in text
    assert text.count("| not run |") == len(FAULTS) - 1


class BrokenPlc(BitProgram):
    """A PLC that lets every part through, whatever it reads."""

    @property
    def outcome(self):
        return None if super().outcome is None else True


def test_a_broken_plc_is_found(tmp_path, parts_bank):
    outcome = gateways.run_program(
        Context(tmp_path, parts_bank, 5, random.Random(1), lambda: None), BrokenPlc()
    )
    assert any("the part is bad" in problem for problem in outcome.violations)
