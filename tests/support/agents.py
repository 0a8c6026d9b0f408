"""A line with its agent, and recipes with their banks that two people sign, for tests."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from support.banks import bank_of
from support.daemon import Daemon
from support.forwarder import ForwarderProcess
from support.nats_cluster import NatsCluster
from support.ports import free_port

from inspectd.bank.file import read_bank, write_bank
from inspectd.cli.fleet_order import recipe_in
from inspectd.fleet.agent import publisher
from inspectd.fleet.agent.order import Band, FleetOrder, OrderedRecipe, SignedOrder, Wave, canonical
from inspectd.fleet.agent.report import FleetReport
from inspectd.fleet.agent.signing import sign
from inspectd.fleet.names import LineNames, PlantNames
from inspectd.fleet.servers import Servers
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe
from inspectd.scoring.stub import Behaviour

PLANT = PlantNames("test")
_DAY_NS = 86_400 * 10**9


class MadeRecipe(msgspec.Struct):
    """An archive, and what an order says of it."""

    archive: Path
    ordered: OrderedRecipe

    @property
    def bank_sha256(self) -> str:
        return self.ordered.bank_sha256["top"]


def make_recipe(folder: Path, *, megabytes: float = 0, threshold: float = 1.5, seed: int = 0) -> MadeRecipe:
    """A recipe `cells` for the camera `top`, with a real bank; larger by random bytes that it also holds."""
    bank = bank_of(np.linspace(1, 1.2, 40))
    ballast = np.random.default_rng(seed).integers(0, 255, round(megabytes * 1e6) or 1, np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{seed}.safetensors"
    write_bank(file, bank.manifest, {**bank.tensors, "ballast": ballast})
    return recipe_with(folder, file, threshold=threshold, seed=seed)


def recipe_with(folder: Path, file: Path, *, threshold: float, seed: int = 0) -> MadeRecipe:
    """A recipe `cells` for the camera `top`, with the bank in a file."""
    store, name = RecipeStore(folder / f"maker{seed}"), "banks/top.safetensors"
    camera = CameraRecipe(
        bank=name, bank_sha256=read_bank(file).sha256, threshold=threshold, accept_threshold=True
    )
    made = store.add(
        RecipeDraft(id="cells", number=12, cameras={"top": camera}, banks={name: file}, who="anna")
    )
    archive = folder / f"cells{seed}.zip"
    store.export("cells", made.version, archive)
    return MadeRecipe(archive, recipe_in(archive))


class Signers:
    """Anna and Otto, whom lines trust, and Eve, whom none does."""

    def __init__(self, keys: Mapping[str, tuple[Path, str]]) -> None:
        self.keys = keys

    def order(
        self, recipe: OrderedRecipe, serial: int, *lines: str, by: str = "anna otto", **more: Any
    ) -> Any:
        """A signed order for these lines, each a wave of its own."""
        now = time.time_ns()
        given: dict[str, Any] = {
            "plant": "test", "serial": serial, "recipe": recipe,
            "waves": tuple(Wave(lines=(line,)) for line in lines),
            "band": Band(max_reject_share=1.0), "not_before_utc_ns": now, "until_utc_ns": now + _DAY_NS,
            **more,
        }  # fmt: skip
        signed = SignedOrder(canonical(FleetOrder(**given)))
        for name in by.split():
            signed = sign(signed, name, self.keys[name][0])
        return signed

    @property
    def tables(self) -> str:
        """What lines have of them."""
        return "".join(
            f'[[signers]]\nname = "{name}"\nkey = "{self.keys[name][1]}"\n' for name in ("anna", "otto")
        )


def line_settings(text: str, line: str) -> str:
    """A line's settings with its name, and its state where commands find it."""
    return text.replace('name = "line"', f'name = "{line}"\nstate_dir = "state"')


def know_banks(daemon: Daemon, *recipes: MadeRecipe) -> None:
    """Have the stub answer as a scorer that reads banks, for the versions that the line's store makes."""
    digests = {f"cells@{version}": made.bank_sha256 for version, made in enumerate(recipes, 1)}
    daemon.behave(Behaviour(digests=digests))


def publish(cluster: NatsCluster, recipe: MadeRecipe) -> tuple[int, int]:
    """Bring an archive to the servers; the chunks that were sent, and those that were there."""

    async def send(servers: Servers) -> tuple[int, int]:
        return await publisher.publish_chunks(
            servers, PLANT, recipe.archive, recipe.ordered, lambda done, total: None
        )

    return cluster.as_user("publisher", send)


def tell(cluster: NatsCluster, line: str, entry: SignedOrder | bytes) -> None:
    """Put an entry there for a line, whatever it is."""
    data = entry if isinstance(entry, bytes) else msgspec.json.encode(entry)
    cluster.as_user("publisher", lambda servers: servers.js.publish(PLANT.desired(line), data))


def report(cluster: NatsCluster, line: str) -> FleetReport | None:
    """What a line says it runs."""
    found = cluster.as_user("publisher", lambda s: publisher.report_of(s, LineNames("test", line)))
    return found[1] if found else None


def servers_file(cluster: NatsCluster, user: str, folder: Path) -> Path:
    """A file by which a user's commands reach the servers."""
    link, file = cluster.settings(user), folder / f"{user}.toml"
    file.write_text(
        f'[servers]\naddresses = {[*link.addresses]}\nca_file = "{link.ca_file}"\n'
        f'seed_file = "{link.seed_file}"\n'
    )
    return file


class AgentProcess(ForwarderProcess):
    """An agent that runs until it is stopped."""

    def __init__(
        self, cluster: NatsCluster, line: str, daemon: Daemon, signers: Signers, **fleet: Any
    ) -> None:
        link = cluster.settings(f"agent-{line}")
        self.port, self.line, self.cluster = free_port(), line, cluster
        self.file, self.log = daemon.folder / "fleet.toml", daemon.folder / "fleet.log"
        self.state = daemon.folder / "agent"
        settings = {
            "line_file": str(daemon.file), "state_dir": str(self.state), "min_free_mb": 1, "poll_seconds": 1,
            "report_seconds": 1, **fleet,
        }  # fmt: skip
        table = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
        self.file.write_text(f"""
[line]
plant = "test"
name = "{line}"
verdicts = "ipc://{daemon.runtime_dir}/verdicts.sock"
[servers]
addresses = {[*link.addresses]}
ca_file = "{link.ca_file}"
seed_file = "{link.seed_file}"
[fleet]
{table}
[metrics]
port = {self.port}
{signers.tables}
""")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "inspectd", "fleet", "--config", str(self.file)], stderr=log
            )

    def check(self) -> tuple[int, str]:
        """Exit code and words of `--check`."""
        done = subprocess.run(
            [sys.executable, "-m", "inspectd", "fleet", "--config", str(self.file), "--check"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def refused(self, why: str) -> float:
        """How many entries were refused for this."""
        return self.metrics().get(f'inspectd_fleet_refused_total{{why="{why}"}}', -1.0)

    def until_report(
        self, wanted: Callable[[FleetReport], Any], timeout_seconds: float = 40.0
    ) -> FleetReport:
        """The first report that is as wanted."""
        seen: list[FleetReport] = []

        def is_there() -> bool:
            seen.extend(found for found in [report(self.cluster, self.line)] if found)
            return bool(seen) and bool(wanted(seen[-1]))

        self.until(is_there, timeout_seconds)
        return seen[-1]


def store_of(daemon: Daemon) -> RecipeStore:
    """A line's recipe store."""
    return RecipeStore(daemon.folder / "state" / "recipes")
