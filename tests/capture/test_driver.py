"""What all kinds of cameras share."""

from inspectd.capture.driver import unadjusted_ahead_ns

MS = 1_000_000


def test_a_process_that_is_held_up_between_two_clocks_does_not_misplace_them():
    now = {"ns": 1_000 * MS, "reads": 0}

    def adjusted() -> int:
        now["reads"] += 1
        now["ns"] += 12 * MS if now["reads"] == 2 else 100
        return now["ns"]

    assert abs(unadjusted_ahead_ns(adjusted, lambda: now["ns"] + 50 * MS) - 50 * MS) < 1_000
