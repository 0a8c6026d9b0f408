"""Real servers, a real line on the stub, its real agent: what two people signed runs, nothing else does."""

from __future__ import annotations

import re

import pytest
from support.agents import (
    make_recipe,
    publish,
    store_of,
    tell,
)
from support.changeovers import ask, prepare

from inspectd.client import RecipeAction
from inspectd.recipes.audit import history

pytestmark = pytest.mark.system  # NATS is no part of the project


def test_a_signed_order_runs_and_a_new_one_takes_it_back(start_line, signers, tmp_path) -> None:
    first, second = make_recipe(tmp_path, megabytes=3), make_recipe(tmp_path, megabytes=2, seed=1)
    cluster, line, agent = start_line(first, second)
    assert agent.until_report(lambda r: r.state == "idle").recipe == "file"
    assert publish(cluster, first) == (len(first.ordered.chunk_sha256), 0)
    assert publish(cluster, first) == (0, len(first.ordered.chunk_sha256))
    publish(cluster, second)
    tell(cluster, "line", signers.order(first.ordered, 1, "line", why="new glass"))
    found = agent.until_report(lambda r: r.state == "running")
    assert (found.recipe, found.version, found.wanted_serial) == ("cells", 1, 1)
    assert found.bank_sha256 == {"cells@1": first.bank_sha256}
    agent.until_report(lambda r: sum(r.verdicts.values()) > 20 and r.reject_share == 0)
    tell(cluster, "line", signers.order(second.ordered, 2, "line"))
    agent.until_report(lambda r: (r.state, r.version) == ("running", 2))
    tell(cluster, "line", signers.order(first.ordered, 3, "line"))
    agent.until_report(lambda r: (r.state, r.version, r.wanted_serial) == ("running", 1, 3))
    assert store_of(line).versions("cells") == [1, 2], "to go back, nothing is fetched or imported again"
    records = [*history(line.folder / "state" / "audit.jsonl")]
    assert {(record.who, record.door) for record in records} == {("fleet", "local")}
    assert re.fullmatch(r"order 1 \([0-9a-f]{12}\) by anna and otto: new glass", records[0].why)
    assert [*(agent.state / "fetched").iterdir()] == []
    code, said = agent.check()
    assert code == 0, said
    assert "wanted: order 3, cells@1" in said
    assert agent.stop() == 0
    assert "Traceback" not in agent.log.read_text()


def test_a_persons_choice_after_an_order_is_left_alone(start_line, signers, tmp_path) -> None:
    made = make_recipe(tmp_path)
    cluster, line, agent = start_line(made)
    publish(cluster, made)
    tell(cluster, "line", signers.order(made.ordered, 1, "line"))
    agent.until_report(lambda r: r.state == "running")
    prepare(line, "file")
    ask(line, RecipeAction.ROLLBACK, "file")
    found = agent.until_report(lambda r: r.state == "held")
    assert found.recipe == "file"
    assert "somebody put file in its place" in found.why
