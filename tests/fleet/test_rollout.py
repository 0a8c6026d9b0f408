"""Rollouts by waves: what is decided by lines' reports, and a real one that is killed, and one that stops."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js import api
from support.agents import (
    PLANT,
    Signers,
    know_banks,
    line_settings,
    make_recipe,
    publish,
    report,
    servers_file,
    tell,
)
from support.daemon import camera_table, settings
from support.nats_cluster import NatsCluster
from support.orders import an_order

from inspectd.cli import fleet_publish
from inspectd.errors import ExitCode
from inspectd.fleet.agent.order import Band, SignedOrder, Wave, canonical, decode_signed
from inspectd.fleet.agent.publisher import desired
from inspectd.fleet.agent.report import AgentState, FleetReport, encode
from inspectd.fleet.agent.rollout import Rollout, RolloutRecord, Seen, Step, decide, what_runs_where
from inspectd.fleet.servers import NotThereError, Servers, ServersError

ORDER = an_order(waves=(Wave(lines=("a", "b"), watch_minutes=10), Wave(lines=("c",), watch_minutes=10)))
MINUTE_NS = 60 * 10**9
UNTOLD = Seen(is_told=False, told_other=None, report=None, silent_seconds=0)


def says(minutes: float = 11, *, silent: float = 0, **changes: Any) -> Seen:
    """A line that runs the order's recipe since so long."""
    given: dict[str, Any] = {
        "plant": "test", "line": "a", "at_utc_ns": 100 * MINUTE_NS, "software": "0",
        "state": AgentState.RUNNING, "why": "", "recipe": "cells", "version": 1, "bank_sha256": {},
        "wanted_serial": 7, "wanted_recipe": "cells", "wanted_recipe_sha256": "a" * 64,
        "offered_sha256": "f" * 64,
        "refusal": None, "progress": None, "counted_since_utc_ns": round((100 - minutes) * MINUTE_NS),
        "verdicts": {"pass": 990, "fail": 10}, "reject_share": 0.01, "drift": 0.2, **changes,
    }  # fmt: skip
    given.setdefault("verdicts_by_place", {"top": given["verdicts"]})
    return Seen(is_told=True, told_other=None, report=FleetReport(**given), silent_seconds=silent)


def decided(a: Seen, b: Seen, c: Seen = UNTOLD) -> tuple[Step, tuple[str, ...], str]:
    found = decide(ORDER, "f" * 64, {"a": a, "b": b, "c": c})
    return found.step, found.lines, found.text


