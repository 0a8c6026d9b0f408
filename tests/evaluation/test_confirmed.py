import tracemalloc
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from support.messages import EPOCH, verdict

from inspectd import __version__
from inspectd.errors import InputError
from inspectd.evaluation.confirmed import GoodSpan, confirmed_scores, read_confirmed
from inspectd.wire import Evaluation, Reason, Verdict

BANK = "ab" * 32
SECOND_NS = 1_000_000_000


def seen(seq: int, **changes: object) -> Verdict:
    """Part `T<seq>` of serial number `P<seq>`, scored `seq`, seen at second `seq`."""
    base = msgspec.structs.replace(
        verdict(seq),
        score=float(seq),
        captured_utc_ns=seq * SECOND_NS,
        triggered_utc_ns=seq * SECOND_NS,
        trigger_id=f"T{seq}",
        part_id=f"P{seq}",
        software=__version__,
    )
    return msgspec.structs.replace(base, **changes)


FAIL = {"evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD}
LATE = {"score": None, "threshold": None, "evaluation": Evaluation.UNDECIDABLE, "reason": Reason.DEADLINE}
LINE = [
    seen(1),
    seen(2, **FAIL),
    seen(3, bank_sha256="cd" * 32),
    seen(4, **LATE),
    seen(5, late=True),
    seen(6),
]


def confirmed(tmp_path: Path, text: str):
    (tmp_path / "good.csv").write_text(text)
    return read_confirmed(tmp_path / "good.csv")


def test_of_a_time_of_good_parts_every_score_of_the_bank_counts_that_was_on_time() -> None:
    found = confirmed_scores(LINE, BANK, GoodSpan(SECOND_NS, 6 * SECOND_NS))
    assert (found.scores, found.names, found.rejected) == ([1.0, 2.0], [f"{EPOCH}:1", f"{EPOCH}:2"], 1)
    assert found.left_out == Counter({"of another bank": 1, "without a score": 1, "late": 1})
    assert (found.first_utc_ns, found.last_utc_ns) == (SECOND_NS, 2 * SECOND_NS)


@pytest.mark.parametrize("by", [None, f"verdict\n{EPOCH}:1-9000\n"])
def test_of_a_long_time_the_scores_alone_stay_in_memory(by: str | None, tmp_path: Path) -> None:
    good = GoodSpan(0, 10_000 * SECOND_NS) if by is None else confirmed(tmp_path, by)
    tracemalloc.start()
    try:
        found = confirmed_scores((seen(seq) for seq in range(1, 9001)), BANK, good)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.scores) == 9000
    assert most / 9000 < 200  # bytes; a verdict alone takes more


@pytest.mark.parametrize(
    ("text", "scores", "unknown"),
    [
        (f"verdict\n{EPOCH}:1\n{EPOCH}:2-3\n{EPOCH}:99\n", [1.0, 2.0], [f"{EPOCH}:99"]),
        (f"verdict,seen by\n{EPOCH}:1-6,meier\n\n{EPOCH + 1}:1,\n,\n", [1.0, 2.0, 6.0], [f"{EPOCH + 1}:1"]),
        ("trigger_id\r\nT6\r\n T1 \r\nT1\r\n", [1.0, 6.0], []),
        ("part_id\nP2\nP77\n", [2.0], ["P77"]),
    ],
)
def test_parts_are_confirmed_by_verdict_trigger_or_part(
    text: str, scores: list[float], unknown: list[str], tmp_path: Path
) -> None:
    found = confirmed_scores(LINE, BANK, confirmed(tmp_path, text))
    assert (found.scores, found.unknown, found.ambiguous) == (scores, unknown, [])


def test_an_id_of_several_parts_names_none_and_views_of_one_part_are_known_as_such(tmp_path: Path) -> None:
    again = seen(7, part_id="P1")
    view = seen(8, part_id="P6", trigger_id="T6", triggered_utc_ns=6 * SECOND_NS)
    found = confirmed_scores([*LINE, again, view], BANK, confirmed(tmp_path, "part_id\nP1\nP6\n"))
    assert (found.scores, found.ambiguous) == ([6.0, 8.0], ["P1"])
    assert found.parts == [6 * SECOND_NS, 6 * SECOND_NS]
    assert found.left_out == Counter({"its id names several parts": 2})
    later = confirmed_scores(
        [*LINE, again], BANK, confirmed(tmp_path, "part_id\nP1\n"), since_utc_ns=3 * SECOND_NS
    )
    assert (later.scores, later.ambiguous, later.unknown) == ([7.0], [], [])
    assert later.left_out == Counter({"of an earlier time": 1})


def test_regions_of_a_frame_that_nothing_has_triggered_are_one_part() -> None:
    free = {"trigger_id": None, "triggered_utc_ns": None}
    views = [seen(n, **free, captured_utc_ns=frame * SECOND_NS) for n, frame in enumerate((1, 1, 2))]
    assert confirmed_scores(views, BANK, GoodSpan(0, 9 * SECOND_NS)).parts == [10**9, 10**9, 2 * 10**9]


def test_rejects_that_nobody_confirmed_are_counted(tmp_path: Path) -> None:
    found = confirmed_scores(LINE, BANK, confirmed(tmp_path, "part_id\nP1\nP6\n"))
    assert (found.rejected, found.unconfirmed_rejects) == (0, 1)
    other = confirmed_scores(LINE, BANK, confirmed(tmp_path, "part_id\nP1\n"), recipe="other")
    assert (other.scores, other.unconfirmed_rejects, other.unknown) == ([], 0, [])
    assert other.left_out == Counter({"of another recipe": 1})


def test_scores_by_another_version_do_not_count() -> None:
    parts = [seen(1), seen(2, software="0.0.9"), seen(3, software=None)]
    found = confirmed_scores(parts, BANK, GoodSpan(0, 6 * SECOND_NS))
    assert (found.scores, found.left_out) == ([1.0], Counter({"of another version": 2}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with '', expected one of: verdict, trigger_id, part_id"),
        ("17\n18\n", "begins with '17', expected one of: verdict"),
        ("verdict\n17\n", "got '17', expected EPOCH:SEQ or EPOCH:FIRST-LAST"),
        ("verdict\n5:1-9\n5:7\n", "5:1-9 and 5:7 overlap"),
        ("verdict\n5:9-1\n", "got 5:9-1, expected the first number before the last"),
        ("part_id,seen by\nP1,meier\n\n,meier\n", "line 4 has nothing in its first column"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        confirmed(tmp_path, text)
    with pytest.raises(InputError, match="cannot be read"):
        read_confirmed(tmp_path / "none.csv")
