"""Random orders of batching's release and evidence's ends: every slot goes back once, and not before all."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inspectd.ipc.slot_holds import SlotHolds
from inspectd.records import FrameRef, FrameRegion

HOLD_NS = 100
REGIONS = (None, FrameRegion("a", 0, 0, 1, 1), FrameRegion("b", 1, 1, 1, 1))


class Slots(RuleBasedStateMachine):
    """Two cameras with three slots each; frames and their regions are held, released, ended in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.seq = 0
        self.with_batching: dict[tuple[str, int], FrameRef] = {}
        self.with_evidence: list[tuple[FrameRef, int]] = []
        self.returned: set[int] = set()
        self.holds = SlotHolds(self.give_back)

    def held_slots(self) -> set[tuple[str, int]]:
        return {(frame.camera, frame.slot) for frame, _ in self.with_evidence}

    def give_back(self, frame: FrameRef) -> None:
        place = frame.camera, frame.slot
        assert frame.seq not in self.returned, "given back twice"
        assert place not in self.with_batching, "batching still has it"
        assert place not in self.held_slots(), "evidence still has it"
        self.returned.add(frame.seq)

    @rule(
        camera=st.sampled_from("xy"), slot=st.integers(0, 2),
        held=st.sets(st.sampled_from(REGIONS)), twice=st.booleans(),
    )  # fmt: skip
    def a_frame_comes_and_is_judged(self, camera, slot, held, twice):
        place = camera, slot
        if place in self.with_batching or place in self.held_slots():
            return
        self.seq += 1
        frame = self.with_batching[place] = FrameRef(camera, 1, slot, self.seq, 0, 0, 2, 2)
        for number, region in enumerate(held):
            seen = msgspec.structs.replace(frame, region=region)
            assert self.holds.holds_slot_of(seen) == bool(number)
            assert self.holds.hold(seen, self.now_ns)
            self.with_evidence.append((seen, self.now_ns))
            if twice:
                assert not self.holds.hold(seen, self.now_ns)

    @precondition(lambda self: self.with_batching)
    @rule(data=st.data())
    def batching_releases(self, data):
        place = data.draw(st.sampled_from(sorted(self.with_batching)))
        self.holds.release(self.with_batching.pop(place))

    @precondition(lambda self: self.with_evidence)
    @rule(data=st.data(), again=st.booleans())
    def evidence_ends(self, data, again):
        ended, _ = self.with_evidence.pop(data.draw(st.integers(0, len(self.with_evidence) - 1)))
        assert self.holds.end(ended)
        if again:
            assert not self.holds.end(ended)

    @rule(elapsed_ns=st.integers(1, 80))
    def time_passes(self, elapsed_ns):
        self.now_ns += elapsed_ns
        due = {(f.seq, f.place) for f, since_ns in self.with_evidence if self.now_ns - since_ns > HOLD_NS}
        assert {(f.seq, f.place) for f in self.holds.older_than(HOLD_NS, self.now_ns)} == due

    @invariant()
    def every_slot_is_somewhere(self):
        seqs = {f.seq for f in self.with_batching.values()} | {f.seq for f, _ in self.with_evidence}
        assert seqs.isdisjoint(self.returned)
        assert len(seqs) + len(self.returned) == self.seq
        assert self.holds.count == len(self.held_slots())
        for camera in "xy":
            held = {(f.seq, f.place) for f, _ in self.with_evidence if f.camera == camera}
            assert {(f.seq, f.place) for f in self.holds.frames_of(camera)} == held
            assert self.holds.count_of(camera) == len({seq for seq, _ in held})


Slots.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestSlots = Slots.TestCase
