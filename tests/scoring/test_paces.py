"""A bank that is too slow to be told from one that hangs is refused when it is loaded."""

import pytest

from inspectd.errors import UnavailableError
from inspectd.records import Pace
from inspectd.scoring.paces import admit_pace


def test_a_bank_that_would_count_as_hung_at_every_image_is_refused():
    expected = "slow.bank: one image takes 4200 ms here.* for 4000 ms .*scoring.stall_timeout_ms to 13000,"
    with pytest.raises(UnavailableError, match=expected):
        admit_pace(Pace("r", 4200.0, 33600.0), "slow.bank", 4000.0, is_one_by_one=True)


def test_a_slow_batch_counts_only_where_nothing_is_answered_before_its_end():
    slow = Pace("r", 900.0, 7200.0)
    admit_pace(slow, "b.bank", 4000.0, is_one_by_one=True)
    with pytest.raises(UnavailableError, match="a full batch takes 7200 ms"):
        admit_pace(slow, "b.bank", 4000.0, is_one_by_one=False)
