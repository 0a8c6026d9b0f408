"""Random orders of batching's release and evidence's end: every slot goes back once, and not before both."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inspectd.ipc.slot_holds import SlotHolds
from inspectd.records import FrameRef

HOLD_NS = 100


def frame(camera: str, slot: int, seq: int) -> FrameRef:
    return FrameRef(camera, 1, slot, seq, 0, 0, 2, 2)


class Slots(RuleBasedStateMachine):
    """Two cameras with three slots each; frames come, are held or not, released and ended in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.seq = 0
        self.with_batching: dict[tuple[str, int], FrameRef] = {}
        self.with_evidence: dict[tuple[str, int], tuple[FrameRef, int]] = {}
        self.returned: set[int] = set()
        self.holds = SlotHolds(self.give_back)

    def give_back(self, frame: FrameRef) -> None:
        place = frame.camera, frame.slot
        assert frame.seq not in self.returned, "given back twice"
        assert place not in self.with_batching, "batching still has it"
        assert place not in self.with_evidence, "evidence still has it"
        self.returned.add(frame.seq)

    @rule(camera=st.sampled_from("ab"), slot=st.integers(0, 2), held=st.booleans(), twice=st.booleans())
    def a_frame_comes_and_is_judged(self, camera, slot, held, twice):
        place = camera, slot
        if place in self.with_batching or place in self.with_evidence:
            return
        self.seq += 1
        self.with_batching[place] = frame(camera, slot, self.seq)
        if held:
            assert self.holds.hold(self.with_batching[place], self.now_ns)
            self.with_evidence[place] = self.with_batching[place], self.now_ns
            if twice:
                assert not self.holds.hold(self.with_batching[place], self.now_ns)

    @precondition(lambda self: self.with_batching)
    @rule(data=st.data())
    def batching_releases(self, data):
        place = data.draw(st.sampled_from(sorted(self.with_batching)))
        self.holds.release(self.with_batching.pop(place))

    @precondition(lambda self: self.with_evidence)
    @rule(data=st.data(), again=st.booleans())
    def evidence_ends(self, data, again):
        place = data.draw(st.sampled_from(sorted(self.with_evidence)))
        ended, _ = self.with_evidence.pop(place)
        assert self.holds.end(ended)
        if again:
            assert not self.holds.end(ended)

    @rule(elapsed_ns=st.integers(1, 80))
    def time_passes(self, elapsed_ns):
        self.now_ns += elapsed_ns
        due = {f.seq for f, since_ns in self.with_evidence.values() if self.now_ns - since_ns > HOLD_NS}
        assert {f.seq for f in self.holds.older_than(HOLD_NS, self.now_ns)} == due

    @invariant()
    def every_slot_is_somewhere(self):
        seqs = {f.seq for f in self.with_batching.values()} | {f.seq for f, _ in self.with_evidence.values()}
        assert seqs.isdisjoint(self.returned)
        assert len(seqs) + len(self.returned) == self.seq
        assert self.holds.count == len(self.with_evidence)
        for camera in "ab":
            held = {f.seq for place, (f, _) in self.with_evidence.items() if place[0] == camera}
            assert {f.seq for f in self.holds.frames_of(camera)} == held


Slots.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestSlots = Slots.TestCase
