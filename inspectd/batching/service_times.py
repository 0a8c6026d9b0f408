"""How long scoring takes for a batch: measured when it was warm, and corrected by every batch since. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

_FOLLOW: Final = 0.1
"""Weight of the newest batch; the first ones weigh more, so that the line knows its machine after a few."""
_MOST_AT_ONCE: Final = 3.0
"""One batch counts for at most so many times what was expected: a hiccup is no new machine."""
_FOLLOW_AT_FIRST: Final = 0.25
_DOUBT_AT_FIRST: Final = 0.25
_STALE_NS: Final = 2_000_000_000
"""What was not scored for so long is expected as it was when scoring was warm: slow times end unseen."""
_SELDOM_NS: Final = 32_000_000_000
"""So often a recipe is tried at least, however slow it was each time."""
_FASTER: Final = 0.9
"""A trial that took less than this share of what was expected shows that the expected is wrong."""
_TOLERATED: Final = 0.03
"""Share of a time by which a plan's may be off: the batch that goes next is always judged by the newest."""
_WORTH_WAITING: Final = 0.9
"""A full batch has to take less than this share of its images one by one to be worth filling."""


class ServiceTimes:
    """What scoring needs for a batch of a recipe.

    How the time grows with the batch's size is what scoring measured when it was warm: one image, a full
    batch, and a straight line between. What batches took since moves all of it up and down together: other
    programs, heat and larger frames slow every size alike.
    """

    def __init__(self, max_batch: int) -> None:
        """Know nothing: every batch is expected to take no time, so nothing is refused."""
        self.changes = 0
        """How often what it expects has changed by more than a plan made before can bear."""
        self._max_batch = max_batch
        self._recipes: dict[str, _Times] = {}
        self._unknown = _Times([0.0] * max_batch, max_batch)

    def use(self, recipe: str, one_ns: float, full_ns: float) -> None:
        """Begin anew with what scoring measured for one image and for `max_batch` of them."""
        self.changes += 1
        steps, more_ns = max(1, self._max_batch - 1), max(0.0, full_ns - one_ns)
        shape = [one_ns + more_ns * step / steps for step in range(self._max_batch)]
        gains = shape[-1] < _WORTH_WAITING * self._max_batch * one_ns
        self._recipes[recipe] = _Times(shape, self._max_batch if gains else 1)

    def follow(self, other: ServiceTimes) -> None:
        """Expect what another process of the same kind has learned, which knows the machine at work.

        Of recipes that both know its times are taken where they are shorter: what this one measured while the
        other scored beside it is rather too long, and what the other expects may be of a slow start that
        nothing has put right since. What only this one has is taken to be as much faster as those that both
        know are.
        """
        self.changes += 1
        shares = []
        for recipe, times in self._recipes.items():
            if (known := other._recipes.get(recipe)) is not None and times.shape[0] and known.shape[0]:
                shares.append(known.shape[0] * known.mean / times.shape[0])
                if shares[-1] < 1:
                    times.shape, times.limit, times.mean = list(known.shape), known.limit, known.mean
                    times.deviation = known.deviation
        share = min(1.0, *shares) if shares else 1.0
        for recipe, times in self._recipes.items():
            if recipe not in other._recipes:
                times.shape = [spent_ns * share for spent_ns in times.shape]

    def learn(self, recipe: str, size: int, took_ns: int, now_ns: int) -> None:
        """Take in what a batch of `size` took from when scoring was free for it."""
        if recipe in self._recipes:
            times = self._recipes[recipe]
            times.learn(size, took_ns)
            times.learned_ns = now_ns
            self.changes += times.has_changed()

    def forget_stale(self, now_ns: int) -> None:
        """Expect of what was not scored for long what was measured when scoring was warm."""
        for times in self._recipes.values():
            if now_ns - times.learned_ns > _STALE_NS and times.mean > 1:
                self.changes += 1
                times.begin_anew()

    def may_try(self, recipe: str, now_ns: int) -> bool:
        """Whether nothing of it was scored or tried for so long that one is now, and then not soon again.

        A trial may delay others, so after each that was as slow as expected the next one waits twice as long.
        """
        times = self._recipes.get(recipe)
        if times is None or now_ns - times.learned_ns <= times.untried_ns:
            return False
        times.learned_ns = now_ns
        return True

    def begin_trial(self, recipe: str) -> None:
        """The batch that is learnt of next is a trial; one that was closed before it went shows nothing."""
        self._recipes[recipe].is_tried = True

    def batch_limit(self, recipe: str) -> int:
        """Images worth scoring together: 1 where a batch takes as long as its images one by one."""
        return self._of(recipe).limit

    def expected_ns(self, recipe: str, size: int) -> int:
        """Mean time of a batch of `size`."""
        times = self._of(recipe)
        return int(times.shape[size - 1] * times.mean)

    def in_batches_ns(self, recipe: str, count: int) -> int:
        """Mean time of so many in as few batches as are worth it."""
        limit = self.batch_limit(recipe)
        full, rest = divmod(count, limit)
        return full * self.expected_ns(recipe, limit) + (self.expected_ns(recipe, rest) if rest else 0)

    def deviation_ns(self, recipe: str, size: int) -> float:
        """Mean deviation from it."""
        times = self._of(recipe)
        return times.shape[size - 1] * times.deviation

    def fitting(self, recipe: str, within_ns: int) -> int:
        """Most images of a batch that is done `within_ns`; 0: not even one."""
        times = self._of(recipe)
        return bisect_right(times.shape, within_ns / times.mean) if within_ns >= 0 else 0

    def per_second(self) -> dict[str, float]:
        """Images that scoring alone does in a second, in full batches, by recipe."""
        usual_ns = {name: times.shape[times.limit - 1] * times.mean for name, times in self._recipes.items()}
        return {name: 1e9 * self._recipes[name].limit / took for name, took in usual_ns.items() if took}

    def _of(self, recipe: str) -> _Times:
        return self._recipes.get(recipe, self._unknown)


class _Times:
    """Of one recipe: times by size when scoring was warm, and how much longer batches take now."""

    def __init__(self, shape: list[float], limit: int) -> None:
        self.shape = shape
        self.limit = limit
        self.learned_ns = -_STALE_NS
        self.is_tried = False
        self.untried_ns = _STALE_NS
        """So long it is not tried after it was scored or tried last."""
        self.begin_anew()

    def begin_anew(self) -> None:
        self.mean = 1.0
        self.deviation = _DOUBT_AT_FIRST
        self._known = (self.mean, self.deviation)
        self._batches = 0

    def has_changed(self) -> bool:
        """Whether it has changed by more than is tolerated since this was last true."""
        mean, deviation = self._known
        if max(abs(self.mean - mean), abs(self.deviation - deviation)) <= _TOLERATED * mean:
            return False
        self._known = (self.mean, self.deviation)
        return True

    def learn(self, size: int, took_ns: int) -> None:
        if not self.shape[size - 1]:
            return
        if self.is_tried:
            is_faster = took_ns < _FASTER * self.shape[size - 1] * self.mean
            self.untried_ns = _STALE_NS if is_faster else min(2 * self.untried_ns, _SELDOM_NS)
            if is_faster:
                self._batches = 0  # what is known is wrong: the next few weigh as much as the first ones
            self.is_tried = False
        self._batches += 1
        weight = max(_FOLLOW, min(_FOLLOW_AT_FIRST, 1 / self._batches))
        off = min(took_ns / self.shape[size - 1], _MOST_AT_ONCE * self.mean) - self.mean
        self.mean += weight * off
        self.deviation += weight * (abs(off) - self.deviation)
