"""Work that is done together where it goes on coming."""

from inspectd.ipc.rate_limit import RateLimit


def times(limit: RateLimit, asked_ns: list[int]) -> list[int]:
    """When it is done, by someone who does it as soon as it may be."""
    done = []
    for now_ns in asked_ns:
        done.append(max(now_ns, limit.due_ns))
        limit.done(done[-1])
    return done


def test_the_first_few_wait_for_nothing_and_what_follows_is_paced():
    assert times(RateLimit(10, at_once=3), [1000] * 6) == [1000, 1000, 1000, 1010, 1020, 1030]


def test_what_comes_slowly_never_waits():
    asked = list(range(1000, 2000, 10))
    assert times(RateLimit(10, at_once=1), asked) == asked


def test_a_pause_gives_back_no_more_than_the_first_few():
    limit = RateLimit(10, at_once=3)
    times(limit, [1000] * 6)
    assert times(limit, [5000] * 5) == [5000, 5000, 5000, 5010, 5020]
