"""An order is carried out once, by the line that it is for, and by the banks that its signers were shown."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable

import msgspec
import pytest
from support.agents import make_recipe, publish, store_of, tell
from support.changeovers import ask, prepare
from support.daemon import Daemon

from inspectd.client import RecipeAction, ask_status
from inspectd.fleet.agent.report import FleetReport

pytestmark = pytest.mark.system  # NATS is no part of the project


def later_than(utc_ns: int, line: Daemon) -> Callable[[FleetReport], bool]:
    """Whether a report is, and until one is the line runs what is in its file."""

    def is_later(found: FleetReport) -> bool:
        assert ask_status(f"ipc://{line.runtime_dir}/sync.sock").in_force == "file"
        return found.at_utc_ns > utc_ns

    return is_later


def test_what_a_person_put_in_its_place_stays_also_where_nothing_can_be_remembered(
    start_line, signers, tmp_path
) -> None:
    """The agent's disk is full when the line has changed over, and the agent is killed beside that."""
    made = make_recipe(tmp_path)
    cluster, line, agent = start_line(made)
    publish(cluster, made)
    later = time.time_ns() + 3 * 10**9
    tell(cluster, "line", signers.order(made.ordered, 1, "line", not_before_utc_ns=later))
    agent.until_report(lambda r: r.wanted_serial == 1 and r.state == "waiting")
    full = agent.state / "accepted.json.new"
    full.mkdir()  # so that the file cannot be written
    agent.until_report(lambda r: r.recipe == "cells" and "cannot be written" in r.why)
    prepare(line, "file")
    ask(line, RecipeAction.ROLLBACK, "file")
    for kill in (False, True):
        if kill:
            agent.stop(signal.SIGKILL)
            agent.start()
        agent.until_report(later_than(time.time_ns() + 3 * 10**9, line))  # it has looked three times by then
    full.rmdir()
    found = agent.until_report(lambda r: r.state == "held", 60)
    assert (found.recipe, found.wanted_serial) == ("file", 1)
    agent.stop()
    (agent.state / "accepted.json").unlink()
    started_ns = time.time_ns()
    agent.start()  # and takes the same order again
    found = agent.until_report(
        lambda r: r.at_utc_ns > started_ns and r.state == "held" and r.wanted_serial == 1
    )
    assert found.recipe == "file"
    agent.stop()
    (agent.state / "accepted.json").unlink()
    shutil.rmtree(store_of(line).folder("cells", 1))  # and the version is taken away beside that
    agent.start()
    found = agent.until_report(lambda r: r.state == "held" and "no longer has that recipe" in r.why)
    assert (found.recipe, store_of(line).versions("cells")) == ("file", [])
    assert "Traceback" not in agent.log.read_text()


def test_an_order_that_was_accepted_is_not_carried_out_after_its_time(start_line, signers, tmp_path) -> None:
    made = make_recipe(tmp_path)
    cluster, line, agent = start_line(made)
    agent.until_report(lambda r: r.state == "idle")
    until = time.time_ns() + 6 * 10**9
    tell(cluster, "line", signers.order(made.ordered, 1, "line", until_utc_ns=until))
    agent.until_report(lambda r: r.wanted_serial == 1 and "is not there yet" in r.why)
    found = agent.until_report(lambda r: r.state == "refused")
    assert found.at_utc_ns > until
    assert "could not be carried out in it" in found.why
    publish(cluster, made)
    agent.stop(signal.SIGKILL)
    agent.start()
    started_ns = time.time_ns()
    found = agent.until_report(lambda r: r.at_utc_ns > started_ns and r.state == "refused")
    assert (found.recipe, agent.refused("too_late"), store_of(line).ids()) == ("file", 1, [])


def test_what_another_lines_agent_accepted_is_not_carried_out(start_line, signers, tmp_path) -> None:
    """A host that was made as a copy of another one, with the folder of its agent."""
    made = make_recipe(tmp_path)
    cluster, line, agent = start_line(made)
    publish(cluster, made)
    agent.until_report(lambda r: r.state == "idle")
    agent.stop()
    theirs = msgspec.json.decode(msgspec.json.encode(signers.order(made.ordered, 7, "other")))
    kept = {"schema": "fleet_state/1", "serial": 7, "order": theirs, "is_done": False, "version": None}
    (agent.state / "accepted.json").write_bytes(msgspec.json.encode(kept))
    agent.start()
    found = agent.until_report(lambda r: r.state == "refused")
    assert "is for the lines other of plant test, and this is test/line" in found.why
    assert (found.recipe, agent.refused("other_line")) == ("file", 1)
    assert not store_of(line).ids()


def test_an_order_whose_signers_saw_other_banks_is_refused(start_line, signers, tmp_path) -> None:
    made = make_recipe(tmp_path)
    cluster, line, agent = start_line(made)
    publish(cluster, made)
    other = msgspec.structs.replace(made.ordered, bank_sha256={"top": "0" * 64})
    for serial, folder in ((1, False), (2, True)):  # as it comes into the store, and as it is there already
        assert bool(store_of(line).ids()) is folder
        tell(cluster, "line", signers.order(other, serial, "line"))
        found = agent.until_report(
            lambda r, serial=serial: r.state == "refused" and r.wanted_serial == serial
        )
        assert "with the banks top 000000000000, and that recipe has top " in found.why
        assert found.recipe == "file"
