"""What a line's agent refuses, with real servers and a real line: none of it comes into the store."""

from __future__ import annotations

import signal
import time

import msgspec
import pytest
from support.agents import PLANT, MadeRecipe, make_recipe, publish, report, store_of, tell

pytestmark = pytest.mark.system  # NATS is no part of the project


def test_nothing_but_what_two_people_signed_for_this_line_gets_in(start_line, signers, tmp_path) -> None:
    good, other = make_recipe(tmp_path, megabytes=2), make_recipe(tmp_path, megabytes=2, seed=1)
    cluster, line, agent = start_line(good, max_mb=5)
    publish(cluster, good)
    whole = signers.order(good.ordered, 5, "line")
    one = whole.signatures[0]
    forged = msgspec.structs.replace(whole, text=whole.text.replace('"serial":5', '"serial":6'))
    chunks = good.ordered.chunk_sha256[:1] * 9
    too_large = msgspec.structs.replace(good.ordered, archive_bytes=9 << 20, chunk_sha256=chunks)
    now = time.time_ns()
    agent.until(lambda: agent.refused("malformed") == 0)
    for why, entry in (
        ("malformed", b"{}"),
        ("malformed", msgspec.json.encode(whole)[:-20]),
        ("signatures", signers.order(good.ordered, 5, "line", by="")),
        ("signatures", signers.order(good.ordered, 5, "line", by="anna")),
        ("signatures", signers.order(good.ordered, 5, "line", by="anna eve")),
        ("signatures", msgspec.structs.replace(whole, signatures=(one, one))),
        (
            "signatures",
            msgspec.structs.replace(whole, signatures=(one, msgspec.structs.replace(one, name="otto"))),
        ),
        ("signatures", forged),
        ("other_line", signers.order(good.ordered, 5, "other")),
        ("other_line", signers.order(good.ordered, 5, "line", plant="elsewhere")),
        ("too_late", signers.order(good.ordered, 5, "line", until_utc_ns=now - 10**9)),
        ("too_large", signers.order(too_large, 5, "line")),
    ):
        before = agent.refused(why)
        tell(cluster, "line", entry)
        agent.until(lambda why=why, before=before: agent.refused(why) == before + 1)
    found = agent.until_report(lambda r: r.state == "refused" and "max_mb" in r.why)
    assert (found.recipe, found.wanted_serial) == ("file", None)
    assert not store_of(line).ids()
    (agent.state / "accepted.json").mkdir()  # nothing can be written there, as on a full disk
    tell(cluster, "line", whole)
    agent.until_report(lambda r: r.state == "waiting" and "cannot be accepted yet: " in r.why)
    (agent.state / "accepted.json").rmdir()
    agent.until_report(lambda r: (r.state, r.version, r.wanted_serial) == ("running", 1, 5))
    agent.stop(signal.SIGKILL)  # what it accepted is remembered
    agent.start()
    agent.until_report(lambda r: r.state == "running" and r.wanted_serial == 5)
    tell(cluster, "line", signers.order(other.ordered, 4, "line"))
    agent.until_report(lambda r: r.state == "refused" and "serial number 4" in r.why)
    assert agent.refused("old_serial") == 1
    assert store_of(line).versions("cells") == [1]
    log = agent.log.read_text()
    assert log.count("old_serial") == 1, "each refusal is logged once"
    assert "Traceback" not in log


def test_chunks_that_are_not_what_was_signed_never_reach_the_store(start_line, signers, tmp_path) -> None:
    made = make_recipe(tmp_path, megabytes=3)
    cluster, line, agent = start_line(made)
    order = signers.order(made.ordered, 1, "line")
    tell(cluster, "line", order)
    agent.until_report(lambda r: r.state == "waiting" and "is not there yet" in r.why)
    subject = PLANT.chunk(made.ordered.archive_sha256, 1)
    cluster.as_user("publisher", lambda servers: servers.js.publish(subject, b"something else"))
    publish(cluster, made)
    found = agent.until_report(lambda r: r.state == "refused")
    assert "chunk 2 on the servers is not the one that was signed" in found.why
    assert agent.refused("wrong_hash") == 1
    assert not store_of(line).ids()
    code, said = agent.check()
    assert (code, store_of(line).ids()) == (0, []), said
    # It is mended: that alone brings nothing back, also not at a new start, and telling the line again does.
    cluster.as_user("administrator", lambda s: s.js.purge_stream(PLANT.banks_stream, subject=subject))
    assert publish(cluster, made)[0] == 1
    agent.stop(signal.SIGKILL)
    started_ns = time.time_ns()
    agent.start()
    found = agent.until_report(lambda r: r.at_utc_ns > started_ns and r.state == "refused")
    assert "chunk 2 on the servers is not the one that was signed" in found.refusal
    assert agent.refused("wrong_hash") == 0, "it was counted when it was refused"
    tell(cluster, "line", order)
    agent.until_report(lambda r: (r.state, r.recipe, r.refusal) == ("running", "cells", None))
    # Two people signed digests of chunks that do not make the archive they name.
    good = make_recipe(tmp_path, megabytes=1, seed=3)
    mixed = msgspec.structs.replace(good.ordered, archive_sha256="0" * 64)
    publish(cluster, MadeRecipe(good.archive, mixed))
    order = signers.order(mixed, 2, "line")
    tell(cluster, "line", order)
    agent.until(lambda: agent.refused("wrong_hash") == 1)
    assert report(cluster, "line").version == 1
    # A stream that is made anew counts from 1 again, and what is told by it is told again all the same.
    cluster.as_user("administrator", lambda s: s.js.delete_stream(PLANT.desired_stream))
    cluster.make_fleet_streams()
    tell(cluster, "line", order)
    agent.until(lambda: agent.refused("wrong_hash") == 2)
