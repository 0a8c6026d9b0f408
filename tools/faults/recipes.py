"""The daemon is killed while recipes change; in force afterwards is the recipe it acknowledged last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from faults.fault import Context, Outcome, percentiles

from inspectd.client import RecipeAck, RecipeAction, RecipeRefusal, RecipeRequest, ask_recipe, ask_status
from inspectd.errors import UnavailableError
from inspectd.recipes.audit import AuditFault, in_force, verify
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe
from inspectd.scoring.stub import bank_sha256

NAMES: Final = ("a", "b", "c")
STUB: Final = Path(__file__).parents[2] / "tests" / "support" / "stub_daemon.py"
_PUT_IN_FORCE: Final = (RecipeAction.ACTIVATE, RecipeAction.PROMOTE)
_ACTIONS: Final = (RecipeAction.PREPARE,) * 10 + _PUT_IN_FORCE * 10 + (RecipeAction.SHADOW,)
"""To be asked for at random; a shadow rarely, as each begins a process."""
_LONGEST_SECONDS: Final = 2.0
_READY_SECONDS: Final = 20.0


def run(context: Context) -> Outcome:
    """Prepare, activate and promote recipes at random without a pause, kill, start, compare, again."""
    outcome = Outcome()
    state, run_dir = context.folder / "state", context.folder / "run"
    state.mkdir(parents=True)
    frames = context.folder / "frames"
    frames.mkdir()
    _picture(frames / "part.png")
    fill_store(state)
    file = context.folder / "line.toml"
    file.write_text(_settings(frames))
    (context.folder / "behaviour.json").write_text("{}")
    environment = {**os.environ, "RUNTIME_DIRECTORY": str(run_dir), "STATE_DIRECTORY": str(state)}
    allowed, changes, promoted, ready = {"file"}, 0, 0, []
    for _ in range(context.count + 1):
        began = time.monotonic()
        with (context.folder / "log").open("ab") as log:
            daemon = subprocess.Popen(
                [sys.executable, str(STUB), "run", str(file)], env=environment, stdout=log, stderr=log
            )
        found = _in_force(run_dir)
        ready.append(time.monotonic() - began)
        outcome.require(found in allowed, f"in force is {found}, expected one of {sorted(allowed)}")
        recorded = in_force(state / "audit.jsonl")
        name = "file" if recorded is None or recorded.is_file else f"{recorded.id}@{recorded.version}"
        outcome.require(found == name, f"in force is {found}, the audit file says {name}")
        if outcome.injected == context.count:
            daemon.terminate()
            outcome.require(daemon.wait(20) == 0, "the last daemon did not end in order")
            break
        killer = threading.Timer(
            context.random.uniform(0, _LONGEST_SECONDS), daemon.send_signal, (signal.SIGKILL,)
        )
        killer.start()
        allowed, done, by_promotion = _change(context, run_dir, daemon, found)
        changes, promoted = changes + done, promoted + by_promotion
        killer.join()
        daemon.wait()
        outcome.injected += 1
        context.advance()
    chain = verify(state / "audit.jsonl")
    outcome.require(not isinstance(chain, AuditFault), f"the audit file: {chain}")
    for name in NAMES:
        RecipeStore(state / "recipes").verify(name, 1)
    outcome.figures["changes acknowledged"] = f"{changes}, {promoted} of them promotions"
    outcome.figures["ready again"] = percentiles(ready, "s", 2)
    return outcome


def fill_store(state: Path) -> None:
    """Three recipes whose banks are the stub's."""
    (state / "stub.bank").write_bytes(b"no bank")
    for number, name in enumerate(NAMES, 1):
        bank = "banks/parts.safetensors"
        camera = CameraRecipe(bank=bank, bank_sha256=bank_sha256(f"{name}@1"), threshold=float(number))
        draft = RecipeDraft(
            id=name, number=number, cameras={"eye": camera}, banks={bank: state / "stub.bank"}, who="faults"
        )
        RecipeStore(state / "recipes").add(draft)


def _change(
    context: Context, run_dir: Path, daemon: subprocess.Popen[bytes], found: str
) -> tuple[set[str], int, int]:
    """Change recipes until the daemon is gone: what may be in force then, and what it acknowledged."""
    endpoint, allowed, changes, promoted = f"ipc://{run_dir}/control.sock", {found}, 0, 0
    while daemon.poll() is None:
        action = context.random.choice(_ACTIONS)
        name = context.random.choice(NAMES)
        last = set(allowed)
        if action in _PUT_IN_FORCE:
            allowed.add(f"{name}@1")  # it may be on the disk, and not acknowledged
        try:
            answer = ask_recipe(endpoint, RecipeRequest("f", action, name, who="faults"), timeout_seconds=0.5)
        except UnavailableError:
            continue
        if isinstance(answer, RecipeRefusal):
            allowed = last
        elif isinstance(answer, RecipeAck) and action in _PUT_IN_FORCE:
            allowed, changes = {f"{name}@1"}, changes + 1
            promoted += action is RecipeAction.PROMOTE
    return allowed, changes, promoted


def _in_force(run_dir: Path) -> str:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        try:
            status = ask_status(f"ipc://{run_dir}/sync.sock", timeout_seconds=0.5)
        except UnavailableError:
            continue
        if status.state == "running":
            return status.in_force
        time.sleep(0.02)
    return "nothing: the line is not ready"


def _picture(path: Path) -> None:
    import cv2  # noqa: PLC0415 - the only thing here that needs it
    import numpy as np  # noqa: PLC0415

    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8))


def _settings(frames: Path) -> str:
    return f"""\
[line]
deadline_ms = 500
[[recipes]]
name = "r"
bank = "stub.bank"
[[cameras]]
kind = "images"
name = "eye"
recipe = "r"
folder = {json.dumps(str(frames))}
fps = 30
loop = true
[cameras.quality]
frozen_frames = 0
[evidence]
enabled = false
[metrics]
port = 0
"""
