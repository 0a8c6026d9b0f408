import random

from hypothesis import given
from hypothesis import strategies as st

from inspectd.capture.backoff import Backoff

LIMITS = st.tuples(st.floats(10, 1e4), st.floats(10, 1e5)).map(lambda pair: (min(pair), max(pair)))


@given(LIMITS, st.integers(0, 2**32), st.integers(1, 200))
def test_every_wait_is_within_the_limits(limits, seed, failures):
    least, most = limits
    backoff = Backoff(least, most, random.Random(seed))
    waits_ms = [backoff.next_seconds() * 1000 for _ in range(failures)]
    assert all(least * 0.999 <= wait <= most * 1.001 for wait in waits_ms)


@given(st.integers(0, 2**32))
def test_waits_grow_to_the_upper_half_of_the_longest_and_shrink_after_a_success(seed):
    backoff = Backoff(100, 10_000, random.Random(seed))
    waits = [backoff.next_seconds() for _ in range(20)]
    assert waits[0] <= 0.2
    assert min(waits[7:]) >= 5.0
    backoff.reset()
    assert backoff.next_seconds() <= 0.2


def test_cameras_that_failed_together_do_not_come_back_together():
    firsts = {Backoff(100, 10_000, random.Random(seed)).next_seconds() for seed in range(20)}
    assert len(firsts) == 20
