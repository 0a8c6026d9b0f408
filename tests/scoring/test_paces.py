"""A bank that is too slow to be told from one that hangs is refused when it is loaded."""

import pytest

from inspectd.errors import UnavailableError
from inspectd.records import Pace
from inspectd.scoring.paces import admit_pace, near_stall


def test_a_bank_that_would_count_as_hung_at_every_image_is_refused():
    expected = "slow.bank: one image takes 4200 ms here.* for 4000 ms .*scoring.stall_timeout_ms to 13000,"
    with pytest.raises(UnavailableError, match=expected):
        admit_pace(Pace("r", 4200.0, 33600.0), "slow.bank", 4000.0, is_one_by_one=True)


def test_a_slow_batch_counts_only_where_nothing_is_answered_before_its_end():
    slow = Pace("r", 900.0, 7200.0)
    admit_pace(slow, "b.bank", 4000.0, is_one_by_one=True)
    with pytest.raises(UnavailableError, match="a full batch takes 7200 ms"):
        admit_pace(slow, "b.bank", 4000.0, is_one_by_one=False)


def test_a_bank_just_below_the_stall_time_out_is_warned_of_with_the_value_to_set():
    slow = Pace("r", 2100.0, 16800.0)
    admit_pace(slow, "b.bank", 4000.0, is_one_by_one=True)
    told = near_stall(slow, 4000.0, is_one_by_one=True)
    assert told is not None
    assert "one image takes 2100 ms here" in told
    assert "set scoring.stall_timeout_ms to 7000," in told
    assert near_stall(slow, 4200.0, is_one_by_one=True) is None
    batch = near_stall(Pace("r", 300.0, 2400.0), 4000.0, is_one_by_one=False)
    assert batch is not None
    assert "a full batch takes 2400 ms" in batch
    assert "smaller batching.max_batch" in batch
