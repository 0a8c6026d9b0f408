from __future__ import annotations

from inspectd.batching.policy import BatchPolicy
from inspectd.records import ClosedBy, FrameRef, Inspection

FRAME = FrameRef("cam", 1, 0, 1, 0, 0, 2, 2)


def inspection(number: int, opened_ns: int = 0, recipe: str = "r") -> Inspection:
    return Inspection(number, FRAME, recipe, opened_ns, 1000)


def test_nothing_waits_for_company_when_the_wait_is_zero():
    policy = BatchPolicy(max_batch=4, max_wait_ns=0, max_queue=10)
    policy.add(inspection(1, opened_ns=5))
    batch = policy.next_batch(5)
    assert batch is not None
    assert [i.inspection_id for i in batch.inspections] == [1]
    assert policy.next_batch(5) is None


def test_a_full_batch_leaves_at_once_and_the_rest_waits():
    policy = BatchPolicy(max_batch=2, max_wait_ns=100, max_queue=10)
    for number in (1, 2, 3):
        policy.add(inspection(number))
    batch = policy.next_batch(1)
    assert batch is not None
    assert batch.closed_by is ClosedBy.FULL
    assert [i.inspection_id for i in batch.inspections] == [1, 2]
    assert policy.next_batch(1) is None
    assert policy.wake_ns() == 100
    late = policy.next_batch(100)
    assert late is not None
    assert late.closed_by is ClosedBy.DEADLINE


def test_only_a_full_batch_goes_where_only_a_full_one_may():
    policy = BatchPolicy(max_batch=2, max_wait_ns=0, max_queue=10)
    policy.add(inspection(1))
    assert policy.next_batch(5, only_full=True) is None
    assert policy.next_batch(5, only_full=True, drain=True) is None
    policy.add(inspection(2))
    batch = policy.next_batch(5, only_full=True)
    assert batch is not None
    assert batch.closed_by is ClosedBy.FULL


def test_a_drain_sends_what_waits():
    policy = BatchPolicy(max_batch=2, max_wait_ns=100, max_queue=10)
    policy.add(inspection(1))
    batch = policy.next_batch(1, drain=True)
    assert batch is not None
    assert batch.closed_by is ClosedBy.DRAIN


def test_the_recipe_that_waits_longest_goes_first():
    policy = BatchPolicy(max_batch=2, max_wait_ns=0, max_queue=10)
    policy.add(inspection(1, opened_ns=9, recipe="young"))
    policy.add(inspection(2, opened_ns=3, recipe="old"))
    first = policy.next_batch(10)
    assert first is not None
    assert first.recipe == "old"


def test_a_full_queue_takes_no_more_until_one_is_discarded():
    policy = BatchPolicy(max_batch=2, max_wait_ns=100, max_queue=2)
    assert policy.add(inspection(1))
    assert policy.add(inspection(2, recipe="other"))
    assert not policy.add(inspection(3))
    assert policy.discard(inspection(1))
    assert not policy.discard(inspection(1))
    assert policy.add(inspection(3))
    assert policy.waiting == 2
