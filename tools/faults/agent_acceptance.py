"""Acceptance of agents: a large bank comes to lines while leaders are killed, links cut and agents killed.

    PYTHONPATH=.:tests:tools python -m faults.agent_acceptance [MEGABYTES] [LINES]

Takes root: it has a network of its own. Lines are real daemons whose scoring is the stub, told one after the
other, so that no two read a bank of 300 MB at the same time. Prints what it found, and exits 1 where it is
not as it should be.
"""

from __future__ import annotations

import hashlib
import itertools
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import msgspec
import numpy as np
from faults.acceptance import Checks
from support.agents import (
    PLANT,
    AgentProcess,
    MadeRecipe,
    Signers,
    know_banks,
    line_settings,
    make_recipe,
    publish,
    store_of,
    tell,
)
from support.daemon import WELL, Daemon, camera_table, settings
from support.lone_network import lone_network
from support.nats_cluster import NatsCluster
from support.orders import people_with_keys

_ADDRESSES = ("10.213.9.1", "10.213.9.2", "10.213.9.3")
_CUT_SECONDS = 8.0
_PATIENCE_SECONDS = 400.0


class AgentLab:
    """Servers, and lines with their agents.

    Args:
        folder: for all files.
        megabytes: of the bank.
        lines: how many.
    """

    def __init__(self, folder: Path, megabytes: float, lines: int) -> None:
        self._stack = ExitStack()
        self.signers = Signers(people_with_keys(folder, "anna", "otto"))
        self.made: MadeRecipe = make_recipe(folder / "made", megabytes=megabytes)
        self.cluster = NatsCluster(
            folder / "nats", tuple(f"l{n}" for n in range(1, lines + 1)), addresses=_ADDRESSES, max_disk="4GB"
        )
        self._stack.callback(self.cluster.close)
        self.cluster.start()
        self.cluster.make_streams()
        self.cluster.make_fleet_streams(max_gb=max(0.1, megabytes * 1.2e-3))
        pictures = folder / "pictures" / "good"
        pictures.mkdir(parents=True)
        for number in range(5):
            grey = np.random.default_rng(number).integers(60, 190, (32, 32), np.uint8)
            cv2.imwrite(str(pictures / f"{number}.png"), grey)
        self.daemons: dict[str, Daemon] = {}
        self.agents: dict[str, AgentProcess] = {}
        for name in self.cluster.lines:
            (folder / name).mkdir()
            text = settings(Path("stub.bank"), camera_table("top", pictures, fps=20))
            daemon = Daemon(folder / name, line_settings(text, name), behaviour=WELL)
            self._stack.callback(daemon.close)
            know_banks(daemon.ready(), self.made)
            self.daemons[name] = daemon
            agent = AgentProcess(self.cluster, name, daemon, self.signers)
            self._stack.callback(agent.close)
            self.agents[name] = agent

    def close(self) -> None:
        """End all."""
        self._stack.close()

    def kill_leader(self, seconds: float = 5.0) -> None:
        """Kill the leader of the chunks' stream, and start it again."""
        leader = self.cluster.leader(PLANT.banks_stream)
        self.cluster.kill(leader)
        time.sleep(seconds)
        self.cluster.start(leader)

    def cut_link(self) -> None:
        """Nothing reaches the leader's host for some seconds, and no connection ends by that."""
        with self.cluster.cut_off(self.cluster.leader(PLANT.banks_stream)):
            time.sleep(_CUT_SECONDS)

    def kill_agent(self, line: str) -> None:
        """Kill an agent in the middle of what it does, and start it again."""
        self.agents[line].stop(signal.SIGKILL)
        self.agents[line].start()

    def roll_out(self, line: str, mishap: Callable[[], None]) -> float:
        """Tell a line, do something to it as soon as it fetches, and wait; the seconds that it took."""
        began = time.monotonic()
        tell(self.cluster, line, self.signers.order(self.made.ordered, 1, *self.cluster.lines))
        part = self.agents[line].state / "fetched" / f"{self.made.ordered.archive_sha256}.part"
        store = store_of(self.daemons[line])
        self.agents[line].until(lambda: part.exists() or store.ids(), _PATIENCE_SECONDS)
        mishap()
        self.agents[line].until_report(
            lambda r: r.wanted_serial == 1 and r.state == "running", _PATIENCE_SECONDS
        )
        return time.monotonic() - began

    def is_whole(self, line: str) -> bool:
        """The line's store has the very bank, and its audit file says the agent's order."""
        daemon = self.daemons[line]
        version = store_of(daemon).verify("cells", 1)
        folder = store_of(daemon).folder("cells", 1)
        name, file = next(iter(version.files.items()))
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        return found == file.sha256 and version.cameras["top"].bank_sha256 == self.made.bank_sha256

    def changes(self, line: str) -> tuple[int, int, int]:
        """Verdicts so far, changes of the recipe that made them, and undecidable ones among them."""
        daemon = self.daemons[line]
        while daemon.reader.read(50):
            pass
        versions = [verdict.recipe_version for verdict in daemon.reader.verdicts]
        changed = sum(after != before for before, after in itertools.pairwise(versions))
        undecidable = sum(verdict.evaluation == "undecidable" for verdict in daemon.reader.verdicts)
        return len(versions), changed, undecidable