def test_wave_after_wave() -> None:
    assert decided(UNTOLD, UNTOLD)[:2] == (Step.TELL, ("a", "b"))
    assert decided(says(), UNTOLD)[:2] == (Step.TELL, ("b",))
    assert decided(says(), says(9))[:2] == (Step.WAIT, ("b",))
    assert decided(says(), says(state=AgentState.FETCHING, progress=0.5))[2].endswith("b is fetching 50%")
    assert decided(says(), says(verdicts={"pass": 100}))[0] is Step.WAIT, "too few to say anything"
    assert decided(says(), says(wanted_serial=6))[0] is Step.WAIT
    other = decided(says(), says(offered_sha256="e" * 64))
    assert other[0] is Step.WAIT, "what it runs by another order of this number says nothing of this one"
    assert other[2].endswith("b has not taken the order yet")
    full = says(
        state=AgentState.WAITING, why="it cannot be accepted yet: No space left", offered_sha256="e" * 64
    )
    said = "b has not taken the order yet and is waiting, it cannot be accepted yet: No space left"
    assert decided(says(), full)[2].endswith(said)
    before = msgspec.structs.replace(full, is_heard=False)
    assert decided(says(), before)[2].endswith("b has not taken the order yet"), "it was told since"
    unheard = msgspec.structs.replace(says(), is_heard=False)
    assert decided(says(), unheard)[0] is Step.WAIT, "it may be dead since it said that"
    none = decided(says(), says(verdicts={"undecidable": 150}, reject_share=None))
    assert none[0] is Step.WAIT, "a line that decides nothing shows nothing"
    assert none[2].endswith("0 verdicts, rejects 100.00%, 150 undecidable, waits for the line 0 of 200")
    few = decided(says(), says(verdicts_by_place={"top": {"pass": 980}, "side": {"pass": 10}}))
    assert few[0] is Step.WAIT, "what the camera that saw few parts does with them is not known yet"
    assert few[2].endswith("waits for side 10 of 200")
    dead = decided(says(), says(verdicts_by_place={"side": {"pass": 990, "fail": 10}}))
    assert dead[:2] == (Step.WAIT, ("b",)), "a camera that the order names gave no verdict at all"
    assert dead[2].endswith("waits for top 0 of 200")
    assert decided(says(), says())[:2] == (Step.TELL, ("c",))
    assert decided(says(), says(), says(1))[:2] == (Step.WAIT, ("c",))
    assert decided(says(), says(), says())[0] is Step.DONE


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (says(verdicts={"pass": 940, "fail": 60}), "rejects 6.00% of 1000 verdicts, expected 0.00% to 5.00%"),
        (
            says(verdicts={"pass": 980, "fail": 20, "undecidable": 99_000}),
            "rejects 99.02% of 100000 verdicts",
        ),
        (
            says(
                verdicts={"pass": 23_000, "fail": 1000},
                verdicts_by_place={**{f"c{n}": {"pass": 1000} for n in range(23)}, "c23": {"fail": 1000}},
            ),
            "rejects 100.00% of 1000 verdicts of c23, expected 0.00% to 5.00%",
        ),
        (says(verdicts={"fail": 500}, reject_share=None), "rejects 100.00% of 500 verdicts"),
        (says(verdicts={"undecidable": 5000}, reject_share=None), "rejects 100.00% of 5000 verdicts"),
        (says(drift=1.2), "has drifted to 1.20 of a limit"),
        (says(refusal="it is damaged"), "refuses: it is damaged"),
        (says(state=AgentState.HELD, why="somebody put file in its place"), "somebody"),
        (says(silent=301), "has said nothing for 5.0 minutes"),
        (msgspec.structs.replace(UNTOLD, is_told=True, silent_seconds=400), "has said nothing"),
        (msgspec.structs.replace(UNTOLD, told_other=9), "was told order 9 by somebody else"),
    ],
)
def test_a_line_that_is_not_well_stops_it(line: Seen, words: str) -> None:
    for seen in ((line, says(), UNTOLD), (says(), says(), line), (says(), line, says(1))):
        step, _, text = decided(*seen)
        assert step is Step.STOP
        assert words in text
    told = [*what_runs_where(ORDER, {"a": line, "b": UNTOLD, "c": UNTOLD})]
    assert told[1] == "  b: is silent; was not told order 7"


def test_what_is_undecidable_is_not_what_fails_at_least() -> None:
    band = Band(min_reject_share=0.01, max_reject_share=0.05)
    order = msgspec.structs.replace(ORDER, band=band, waves=(Wave(lines=("a",)),))
    seen = {"a": says(verdicts={"pass": 970, "fail": 1, "undecidable": 29})}
    found = decide(order, "f" * 64, seen)
    assert (found.step, found.text) == (
        Step.STOP,
        "a: fails 0.10% of 971 verdicts, expected 1.00% to 5.00%",
    )


def test_a_share_of_few_verdicts_stops_nothing() -> None:
    few = says(verdicts={"fail": 20}, reject_share=1.0)
    assert decided(few, says())[0] is Step.WAIT


