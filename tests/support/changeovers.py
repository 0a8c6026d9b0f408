"""A line's recipe store for tests on the stub, and requests for its recipes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from support.daemon import Daemon, camera_table, settings

from inspectd.client import RecipeAck, RecipeAction, RecipeRefusal, RecipeRequest, RecipeState, ask_recipe
from inspectd.ipc.child import take_part
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe, RecipeVersion
from inspectd.scoring.stub import bank_sha256


def add_recipe(
    state_dir: Path,
    name: str,
    number: int,
    cameras: dict[str, float],
    *,
    of_key: str | None = None,
    exposures_us: dict[str, float] | None = None,
) -> RecipeVersion:
    """Put the next version into a line's store; cameras, in the line's order, with a threshold each.

    `exposures_us` are those that the recipe gives, by camera.
    The stub reads no bank: its bank's digest is that of the key, which `of_key` may say otherwise.
    """
    store = RecipeStore(state_dir / "recipes")
    version = max(store.versions(name), default=0) + 1
    (state_dir / "stub.bank").write_bytes(b"no bank")
    judged, banks, keys = {}, {}, {}
    for camera, threshold in cameras.items():
        key = keys.setdefault(threshold, f"{name}@{version}/{camera}" if keys else f"{name}@{version}")
        bank = f"banks/of-{key.rpartition('/')[2].partition('@')[0]}.safetensors"
        digest = bank_sha256(of_key or key)
        judged[camera] = CameraRecipe(
            bank=bank, bank_sha256=digest, threshold=threshold, exposure_us=(exposures_us or {}).get(camera)
        )
        banks[bank] = state_dir / "stub.bank"
    draft = RecipeDraft(id=name, number=number, cameras=judged, banks=banks, who="anna")
    return store.add(draft)


def line_with_a_recipe(folder: Path, bank_file: Path, good_folder: Path) -> tuple[Path, Path]:
    """The settings of a line and its state, whose store has the recipe `a`."""
    file, state = folder / "line.toml", folder / "state"
    text = settings(bank_file, camera_table("cam", good_folder))
    file.write_text(text.replace("[line]", '[line]\nstate_dir = "state"\nruntime_dir = "run"'))
    (state / "recipes").mkdir(parents=True)
    add_recipe(state, "a", 1, {"cam": 5.0})
    return file, state


def checked_line(
    start: Callable[[str], Daemon], stub_bank: Path, folder: Path, *, part: str, expect: str
) -> Daemon:
    """A line with the golden part of one recipe, and the recipe `blue` in its store."""
    golden = f'[golden]\nat_start = false\n[[golden.parts]]\nname = "{part}"\nrecipe = "cell"\n'
    golden += f'expect = "{expect}"\ncameras = ["top"]\n'
    text = settings(stub_bank, camera_table("top", folder, fps=5), deadline_ms=3000, extra=golden)
    daemon = start(text).ready()
    add_recipe(daemon.folder / "state", "blue", 7, {"top": 1.5})
    return daemon


def ask(
    daemon: Daemon, action: RecipeAction, recipe: str | int, version: int | None = None, **more: str
) -> RecipeAck | RecipeRefusal:
    """The line's answer."""
    request = RecipeRequest(f"{action}-{recipe}", action, recipe, version, **{"who": "anna", **more})
    return ask_recipe(f"ipc://{daemon.runtime_dir}/control.sock", request, timeout_seconds=10)


def prepare(daemon: Daemon, recipe: str | int, version: int | None = None) -> None:
    """Have a recipe prepared, and wait until it is."""
    daemon.reader.read(0)
    heard = len(daemon.reader.events)
    answer = ask(daemon, RecipeAction.PREPARE, recipe, version)
    until = time.monotonic() + 10
    while isinstance(answer, RecipeRefusal) and answer.reason == "busy" and time.monotonic() < until:
        daemon.reader.read(20)  # the process that served before the last one has not ended yet
        answer = ask(daemon, RecipeAction.PREPARE, recipe, version)
    assert isinstance(answer, RecipeAck), answer

    def told() -> list[str]:
        return [
            e.event for e in daemon.reader.events[heard:] if e.event in {"recipe_prepared", "recipe_failed"}
        ]

    if answer.state == "loading":
        daemon.until(told, 60)  # after 20 s it comes no longer behind the other tests
        assert told() == ["recipe_prepared"], daemon.reader.events[-1]


def give_time(daemon: Daemon) -> None:
    """Have the shadow's process come no longer behind the other tests, which leave it nothing."""
    daemon.until(lambda: "shadow" in daemon.children() or daemon.reader.event("shadow_failed"))
    take_part(daemon.children().get("shadow") or 0)  # until it makes way by itself
    daemon.until(lambda: standing_back(daemon) or daemon.reader.event("shadow_failed"))
    take_part(standing_back(daemon) or 0)


def standing_back(daemon: Daemon) -> int | None:
    """The shadow's process, once it has made way for all others."""
    pid = daemon.children().get("shadow")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if pid is not None and Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n":
            return pid
    return None


def begin_shadow(daemon: Daemon, recipe: str) -> None:
    """Have a recipe score without a vote, and wait until it does."""
    daemon.reader.events.clear()
    answer = ask(daemon, RecipeAction.SHADOW, recipe)
    assert isinstance(answer, RecipeAck), answer
    assert answer.state is RecipeState.LOADING
    give_time(daemon)
    daemon.until(lambda: daemon.reader.event("shadow_started"))
