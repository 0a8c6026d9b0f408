from inspectd.alarms import Refusals

SECOND_NS = 1_000_000_000


def test_refusals_are_summed_up_and_told_at_most_every_ten_seconds():
    refusals = Refusals()
    assert refusals.summary(0) is None
    refusals.add("verdicts", "unknown_key")
    assert refusals.summary(1) == "verdicts: 1 by unknown_key"
    for _ in range(1000):
        refusals.add("verdicts", "handshake")
    refusals.add("control", "role")
    assert refusals.summary(9 * SECOND_NS) is None
    assert refusals.summary(10 * SECOND_NS + 1) == "control: 1 by role; verdicts: 1000 by handshake"
    assert refusals.summary(100 * SECOND_NS) is None