class Answers:
    """Servers of the plant, of which some lag: what each says of a line's reports, in turn."""

    def __init__(self, signed: SignedOrder, report: FleetReport) -> None:
        self.js, self.numbers = self, iter(())
        self._signed, self._report = msgspec.json.encode(signed), encode(report)

    async def asked(self, answer: Any) -> Any:
        return await answer

    async def get_last_msg(self, stream: str, subject: str, *, direct: bool = False) -> api.RawStreamMsg:
        if stream.startswith("R+"):
            return api.RawStreamMsg(seq=next(self.numbers), data=self._report)
        if subject.startswith("fleet1.test.desired."):
            return api.RawStreamMsg(seq=1, data=self._signed)
        raise NotThereError(subject)


def test_what_servers_that_lag_still_have_of_a_dead_line_is_no_sign_of_life() -> None:
    signed = SignedOrder(canonical(msgspec.structs.replace(ORDER, waves=(Wave(lines=("a",)),))))
    report = says(minutes=61, offered_sha256=signed.sha256).report
    minutes = [0.0]

    def looks(*numbers: int) -> list[str]:
        """What is decided, at looks a minute apart, while the servers have reports of these numbers."""
        servers, mine = Answers(signed, report), Rollout(signed, lambda: 60 * minutes[0])
        servers.numbers, found = iter(numbers), []
        for _ in numbers:
            found.append(asyncio.run(mine.look(servers)))  # type: ignore[arg-type]
            minutes[0] += 1
        return [decision.text for decision in found]

    for one, other, third in ((10, 9, 9), (9, 10, 9), (8, 9, 10)):
        said = looks(*[one, other, third] * 3)
        assert {text for text in said if "nothing for" not in text} == {"wave 1 of 1: a was not heard of yet"}
        assert "a: has said nothing for" in said[-1]
    assert looks(7, 8, 9, 10)[-1] == "every line runs it, and was watched"


class Plant(Answers):
    """Servers of which none lags, and what happens there while line b is told."""

    def __init__(self, signed: SignedOrder, *, is_cut: bool) -> None:
        super().__init__(signed, says(minutes=61, offered_sha256=signed.sha256).report)
        self.numbers, self.told, self.stopped, self._is_cut = count(1), {"a"}, b"", is_cut
        self._sha256 = signed.sha256

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Plant]:
        yield self

    async def get_last_msg(self, stream: str, subject: str, *, direct: bool = False) -> api.RawStreamMsg:
        line = subject.removesuffix(".run").rpartition(".")[2]
        if self.stopped and subject.endswith(f".rollout.{self._sha256}"):
            return api.RawStreamMsg(seq=1, data=self.stopped)
        if line not in self.told or (line != "a" and stream.startswith("R+")):
            raise NotThereError(subject)
        return await super().get_last_msg(stream, subject)

    async def publish(self, subject: str, body: bytes, **_: Any) -> None:
        if ".rollout." in subject:
            self.stopped = body
            return
        if not self.stopped:  # somebody at another desk sees that line a rejects good parts
            self.stopped = msgspec.json.encode(RolloutRecord(self._sha256, True, "anna stopped it"))
            if self._is_cut:
                raise ServersError("the connection is gone")
        self.told.add(subject.rpartition(".")[2])


@pytest.mark.parametrize(("is_cut", "told"), [(True, {"a"}), (False, {"a", "b"})])
def test_it_is_looked_again_before_each_line_and_after_each_lost_connection(
    is_cut: bool, told: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fleet_publish, "_AGAIN_SECONDS", 0.0)
    waves = tuple(Wave(lines=lines, watch_minutes=10.0) for lines in (("a",), ("b", "c")))
    signed = SignedOrder(canonical(msgspec.structs.replace(ORDER, waves=waves)))
    plant = Plant(signed, is_cut=is_cut)
    run = fleet_publish._Run(plant, signed, every_seconds=0.0)  # type: ignore[arg-type]
    assert asyncio.run(run.run(is_resumed=False)) == ExitCode.FAILED
    assert plant.told == told
    assert "STOPPED: anna stopped it" in capsys.readouterr().out