def examine(lab: AgentLab, checks: Checks) -> None:
    """Publish and roll out with mishaps, forged orders last."""
    killer = threading.Timer(1.0, lab.kill_leader)
    killer.start()
    began = time.monotonic()
    sent, _ = publish(lab.cluster, lab.made)
    killer.join()
    total = len(lab.made.ordered.chunk_sha256)
    again = publish(lab.cluster, lab.made)
    what = (
        f"{total} chunks in {time.monotonic() - began:.1f} s, {sent} sent by the last attempt; again: {again}"
    )
    checks.that("published, the leader killed meanwhile", what, ok=again == (0, total))
    for number, line in enumerate(lab.agents):
        mishaps = (lab.kill_leader, lab.cut_link, lambda line=line: lab.kill_agent(line))
        mishap = mishaps[number % len(mishaps)]
        seconds = lab.roll_out(line, mishap)
        name = ("leader killed", "link cut", "agent killed")[number % len(mishaps)]
        checks.that(f"{line}, {name}", f"in {seconds:.1f} s", ok=lab.is_whole(line))
        verdicts, changed, undecidable = lab.changes(line)
        found = f"{verdicts} verdicts, {changed} change of recipe, {undecidable} undecidable"
        checks.that(f"{line}, between two parts", found, ok=(changed, undecidable) == (1, 0))
    whole = lab.signers.order(lab.made.ordered, 2, *lab.agents)
    data = msgspec.json.encode(whole)
    alone = lab.signers.order(lab.made.ordered, 2, *lab.agents, by="anna")
    for what, why, entry in (
        ("forged", "signatures", data.replace(b'serial\\":2', b'serial\\":3')),
        ("cut", "malformed", data[:-50]),
        ("signed by one", "signatures", msgspec.json.encode(alone)),
    ):
        before = {line: agent.refused(why) for line, agent in lab.agents.items()}
        for line, agent in lab.agents.items():
            tell(lab.cluster, line, entry)
            agent.until(lambda agent=agent, why=why, n=before[line]: agent.refused(why) == n + 1)
        ok = all(store_of(daemon).versions("cells") == [1] for daemon in lab.daemons.values())
        checks.that(what, "refused on every line", ok=ok)


def main(megabytes: float = 300, lines: int = 3) -> int:
    """Run everything; the exit code."""
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="agents-") as folder, lone_network():
        lab = AgentLab(Path(folder), megabytes, lines)
        try:
            examine(lab, checks)
        finally:
            lab.close()
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
