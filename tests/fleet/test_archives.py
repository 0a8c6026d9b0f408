"""Archives on the plant's servers: what is there, who was told of it, and how room is made."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.agents import MadeRecipe, Signers, make_recipe, publish, servers_file, tell
from support.nats_cluster import NatsCluster

from inspectd import cli
from inspectd.errors import UnavailableError
from inspectd.fleet.agent.report import AgentState, FleetReport

pytestmark = pytest.mark.system  # NATS is no part of the project


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What `inspectd fleet archives` says by a user's key, after its exit code."""

    def run(cluster: NatsCluster, user: str, *more: str) -> tuple[int, str]:
        file = servers_file(cluster, user, tmp_path)
        capsys.readouterr()
        code = cli.main(["fleet", "archives", "--plant", "test", "--config", str(file), *more])
        words = capsys.readouterr()
        assert "Traceback" not in words.err
        return code, words.out + words.err

    return run


def report(wanted_serial: int, wanted: MadeRecipe) -> bytes:
    """What a line says that runs nothing yet, and wants an order's recipe."""
    return msgspec.json.encode(
        FleetReport(
            plant="test", line="line", at_utc_ns=1, software="0", state=AgentState.FETCHING, why="",
            recipe=None, version=None, bank_sha256={}, wanted_serial=wanted_serial,
            wanted_recipe=wanted.ordered.id, wanted_recipe_sha256=wanted.ordered.content_sha256,
            offered_sha256=None, refusal=None, progress=0.5, counted_since_utc_ns=None, verdicts={},
            reject_share=None, drift=None,
        )
    )  # fmt: skip


def test_they_are_listed_and_make_room_unless_a_line_should_run_them(
    start_cluster, said, tmp_path: Path, signers: Signers
) -> None:
    cluster = start_cluster()
    cluster.make_fleet_streams(max_gb=0.005)
    assert said(cluster, "administrator") == (0, "there are no archives\n")
    old, new = (make_recipe(tmp_path / "made", megabytes=3, seed=seed) for seed in (1, 2))
    publish(cluster, old)
    tell(cluster, "line", b"rubbish")
    tell(cluster, "line", signers.order(old.ordered, 7, "line"))
    code, words = said(cluster, "administrator")
    digest = old.ordered.archive_sha256
    assert (code, words.startswith(digest)) == (0, True), words
    assert "whole: cells@1" in words
    assert words.endswith("orders 7; wanted by line\n")
    with pytest.raises(UnavailableError, match=r"BANKS\+test is full: .*archives"):
        publish(cluster, new)
    code, words = said(cluster, "administrator", "--remove", digest)
    assert (code, "line should run it" in words) == (2, True), words
    tell(cluster, "line", signers.order(new.ordered, 8, "line", by="anna"))
    tell(cluster, "line", b"rubbish")
    cluster.as_user("agent-line", lambda servers: servers.js.publish("i1.test.line.run", report(7, old)))
    code, words = said(cluster, "administrator", "--remove", digest)  # the line refuses what came after
    assert (code, "line should run it" in words) == (2, True), words
    tell(cluster, "line", signers.order(new.ordered, 9, "line"))
    cluster.as_user("agent-line", lambda servers: servers.js.publish("i1.test.line.run", report(9, new)))
    for wrong in (digest[:7], "f" * 64):
        code, words = said(cluster, "administrator", "--remove", wrong)
        assert (code, "archives begin so" in words) == (2, True), words
    assert said(cluster, "administrator", "--remove", digest[:8])[0] == 0
    publish(cluster, new)
    words = said(cluster, "administrator")[1]
    assert digest not in words
    assert f"{new.ordered.archive_sha256}  " in words


def test_nobody_else_may(start_cluster, said) -> None:
    cluster = start_cluster()
    cluster.make_fleet_streams()
    for user in ("publisher", "agent-line"):
        code, words = said(cluster, user, "--remove", "a" * 64)
        assert (code, "error: the plant's servers:" in words) == (3, True), words