def rollout(cluster: NatsCluster, order: Path, *more: str) -> subprocess.Popen[str]:
    """`inspectd fleet rollout` as a process."""
    file = servers_file(cluster, "publisher", order.parent)
    command = [sys.executable, "-m", "inspectd", "fleet", "rollout", str(order), "--config", str(file)]
    return subprocess.Popen(
        [*command, "--every", "0.5", *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture
def two_lines(start_cluster, start_daemon, small_good, start_agent):
    """Starts servers and two lines with their agents."""

    def start(*recipes: Any) -> tuple[NatsCluster, dict[str, Any]]:
        cluster = start_cluster(("l1", "l2"), max_disk="3GB")
        cluster.make_fleet_streams()
        agents = {}
        for line in ("l1", "l2"):
            text = line_settings(settings("stub.bank", camera_table("top", small_good, fps=10)), line)
            daemon = start_daemon(text).ready()
            know_banks(daemon, *recipes)
            agents[line] = start_agent(cluster, line, daemon)
        return cluster, agents

    return start


@pytest.mark.system
def test_a_rollout_is_killed_and_goes_on_and_another_stops_at_its_band(
    two_lines, signers: Signers, tmp_path
) -> None:
    good, bad = make_recipe(tmp_path), make_recipe(tmp_path, seed=1, threshold=0.01)
    cluster, agents = two_lines(good, bad)
    given = {
        "waves": tuple(Wave(lines=(line,), watch_minutes=0.02) for line in ("l1", "l2")),
        "band": Band(max_reject_share=0.05, min_verdicts=20, silent_minutes=2.0),
    }
    files = {}
    for serial, made in enumerate((good, bad), 1):
        publish(cluster, made)
        files[serial] = tmp_path / f"order{serial}.json"
        files[serial].write_bytes(msgspec.json.encode(signers.order(made.ordered, serial, **given)))
    first = rollout(cluster, files[1])
    agents["l1"].until_report(lambda r: r.wanted_serial == 1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    time.sleep(2)
    assert report(cluster, "l2").wanted_serial is None, "nothing goes on without it"
    again = rollout(cluster, files[1])
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0, said
    assert "done: every line runs it, and was watched" in said
    assert {report(cluster, line).wanted_serial for line in agents} == {1}
    stopped = rollout(cluster, files[2])
    said, _ = stopped.communicate(timeout=60)
    assert stopped.returncode == 1, said
    assert "STOPPED: l1: rejects 100.00%" in said
    assert "l2: runs cells@1, running; was not told order 2" in said
    assert "to go back on l1: make and sign a new order with a higher serial number" in said
    assert report(cluster, "l2").version == 1
    said, _ = rollout(cluster, files[2]).communicate(timeout=60)
    assert "was stopped before: l1: rejects 100.00%" in said


@pytest.mark.system
def test_one_of_two_rollouts_that_stops_stops_both(two_lines, signers: Signers, tmp_path) -> None:
    made = make_recipe(tmp_path)
    cluster, agents = two_lines(made)
    waves = Wave(lines=("l1",), watch_minutes=60.0), Wave(lines=("l2",), watch_minutes=0.0)
    order = signers.order(made.ordered, 1, waves=waves, band=Band(max_reject_share=1.0, min_verdicts=1))
    file = tmp_path / "order.json"
    file.write_bytes(msgspec.json.encode(order))
    publish(cluster, made)
    running = rollout(cluster, file)
    agents["l1"].until_report(lambda r: r.state == "running")
    other = Rollout(order, time.monotonic)
    cluster.as_user("publisher", lambda s: other.record(s, is_stopped=True, why="l1: was silent to another"))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 1, said
    assert "STOPPED: l1: was silent to another" in said


@pytest.mark.system
def test_what_was_stopped_stays_so_whatever_order_has_the_same_serial_number(
    start_cluster, signers: Signers
) -> None:
    cluster = start_cluster(("l1", "l2"))
    cluster.make_fleet_streams()
    of_one, of_other = (
        Rollout(signers.order(an_order().recipe, 7, line), time.monotonic) for line in ("l1", "l2")
    )
    order = signers.order(an_order().recipe, 8, "l1")
    before = Rollout(order, time.monotonic)

    def stops(mine: Rollout, *, is_stopped: bool = True) -> None:
        why = f"{mine.order.lines[0]}: refuses"
        cluster.as_user("publisher", lambda servers: mine.record(servers, is_stopped=is_stopped, why=why))

    def why_stopped(mine: Rollout) -> str | None:
        return cluster.as_user("publisher", mine.stopped)

    stops(of_one)
    assert (why_stopped(of_one), why_stopped(of_other)) == ("l1: refuses", None)
    for _ in range(21):  # more than are kept of each
        stops(of_other)
    stops(of_other, is_stopped=False)
    assert (why_stopped(of_one), why_stopped(of_other)) == ("l1: refuses", None)
    old = msgspec.json.encode(RolloutRecord(order.sha256, is_stopped=True, why="by an earlier version"))
    cluster.as_user("publisher", lambda servers: servers.js.publish(PLANT.rollout("8"), old))
    assert why_stopped(before) == "by an earlier version"
    stops(before, is_stopped=False)
    assert why_stopped(before) is None


@pytest.mark.system
def test_what_a_line_is_told_between_look_and_telling_stands(start_cluster, signers: Signers) -> None:
    cluster = start_cluster(("l1", "l2", "l3"))
    cluster.make_fleet_streams()
    lines = {"waves": (Wave(lines=("l1", "l2", "l3")),)}
    recipe = an_order().recipe
    ours, back = signers.order(recipe, 5, **lines), signers.order(recipe, 6, why="way back", **lines)
    mine = Rollout(ours, time.monotonic)

    async def told(servers: Servers) -> list[bool]:
        found = [await desired(servers, PLANT, line) for line in ("l1", "l2", "l3")]
        return [each is not None and back.text == decode_signed(each[1]).text for each in found]

    found = cluster.as_user("publisher", mine.look)
    assert (found.step, found.lines) == (Step.TELL, ("l1", "l2", "l3"))
    tell(cluster, "l2", back)
    cluster.as_user("publisher", lambda servers: mine.tell(servers, found.lines))
    assert cluster.as_user("publisher", told) == [False, True, False]
    found = cluster.as_user("publisher", mine.look)
    assert (found.step, found.text) == (Step.STOP, "l2 was told order 6 by somebody else")
    tell(cluster, "l2", b"rubbish")  # no order at all, which was seen: it may be written over
    found = cluster.as_user("publisher", mine.look)
    assert (found.step, found.lines) == (Step.TELL, ("l2", "l3"))
    cluster.as_user("publisher", lambda servers: mine.tell(servers, found.lines))
    assert cluster.as_user("publisher", mine.look).step is Step.WAIT


@pytest.mark.system
def test_a_rollout_that_is_started_again_believes_no_line_that_is_silent(
    two_lines, signers: Signers, tmp_path
) -> None:
    made = make_recipe(tmp_path)
    cluster, agents = two_lines(made)
    waves = tuple(Wave(lines=(line,), watch_minutes=0.02) for line in ("l1", "l2"))
    band = Band(max_reject_share=1.0, min_verdicts=1, silent_minutes=0.1)
    order = signers.order(made.ordered, 1, waves=waves, band=band)
    file = tmp_path / "order.json"
    file.write_bytes(msgspec.json.encode(order))
    publish(cluster, made)
    cluster.as_user("publisher", lambda servers: Rollout(order, time.monotonic).tell(servers, ("l1",)))
    agents["l1"].until_report(
        lambda r: (
            r.state == "running" and r.at_utc_ns - r.counted_since_utc_ns > 2e9 and r.verdicts.get("pass")
        )
    )
    agents["l1"].stop(signal.SIGKILL)
    started = rollout(cluster, file)
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 1, said
    assert "STOPPED: l1: has said nothing for 0.1 minutes" in said
    assert report(cluster, "l2").wanted_serial is None
