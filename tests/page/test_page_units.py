"""The page's parts by themselves: pictures with credit, logins, shifts, counts, the line's state, files."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from argon2 import PasswordHasher, extract_parameters
from starlette.testclient import TestClient
from support.page_process import CHEAP

from inspectd.cli.page import example
from inspectd.client import (
    Counts,
    Evaluation,
    Event,
    HealthCondition,
    Heartbeat,
    LineStatus,
    LossReason,
    Lost,
    PartVerdict,
    Position,
    Reason,
    Verdict,
    ViewVerdict,
)
from inspectd.errors import ConfigError, InputError
from inspectd.page import disk_desk
from inspectd.page.accounts.attempts import WINDOW_SECONDS, LoginAttempts
from inspectd.page.accounts.passwords import PasswordBusyError, PasswordChecker, hash_password
from inspectd.page.accounts.roles import ROLES, Act, Role
from inspectd.page.accounts.store import AccountStore
from inspectd.page.addresses import network_of
from inspectd.page.line.answered import Answered
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.orders import OrderFile
from inspectd.page.line.state import LineNow
from inspectd.page.live.hub import LiveHub, Told
from inspectd.page.live.pictures import STRIP_PICTURES, STRIP_PLACES, LivePicture, Strip, TabPictures
from inspectd.page.server import PageParts, make_app
from inspectd.page.settings import PageConfig, PageLine, PageStore, load
from inspectd.page.site import make_guard
from inspectd.shifts import shift_began_ms, shifts_around_ms


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def ms(self) -> int:
        return round(self.seconds * 1000)


def picture(camera: str, seq: int, *, is_pass: bool = True) -> LivePicture:
    return LivePicture(camera, None, 1, seq, 0, {"verdict": "pass"}, b"jpeg", b"h", is_pass)


def sent(tab: TabPictures) -> list[tuple[str, int]]:
    found = []
    while (each := tab.take()) is not None:
        found.append((each.camera, each.seq))
    return found


def test_a_tab_is_never_more_than_two_pictures_ahead_and_gets_the_newest() -> None:
    tab = TabPictures()
    assert not tab.offer(picture("a", 1))
    tab.show(frozenset("ab"))
    for seq in range(1, 6):
        tab.offer(picture("a", seq))
        tab.offer(picture("b", seq))
    assert sent(tab) == [("a", 5), ("b", 5)]
    tab.offer(picture("a", 6))
    tab.offer(picture("a", 7))
    assert sent(tab) == []
    tab.drawn()
    assert sent(tab) == [("a", 7)]
    for _ in range(9):
        tab.drawn()  # more words than pictures earn no more than two
    for camera in "ab":
        tab.offer(picture(camera, 8))
    tab.show(frozenset("b"))
    assert sent(tab) == [("b", 8)]
    assert tab.is_owed


def test_a_fast_camera_takes_no_other_camera_s_turn() -> None:
    tab = TabPictures()
    tab.show(frozenset("ab"))
    order = []
    for seq in range(20):
        tab.offer(picture("a", seq))
        if seq % 5 == 0:
            tab.offer(picture("b", seq))
        tab.drawn()
        order += [camera for camera, _ in sent(tab)]
    assert order.count("b") == 4


def test_the_message_of_a_picture_is_what_tabs_read() -> None:
    message = picture("a", 7).message(99, 1.0)
    size = int.from_bytes(message[:4], "big")
    head = msgspec.json.decode(message[4 : 4 + size])
    assert (head["camera"], head["seq"], head["sent_ms"], head["jpeg"], head["age_ms"]) == (
        "a",
        7,
        99,
        4,
        None,
    )
    assert message[4 + size :] == b"jpegh"


def test_the_strip_keeps_the_last_of_what_did_not_pass() -> None:
    strip = Strip()
    for seq in range(50):
        strip.add(picture("a", seq, is_pass=seq % 2 == 0))
    kept = [seq for seq in range(50) if strip.find(1, seq)]
    assert kept == list(range(11, 50, 2))
    assert len(kept) == STRIP_PICTURES
    for number in range(200):  # regions that came and went
        strip.add(picture(f"region{number}", 1000 + number, is_pass=False))
    assert sum(strip.find(1, seq) is not None for seq in range(2000)) == STRIP_PLACES


def test_a_reader_of_rows_knows_how_many_it_missed() -> None:
    told = Told(3)
    for number in range(5):
        told.add({"n": number})
    assert told.after(0) == ([{"n": 2}, {"n": 3}, {"n": 4}], 2)
    assert told.after(4) == ([{"n": 4}], 0)
    assert told.after(5) == ([], 0)


def test_wrong_passwords_are_bounded_by_person_and_by_address() -> None:
    clock = Clock()
    attempts = LoginAttempts(clock)
    for _ in range(5):
        assert attempts.wait_seconds("Kim", "a") == 0
        attempts.failed("Kim", "a")
    assert attempts.wait_seconds("kim", "a") == WINDOW_SECONDS
    assert attempts.wait_seconds("kim", "b") == 0
    assert attempts.wait_seconds("lee", "a") == 0
    for number in range(15):
        attempts.failed(f"name{number}", "a")
    assert attempts.wait_seconds("lee", "a") > 0
    clock.seconds += WINDOW_SECONDS + 1
    assert attempts.wait_seconds("kim", "a") == 0
    for number in range(60):
        attempts.failed("kim", f"address{number}")
    assert attempts.wait_seconds("kim", "new") > 0
    for _ in range(100):  # a shared terminal where everybody types the right one
        attempts.failed("lee", "c")
        attempts.succeeded("lee", "c")
    assert attempts.wait_seconds("lee", "c") == 0


def test_one_host_is_one_address_whatever_it_calls_itself() -> None:
    assert network_of("10.0.0.7") == "10.0.0.7"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert network_of("::ffff:10.0.0.7") == "10.0.0.7"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("unknown") == "unknown"


class CountingHasher(PasswordHasher):
    """Counts what takes the time."""

    verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # noqa: A002 - as it is called there
        self.verified += 1
        assert extract_parameters(str(hash)).memory_cost == self.memory_cost
        return super().verify(hash, password)


def test_a_name_that_nobody_has_takes_the_work_of_a_wrong_password() -> None:
    hasher = CountingHasher(time_cost=1, memory_cost=16, parallelism=1)
    checker = PasswordChecker(hasher)
    hashed = hash_password("a long enough password", "kim", hasher)

    async def ask() -> list[bool]:
        return [
            await checker.is_right("a long enough password", hashed, "a"),
            await checker.is_right("another password", hashed, "a"),
            await checker.is_right("a long enough password", None, "a"),
            await checker.is_right("a password that nobody has", None, "a"),
        ]

    assert asyncio.run(ask()) == [True, False, False, False]
    assert hasher.verified == 4
    checker.close()


def test_passwords_wait_in_a_line_of_bounded_length() -> None:
    checker = PasswordChecker(CountingHasher(time_cost=2, memory_cost=4096, parallelism=1))

    async def ask() -> list[object]:
        places = [*"aaaa", *"bcdefg", *"hhhhhhhhhh"]
        tries = [checker.is_right("wrong", None, place) for place in places]
        return await asyncio.gather(*tries, return_exceptions=True)

    found = asyncio.run(ask())
    assert [each is False for each in found] == [True] * 2 + [False] * 2 + [True] * 6 + [False] * 10
    assert sum(isinstance(each, PasswordBusyError) for each in found) == 12
    assert asyncio.run(ask()).count(False) == 8  # nothing is left of it
    checker.close()


def test_memory_of_wrong_passwords_is_bounded() -> None:
    attempts = LoginAttempts(Clock())
    for number in range(20_000):
        attempts.failed(f"name{number}", f"address{number}")
    assert len(attempts._failures) <= 10_000


def at(text: str, zone: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "began"),
    [
        ("2026-11-28T13:59:59", "2026-11-28T06:00:00"),
        ("2026-11-28T14:00:00", "2026-11-28T14:00:00"),
        ("2026-11-28T03:00:00", "2026-11-27T22:00:00"),
        ("2026-03-29T04:00:00", "2026-03-28T22:00:00"),
        ("2026-10-25T05:30:00", "2026-10-24T22:00:00"),
    ],
)
def test_a_shift_begins_by_the_plant_s_clock(now, began) -> None:
    zone = "Europe/Berlin"
    starts = ["06:00", "14:00", "22:00"]
    assert shift_began_ms(at(now, zone), starts, ZoneInfo(zone)) == at(began, zone)


@pytest.mark.parametrize(
    ("now", "around"),
    [  # at 02:00 of 29 March the clock is set to 03:00
        ("2026-03-29T04:00:00", ["2026-03-29T10:00:00", "2026-03-29T03:00:00", "2026-03-28T18:00:00"]),
        ("2026-03-30T04:00:00", ["2026-03-30T10:00:00", "2026-03-30T02:00:00", "2026-03-29T18:00:00"]),
        ("2026-03-30T19:00:00", ["2026-03-31T02:00:00", "2026-03-30T18:00:00", "2026-03-30T10:00:00"]),
    ],
)
def test_a_page_is_told_the_shifts_around_a_moment(now, around) -> None:
    zone = "Europe/Berlin"
    found = shifts_around_ms(at(now, zone), ["02:00", "10:00", "18:00"], ZoneInfo(zone))
    assert found == [at(each, zone) for each in around]


def verdict(
    seq: int, decided_ms: int, evaluation: str = "pass", reason: str = "within_threshold", **more
) -> Verdict:
    fields = {
        "plant": "p", "line": "l", "camera": "top", "epoch": 1, "seq": seq, "inspection_id": seq,
        "frame_generation": 1, "frame_seq": seq, "evaluation": Evaluation(evaluation),
        "reason": Reason(reason), "score": 0.1, "threshold": 1.0, "captured_utc_ns": decided_ms * 1_000_000,
        "decided_utc_ns": decided_ms * 1_000_000, "latency_ms": 5.0, "deadline_ms": 100.0, "late": False,
        "recipe": "cell", "bank_sha256": "0" * 64, "dropped_before": 0, **more,
    }  # fmt: skip
    return Verdict(**fields)


def triggered_part(seq: int) -> PartVerdict:
    view = ViewVerdict("top", seq - 1, Evaluation.PASS, Reason.WITHIN_THRESHOLD)
    return PartVerdict(
        "p", "l", 1, seq, "7", None, None, Evaluation.PASS, Reason.WITHIN_THRESHOLD, 1, 190_000_000_000, 1.0,
        9.0, 8.0, False, [view],
    )  # fmt: skip


def test_counts_leave_out_views_and_golden_parts_and_say_what_they_lack() -> None:
    counts = PartCounts()
    counts.begin("shift", 120_000, 200_000)
    counts.begin("order", 30_000, 200_000)
    counts.take(verdict(1, 60_000), 200_000)
    counts.take(verdict(2, 180_000, "fail", "above_threshold"), 200_000)
    counts.take(verdict(3, 190_000, "undecidable", "golden"), 200_000)
    counts.take(verdict(4, 190_000, trigger_id="7"), 200_000)
    counts.take(triggered_part(5), 200_000)
    found = counts.sums("shift")
    assert (found["parts"], found["pass"], found["fail"], found["yield"]) == (2, 1, 1, 0.5)
    assert found["by_reason"] == {"above_threshold": 1}
    assert found["complete"]
    assert (counts.sums("order")["complete"], counts.sums("order")["counted_from_ms"]) == (False, 60_000)
    assert not counts.sums("order")["missing"]  # the line is younger than that: nothing of it is lost
    counts.begin("order", 180_001, 200_000)  # a moment ago, to the millisecond
    assert (counts.sums("order")["parts"], counts.sums("order")["complete"]) == (1, True)
    counts.begin("shift", 120_000, 200_000)
    assert counts.sums("shift")["parts"] == 2
    counts.take(Lost(Position(1, 5), Position(1, 9), 3, LossReason.TRUNCATED), 200_000)
    assert not counts.sums("shift")["complete"]
    assert counts.sums("shift")["missing"]
    counts.begin("order", None, 200_000)
    assert counts.sums("order") is None
    counts.begin("shift", 10**9, 10**9)
    assert (counts.sums("shift")["parts"], counts.sums("shift")["yield"]) == (0, None)


def test_a_loss_is_of_the_time_before_the_verdict_that_follows_it() -> None:
    lost = Lost(Position(1, 1), Position(1, 5), 3, LossReason.MISSING)
    counts, now = PartCounts(), 1_000_000
    counts.begin("shift", 500_000, now)
    counts.take(verdict(1, 100_000), now)
    counts.take(lost, now)
    assert counts.sums("shift")["missing"]  # nothing follows yet
    counts.take(verdict(5, 200_000), now)
    counts.take(verdict(6, 600_000), now)
    assert (counts.sums("shift")["parts"], counts.sums("shift")["complete"]) == (1, True)
    counts.take(lost, now)
    counts.take(verdict(7, 700_000), now)
    assert counts.sums("shift")["missing"]
    counts.begin("shift", 700_001, now)
    assert not counts.sums("shift")["missing"]
    counts.take(lost, now)
    counts.take(verdict(8, 650_000), now)  # the clock was set back: it may be of any time up to the last one
    counts.begin("shift", 700_000, now)
    assert counts.sums("shift")["missing"]


def test_a_loss_after_which_nothing_came_is_of_no_later_shift() -> None:
    counts, friday, monday = PartCounts(), 1_000_000, 200_000_000
    counts.begin("shift", 500_000, friday)
    counts.take(verdict(1, 600_000), friday)
    counts.take(Lost(Position(1, 1), Position(2, 1), 3, LossReason.MISSING), friday)
    counts.begin("shift", monday, monday)
    counts.take(verdict(2, monday + 5_000), monday + 5_000)
    assert (counts.sums("shift")["missing"], counts.sums("shift")["complete"]) == (False, True)


def test_a_clock_that_was_once_ahead_counts_in_no_shift() -> None:
    hour, fails = 3_600_000, ("fail", "above_threshold")
    begun = [8 * hour * number for number in range(10)]
    for page_ahead in (0, 48 * hour):  # the page is on another host, or its clock was ahead too
        counts = PartCounts()
        counts.begin("shift", 0, 0)
        counts.take(verdict(1, 0), 0)
        now = hour + page_ahead
        counts.begin("shift", now // (8 * hour) * 8 * hour, now)
        for seq in range(2, 12):
            counts.take(verdict(seq, 49 * hour, *fails), now)
        counts.begin("shift", 0, 2 * hour)
        counts.take(verdict(12, 2 * hour), 2 * hour)
        shift = counts.sums("shift")
        assert (shift["parts"], shift["fail"], shift["complete"]) == (2, 0, False)
        for seq, start in enumerate(begun[1:], 13):
            counts.begin("shift", start, start + hour)
            counts.take(verdict(seq, start + hour), start + hour)
            shift = counts.sums("shift")
            assert (shift["parts"], shift["fail"], shift["complete"]) == (1, 0, True)
        counts.begin("order", 48 * hour, 73 * hour)
        assert (counts.sums("order")["parts"], counts.sums("order")["fail"]) == (4, 0)


def test_what_a_clock_that_stays_ahead_dates_counts_in_no_shift_once_that_time_has_come() -> None:
    minute = 60_000
    counts = PartCounts()
    for now in range(0, 121 * minute, minute):  # a shift begins at 60 minutes, the line is ahead by as many
        counts.begin("shift", now // (60 * minute) * 60 * minute, now)
        counts.take(verdict(now // minute, now + 60 * minute), now)
    assert (counts.sums("shift")["parts"], counts.sums("shift")["complete"]) == (0, False)
    counts.begin("order", 110 * minute, 120 * minute)
    assert (counts.sums("order")["parts"], counts.sums("order")["complete"]) == (0, False)


def test_a_part_of_a_clock_that_is_a_second_ahead_is_in_one_shift() -> None:
    counts = PartCounts()
    counts.begin("shift", 0, 0)
    counts.take(verdict(1, 100_500), 99_500)
    assert counts.sums("shift")["parts"] == 1
    counts.begin("shift", 100_000, 100_100)
    assert counts.sums("shift")["parts"] == 0


def test_what_a_page_read_before_its_own_clock_was_set_counts_afterwards() -> None:
    counts = PartCounts()
    counts.begin("shift", 0, 0)
    for seq in range(1, 6):
        counts.take(verdict(seq, 10**12 + seq), 0)
    assert not counts.sums("shift")["complete"]
    counts.begin("shift", 10**12 + 1, 10**12 + 60_000)
    assert (counts.sums("shift")["parts"], counts.sums("shift")["complete"]) == (5, True)


def heartbeat(**more) -> Heartbeat:
    fields = {
        "plant": "p", "line": "l", "epoch": 1, "last_seq": 5, "utc_ns": 1, "interval_ms": 200.0,
        "state": "running", "counts": Counts(0, 0, 0, 0), "cameras": {"top": "up", "side": "down"},
        "health": "good", **more,
    }  # fmt: skip
    return Heartbeat(**fields)


def test_nothing_is_shown_as_live_that_was_not_heard_of_within_a_second() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    assert (line.state, line.said()["ne107"]["level"]) == ("waiting", "failure")
    condition = HealthCondition("failure", "camera_down", "side: no answer", "side")
    line.see_heartbeat(heartbeat(health="failure", conditions=[condition]))
    line.see_event(Event("p", "l", 1, 1, "warning", "camera_down", "side", "no answer", Counts(0, 0, 0, 0)))
    line.see_verdict(verdict(1, 1))
    clock.seconds += 0.9
    said = line.said()
    assert (said["state"], said["bus"]["heartbeat_age_ms"]) == ("running", 900)
    top, side = said["cameras"][1], said["cameras"][0]
    assert (top["up"], top["frame_age_ms"]) == (True, 900)
    assert (side["up"], side["reason"], side["detail"]) == (False, "down", "no answer")
    assert said["alarms"][0]["since_ms"] == 1_000_000
    clock.seconds += 0.2
    said = line.said()
    assert (said["state"], said["ne107"]["level"]) == ("unreachable", "failure")
    assert not any(camera["up"] for camera in said["cameras"])
    assert said["cameras"][1]["reason"] == "line"
    line.see_heartbeat(heartbeat(state="draining", health="function_check"))
    assert (line.state, line.said()["ne107"]["level"]) == ("stopping", "check")
    line.see_event(Event("p", "l", 1, 1, "info", "stopped", None, "", Counts(0, 0, 0, 0)))
    line.see_heartbeat(heartbeat(state="stopped"))
    clock.seconds += 5
    assert line.state == "stopped"
    line.see_heartbeat(heartbeat(state="starting"))
    assert line.state == "starting"


def test_why_a_line_is_silent_is_shown_where_it_is_known() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms, lambda: "the line's key may be another")
    assert line.said()["ne107"]["causes"][0]["detail"] == "the line's key may be another"
    line.see_heartbeat(heartbeat())
    assert line.said()["ne107"]["causes"] == []
    clock.seconds += 2
    assert line.said()["ne107"]["causes"][0]["detail"] == "the line's key may be another"


def test_since_when_an_alarm_stands_is_known_where_the_page_saw_it_begin() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    late, down = (HealthCondition("failure", name, "", "side") for name in ("late", "camera_down"))

    def known(*conditions: HealthCondition) -> list[tuple[str, bool]]:
        line.see_heartbeat(heartbeat(conditions=[*conditions]))
        return [(each["name"], each["is_since_known"]) for each in line.said()["alarms"]]

    assert known(late) == [("late", False)]  # the page has started just now, the alarm perhaps long ago
    clock.seconds += 0.2
    assert known(late, down) == [("late", False), ("camera_down", True)]
    clock.seconds += 0.2
    assert known(down) == [("camera_down", True)]
    clock.seconds += 60  # the line was silent
    assert known(late, down) == [("late", False), ("camera_down", False)]


def test_an_alarm_of_a_run_that_has_just_begun_is_not_the_one_of_the_run_before() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    down = HealthCondition("failure", "camera_down", "", "side")  # of a line that does not say since when

    def since(seconds_later: float, epoch: int, *conditions: HealthCondition) -> list[tuple[int, bool]]:
        clock.seconds += seconds_later
        line.see_heartbeat(heartbeat(epoch=epoch, conditions=[*conditions]))
        alarms = line.said()["alarms"]
        return [(clock.ms() - each["since_ms"], each["is_since_known"]) for each in alarms]

    assert since(0, 1) == []
    assert since(0.2, 1, down) == [(0, True)]
    assert since(0.2, 1, down) == [(200, True)]
    assert since(0.2, 2, down) == [(0, True)]  # started anew at once
    assert since(3 * 3600, 3, down) == [(0, False)]  # stopped, repaired, and started anew


def test_since_when_an_alarm_stands_is_what_the_line_says_by_its_own_clock() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)

    def since(seconds_ago: float, since_utc_ns: int) -> tuple[float, bool]:
        late = HealthCondition("failure", "late", "", "side", since_utc_ns)
        utc_ns = since_utc_ns + round(seconds_ago * 1e9)
        line.see_heartbeat(heartbeat(conditions=[late], utc_ns=utc_ns))
        (said,) = line.said()["alarms"]
        return (clock.ms() - said["since_ms"]) / 1000, said["is_since_known"]

    began = 5_000_000_000  # the line's clock is far behind the page's
    assert since(90, began) == (90, True)
    clock.seconds += 60
    assert since(150.2, began) == (150, True)  # what a message was under way moves nothing
    clock.seconds += 60
    assert since(2, began + 200_000_000_000) == (2, True)  # it ended meanwhile, and began anew


def status(epoch: int, utc_ns: int = 1, asked_at: float = 0.0, took: float = 0.0) -> Answered:
    found = LineStatus(
        "r", "p", "l", epoch, "1", 1, utc_ns, "running", "good", [], Counts(0, 0, 0, 0), [], [], None, 0, 0,
        "", None, None, None, 0, {}, "a@1",
    )  # fmt: skip
    return Answered(found, asked_at, asked_at + took)


def test_by_no_clock_of_the_line_does_an_old_picture_look_new() -> None:
    for ahead in (-3600.0, 0.0, 3600.0):  # the line's clock before the page's
        clock = Clock()
        line = LineNow(clock, clock.ms)

        def stamp(seconds: float, ahead: float = ahead) -> int:
            return round((seconds + ahead) * 1e9)

        assert line.taken_at(stamp(clock.seconds)) is None  # nobody was asked yet
        line.see_heartbeat(heartbeat(utc_ns=stamp(clock.seconds)))
        assert line.taken_at(stamp(clock.seconds)) is None  # who knows how long it was under way
        # Asked at 1000.0; the line answered at 1000.1; it was here at 1000.4.
        line.see_status(status(1, stamp(1000.1), 1000.0, 0.4))
        clock.seconds = 1000.5
        for taken in (995.0, 1000.0, 1000.45):
            found = line.taken_at(stamp(taken))
            assert taken - 0.11 <= found <= taken
        assert line.said()["clock_ahead_ms"] == pytest.approx(ahead * 1000, abs=110)
        line.see_status(status(1, stamp(1000.501), 1000.5, 0.1))  # a faster one tells more
        assert line.taken_at(stamp(1000.0)) == pytest.approx(1000.0, abs=0.002)
        assert line.taken_at(stamp(1001.0)) is None  # it has not been yet: the clock was set meanwhile
        clock.seconds = 1010.0
        line.see_heartbeat(heartbeat(utc_ns=stamp(1010.0 + 5)))  # somebody set it ahead by 5 s
        assert line.taken_at(stamp(1010.0)) is None
        line.see_status(status(1, stamp(1015.02), 1010.01, 0.02))
        clock.seconds = 1010.1
        assert line.taken_at(stamp(1015.0)) == pytest.approx(1010.0, abs=0.02)
        clock.seconds += 61.0
        assert line.taken_at(stamp(1076.0)) is None  # nobody answered for long


def test_what_the_line_answered_long_ago_or_before_its_restart_is_not_shown_as_in_force() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    line.see_status(status(1))
    line.see_heartbeat(heartbeat())
    assert line.said()["recipe"]["name"] == "a@1"
    line.see_heartbeat(heartbeat(epoch=2))
    assert line.said()["recipe"] is None
    line.see_status(status(2))
    assert line.said()["recipe"]["name"] == "a@1"
    clock.seconds += 11
    line.see_heartbeat(heartbeat(epoch=2))
    assert (line.said()["state"], line.said()["recipe"]) == ("running", None)


def test_a_line_of_a_later_version_is_not_called_good() -> None:
    line = LineNow(Clock(), Clock().ms)
    line.see_heartbeat(heartbeat(health="marvellous", state="dreaming"))
    assert (line.state, line.said()["ne107"]["level"]) == ("dreaming", "check")


def test_a_disk_of_recipes_that_hangs_costs_their_list_alone(tmp_path, monkeypatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(disk_desk, "_SECONDS", 0.05)
    line = PageLine(recipes_dir=str(tmp_path / "recipes"))
    settings = PageConfig(line=line, store=PageStore(dir=str(tmp_path)))
    with page_here(settings) as (browser, _, _):
        monkeypatch.setattr(os, "listdir", lambda _: (release.wait(5), [])[1])
        for _ in range(5):
            answer = browser.get("/api/recipes")
            assert (answer.status_code, answer.json()["what"]) == (504, "recipes_disk")
    release.set()


def test_an_order_begins_by_the_clock_that_its_parts_are_dated_by(tmp_path) -> None:
    settings = PageConfig(store=PageStore(dir=str(tmp_path)))
    with page_here(settings) as (browser, hub, orders):
        for ahead, began_ms in ((0, 3_600_000), (-600, 3_000_000), (600, 3_600_000)):
            hub.take_status(status(1, round((3600 + ahead) * 1e9), 1000.0))
            before = orders.order.name if orders.order else None
            asked = {"order": f"A{ahead}", "instead_of": before}
            assert browser.post("/api/acts/order_begin", json=asked).status_code == 200
            assert orders.order.from_ms == began_ms


@contextmanager
def page_here(settings: PageConfig) -> Iterator[tuple[TestClient, LiveHub, OrderFile]]:
    """A page in this process, and a browser in which an operator is logged in; it is an hour past 1970."""
    folder = settings.data_dir
    with closing(AccountStore(folder)) as store, closing(PasswordChecker(CHEAP)) as passwords:
        store.add_user("kim", Role.OPERATOR, CHEAP.hash("a long enough password"))
        guard, orders = make_guard(settings, Counter(), store), OrderFile(folder)
        hub = LiveHub(settings, PartCounts(), orders, clock=Clock(), clock_ms=lambda: 3_600_000)
        app = make_app(settings, PageParts(guard, passwords, hub, orders, Counter()))
        cookies = {guard.cookie: store.begin_session(store.user("kim"), "here")}
        origin = "http://127.0.0.1"
        yield TestClient(app, origin, headers={"Origin": origin}, cookies=cookies), hub, orders


def test_takt_is_the_middle_time_from_part_to_part() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    line.see_heartbeat(heartbeat())
    for seq, pause in enumerate((2.0, 2.0, 50.0, 2.0)):
        line.see_verdict(verdict(seq, 1))
        clock.seconds += pause
    line.see_heartbeat(heartbeat())
    assert line.said()["takt_ms"] == 2000.0


def takt_told(line: LineNow) -> float | None:
    line.see_heartbeat(heartbeat())
    return line.said()["takt_ms"]


def test_a_free_camera_gives_no_takt_to_a_line_whose_triggers_have_stopped() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    line.see_heartbeat(heartbeat())
    for second in range(200):
        for tenth in range(10):
            line.see_verdict(verdict(10 * second + tenth, 1))
            clock.seconds += 0.1
        if second < 100 and second % 2 == 0:
            line.see_verdict(triggered_part(second))
    assert takt_told(line) is None
    begun_since = LineNow(clock, clock.ms)  # as by a page that began when they had stopped
    begun_since.see_heartbeat(heartbeat(counts=Counts(0, 0, 0, 0, triggers=50, parts=50)))
    for frame in range(20):
        begun_since.see_verdict(verdict(frame, 1))
        clock.seconds += 0.1
    begun_since.see_heartbeat(heartbeat(counts=Counts(0, 0, 0, 0, triggers=50, parts=50)))
    assert begun_since.said()["takt_ms"] is None


def test_a_slow_line_has_a_takt_until_it_stops() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    line.see_heartbeat(heartbeat())
    for seq in range(4):
        line.see_verdict(triggered_part(seq))
        clock.seconds += 90
    assert takt_told(line) == 90_000.0
    clock.seconds += 181
    assert takt_told(line) is None


@pytest.mark.parametrize("places", [["top"], ["top", "side"], ["top/a", "top/b", "top/c"]])
def test_cameras_at_once_and_regions_of_a_frame_are_one_part_in_the_takt(places) -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    line.see_heartbeat(heartbeat())
    for frame in range(30):
        for place in places:
            camera, _, region = place.partition("/")
            line.see_verdict(verdict(frame, 1, camera=camera, region=region or None))
            clock.seconds += 0.004
        clock.seconds += 2.0 - 0.004 * len(places)
    line.see_heartbeat(heartbeat())
    assert line.said()["takt_ms"] == pytest.approx(2000, abs=1)


def test_frames_that_others_overtake_count_in_the_takt() -> None:
    clock = Clock()
    line = LineNow(clock, clock.ms)
    line.see_heartbeat(heartbeat())
    for pair in range(0, 40, 2):
        for frame in (pair + 1, pair):
            for region in ("a", "b"):
                line.see_verdict(verdict(frame, 1, region=region))
            clock.seconds += 0.05
    line.see_heartbeat(heartbeat())
    assert line.said()["takt_ms"] == pytest.approx(50, abs=1)


def test_a_session_that_is_idle_may_look_and_one_that_is_over_is_none(tmp_path) -> None:
    clock = Clock()
    store = AccountStore(tmp_path, clock.ms)
    store.add_user("kim", Role.ENGINEER, "x")
    token = store.begin_session(store.user("KIM"), "a")
    session = store.session(token)
    assert session.acts(clock.ms()) == ROLES[Role.ENGINEER].acts
    clock.seconds += ROLES[Role.ENGINEER].idle_seconds + 1
    assert store.session(token).acts(clock.ms()) == {Act.VIEW}
    store.use_session(session)  # a touch is no password
    assert store.session(token).acts(clock.ms()) == {Act.VIEW}
    store.unlock_session(session.id)
    assert store.session(token).acts(clock.ms()) == ROLES[Role.ENGINEER].acts
    clock.seconds += ROLES[Role.ENGINEER].session_seconds
    assert store.session(token) is None
    tokens = [store.begin_session(store.user("kim"), "a") for _ in range(105)]
    assert sum(store.session(each) is not None for each in tokens) == 100
    store.close()


def test_names_are_one_whatever_their_case_or_letters_and_are_plain_text(tmp_path) -> None:
    store = AccountStore(tmp_path)
    store.add_user("Mu\u0308ller", Role.VIEWER, "x")
    for name in ("M\u00fcller", "MU\u0308LLER", "", " kim", "a\nb", "x" * 41, "\u202eadmin"):
        with pytest.raises(InputError):
            store.add_user(name, Role.VIEWER, "x")
    store.close()


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "page.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as found:
        load(file)
    return [problem.partition(":")[0] for problem in found.value.problems]


def test_the_example_is_a_file_that_is_taken(tmp_path) -> None:
    file = tmp_path / "page.toml"
    file.write_text(example())
    settings = load(file)
    assert settings.line.endpoint("control") == "ipc:///run/inspectd/line1/control.sock"
    assert not settings.is_encrypted


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[server]\nhost = "0.0.0.0"', "server.host"),
        ('[server]\ntls_key = "a"', "server.tls_certificate, server.tls_key"),
        ('[proxy]\naddresses = ["10.0.0.1"]', "proxy.addresses, proxy.origin"),
        ('[proxy]\naddresses = ["x"]\norigin = "https://p"', "proxy.addresses[0]"),
        ('[proxy]\naddresses = ["10.0.0.1"]\norigin = "http://p"', "proxy.origin"),
        ('[proxy]\naddresses = ["10.0.0.1"]\norigin = "https://p/x"', "proxy.origin"),
        ('[view]\nzone = "Mars/Base"', "view.zone"),
        ('[view]\nzone = "../../etc/passwd"', "view.zone"),
        ("[view]\nshift_starts = []", "view.shift_starts"),
        ('[view]\nlanguage = "kr"', "view.language"),
        ('[line]\nverdicts = "tcp://h:1"\nsync = "tcp://h:2"\nprevews = ""', "line.prevews"),
        ('[line]\nverdicts = "tcp://h:1"\nsync = "tcp://h:2"\npreviews = "tcp://h:3"', "line.control"),
        ('[line]\nserver_key = "a"', "line.server_key, line.client_key"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path, text, where) -> None:
    assert where in problems(tmp_path, text)
