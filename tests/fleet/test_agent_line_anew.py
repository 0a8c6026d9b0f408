"""A line's state is lost, and its agent's is not: what it reports is by the recipe, and not by its name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.agents import MadeRecipe, know_banks, make_recipe, publish, store_of, tell
from support.changeovers import ask, prepare
from support.daemon import WELL, Daemon

from inspectd.client import RecipeAction
from inspectd.fleet.agent.order import decode_order
from inspectd.fleet.agent.rollout import Seen, Step, decide
from inspectd.recipes.audit import history

pytestmark = pytest.mark.system  # NATS is no part of the project


@pytest.fixture
def lose_state(tmp_path):
    """Starts a line anew on an empty disk."""
    started: list[Daemon] = []

    def lose(line: Daemon, recipe: MadeRecipe) -> Daemon:
        line.stop()
        line.close()
        for name in ("state", "log"):
            (line.folder / name).rename(tmp_path / f"{name}{len(started)}")
        started.append(Daemon(line.folder, line.file.read_text(), behaviour=WELL))
        know_banks(started[-1].ready(), recipe)
        return started[-1]

    yield lose
    for line in started:
        line.close()


def test_a_line_whose_state_was_lost_is_brought_the_orders_recipe_again(
    start_line, signers, tmp_path, lose_state
) -> None:
    ordered, other = make_recipe(tmp_path, threshold=0.9), make_recipe(tmp_path, threshold=5.0, seed=1)
    cluster, line, agent = start_line(ordered)
    publish(cluster, ordered)
    signed = signers.order(ordered.ordered, 1, "line")
    tell(cluster, "line", signed)
    agent.until_report(lambda r: r.state == "running")
    line = lose_state(line, ordered)
    agent.until_report(lambda r: r.state != "running")
    agent.until_report(lambda r: (r.state, r.recipe, r.version) == ("running", "cells", 1))
    assert store_of(line).versions("cells") == [1]
    assert [record.who for record in history(line.folder / "state" / "audit.jsonl")] == ["fleet"]
    assert "carried_out_again" in agent.log.read_text()

    agent.stop()
    line = lose_state(line, other)
    _put_in_force(line, other)
    agent.start()
    found = agent.until_report(lambda r: r.state == "held")
    assert (found.recipe, found.version) == ("cells", 1), "it has the name and number of the order's"
    assert f"is another recipe, content {store_of(line).read('cells', 1).content_sha256[:12]}" in found.why
    assert (
        f"the order's has content {ordered.ordered.content_sha256[:12]}, and the store does not have it"
        in found.why
    )
    seen = {"line": Seen(True, None, found, 0.0)}
    assert decide(decode_order(signed.text), signed.sha256, seen).step is Step.STOP


def _put_in_force(line: Daemon, recipe: MadeRecipe) -> None:
    command = [sys.executable, "-m", "inspectd", "recipe", "import", str(recipe.archive)]
    subprocess.run([*command, "--config", str(line.file)], check=True, timeout=60)
    know_banks(line, recipe)
    prepare(line, "cells", 1)
    ask(line, RecipeAction.ACTIVATE, "cells", 1)
