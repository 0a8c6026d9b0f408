"""A scoring process as batching sees it, and which of several gets an inspection. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inspectd.batching.batches_out import BatchesOut
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.service_times import ServiceTimes
from inspectd.records import BankInForce, Inspection, Pace


class Lane:
    """What waits for one scoring process, what it works on, how long it takes, and what it has loaded.

    Args:
        policy: what it gets, and when.
        times: what the policy plans with; every batch that is answered teaches it.
        max_batches_out: batches that may be with it at once.
    """

    def __init__(self, policy: BatchPolicy, times: ServiceTimes, max_batches_out: int) -> None:
        self.policy = policy
        self.times = times
        self.out = BatchesOut(times, max_batches_out)
        self.banks: dict[str, BankInForce] = {}
        """By recipe; none while the process is not warm."""

    def use_banks(self, banks: Iterable[BankInForce], paces: Iterable[Pace]) -> None:
        """Take in what the process has loaded, and what it measured when it was warm."""
        self.banks = {bank.recipe: bank for bank in banks}
        for pace in paces:
            self.times.use(pace.recipe, pace.one_ms * 1e6, pace.full_ms * 1e6)

    def holds(self, inspection: Inspection) -> bool:
        """Whether the process has the bank loaded that the inspection was opened under."""
        bank, judged_by = self.banks.get(inspection.recipe), inspection.judged_by
        return bank is not None and judged_by is not None and bank.bank_sha256 == judged_by.bank_sha256

    def wake_ns(self) -> int | None:
        """When something has to be decided of what waits."""
        return self.policy.latest_start_ns + 1 if self.out else self.policy.wake_ns()


def choose_lane(lanes: Sequence[Lane], inspection: Inspection, now_ns: int) -> Lane | None:
    """The lane that would have scored it first; None where no process holds its bank.

    Of lanes that would at the same time, the one with the least to do, then the first.
    """
    able = [lane for lane in lanes if lane.holds(inspection)]
    if len(able) < 2:
        return able[0] if able else None

    def done_ns(lane: Lane) -> tuple[int, int]:
        free_ns = lane.out.free(now_ns).at_ns
        return free_ns + lane.policy.takes_ns(inspection), free_ns + lane.policy.all_take_ns()

    return min(able, key=done_ns)
