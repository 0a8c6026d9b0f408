"""A real line that can be taught through its page: a daemon with a real bank, its desk, its page."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from support.daemon import Daemon, camera_table, settings
from support.desk import DeskProcess
from support.glass import Glass
from support.page_process import PASSWORD, PageProcess
from support.teaching import quiet

from inspectd.backends.scorer import Scorer
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank, write_bank
from inspectd.client import RecipeAction, RecipeRefusal, RecipeRequest, ask_recipe
from inspectd.ipc.child import take_part
from inspectd.pictures.reading import read_picture
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe
from inspectd.teach.desk_client import ask_desk
from inspectd.teach.desk_messages import JobAsked, LookAsked, ReportAsked
from inspectd.teach.image_lists import adopt
from inspectd.teach.place import TeachPlace
from inspectd.teach.roles import Person
from inspectd.wire import Evaluation, Verdict

EVIDENCE = """
[evidence]
max_per_second = 1000
pass_share = 1.0
"""


def judged_by(bank: Path, images: Sequence[Path]) -> dict[Path, float]:
    """Scores of images by a bank."""
    scorer = Scorer.load(bank, "cpu")
    return {path: scorer.score([read_picture(path)])[0].image_score for path in images}


def build_first(
    folder: Path, own: Sequence[Path], spec: BuildSpec, good: Sequence[Path], rejects: int | None
) -> tuple[Path, dict[Path, float]]:
    """A bank of good parts, with a threshold at which it rejects so many of some others; and their scores.

    None leaves the threshold that the bank has of its own.
    """
    whole = folder / "whole.safetensors"
    build_bank(list(own), whole, spec, quiet)
    bank = read_bank(whole)
    scores = judged_by(whole, good)
    if rejects is None:
        return whole, scores
    last, first = sorted(scores.values(), reverse=True)[rejects - 1 : rejects + 1]
    path = folder / "first.safetensors"
    write_bank(path, msgspec.structs.replace(bank.manifest, threshold=(last + first) / 2), bank.tensors)
    return path, scores


class TaughtDaemon:
    """The line, its desk and its page; the recipe `parts` is in force on the camera `top`.

    Args:
        folder: of all that it keeps.
        bank: that it judges by at first.
        own: images of that bank.
        pictures: that its camera sees, over and over in this order.
        fps: so many of them a second.
    """

    rejects: Sequence[Path]
    escape: Path
    clear: Path
    again: Path

    def __init__(
        self, folder: Path, bank: Path, own: Sequence[Path], pictures: Sequence[Path], *, fps: float
    ) -> None:
        seen = folder / "pictures"
        seen.mkdir()
        self.pictures = {f"{number:04}-{path.name}": path for number, path in enumerate(pictures)}
        for name, path in self.pictures.items():
            (seen / name).symlink_to(path.resolve())
        text = settings(bank, camera_table("top", seen, fps=fps), extra=f"{EVIDENCE}[preview]\n")
        self.daemon = Daemon(folder, text)
        state = folder / "state"
        store = RecipeStore(state / "recipes")
        top = CameraRecipe(bank="banks/top.safetensors", bank_sha256=read_bank(bank).sha256)
        store.add(RecipeDraft(id="parts", number=1, cameras={"top": top}, banks={top.bank: bank}, who="anna"))
        self.place = TeachPlace(
            state / "teach", state / "audit.jsonl", state / "evidence", store, lambda _: ()
        )
        self.daemon.ready()
        self.change(RecipeAction.PREPARE, 1)
        self.daemon.until(lambda: self.daemon.reader.event("recipe_prepared"), 120)
        self.change(RecipeAction.ACTIVATE, 1)
        adopt(self.place, bank, list(own), Person("engineer", "engineer", "test"), quiet)
        environment = {**os.environ, "STATE_DIRECTORY": str(state)}
        self.desk = DeskProcess(self.daemon.file, folder / "desk", environment)
        self.page = PageProcess(
            folder / "page", self.daemon.runtime_dir,
            server="connections_per_address = 100",  # who is logged in here has a browser of their own
            line=f'evidence_dir = "{self.place.evidence}"\nrecipes_dir = "{state / "recipes"}"\n'
            f'teach_socket = "{self.desk.socket}"\n',
        )  # fmt: skip

    def change(self, action: RecipeAction, version: int) -> None:
        """Ask the line to change recipes, until it is not busy."""
        request = RecipeRequest(f"{action}-{version}", action, "parts", version, "anna")
        for _ in range(300):
            answer = ask_recipe(f"ipc://{self.daemon.runtime_dir}/control.sock", request, timeout_seconds=30)
            if not isinstance(answer, RecipeRefusal):
                return
            assert answer.reason == "busy", answer
            self.daemon.reader.read(200)
        raise AssertionError("the line stays busy")

    def close(self) -> None:
        """End all of it."""
        self.page.close()
        self.desk.kill()
        self.daemon.close()

    # --- what it judged -------------------------------------------------------------------------------------

    def first_verdicts(self) -> dict[Path, Verdict]:
        """The first verdict by the recipe `parts` on each picture; waits until there is one on each.

        A picture that the line does not judge, unlike those of the bank as it is, has none.
        """
        found: dict[Path, Verdict] = {}
        unlike: set[Path] = set()

        def all_seen() -> bool:
            for verdict in self.daemon.reader.verdicts:
                if verdict.recipe == "parts" and verdict.source:
                    path = self.pictures[Path(verdict.source).name]
                    if verdict.score is not None:
                        found.setdefault(path, verdict)
                    elif verdict.reason.startswith("quality_"):
                        unlike.add(path)
            return len(found) + len(unlike) == len(self.pictures)

        self.daemon.until(all_seen, 600)
        return found

    # --- what persons do ------------------------------------------------------------------------------------

    def mark(self, glass: Glass, verdict: Verdict, why: str) -> str:
        """By touch on the part's page; the case."""
        button = (
            "This part was good"
            if verdict.evaluation is Evaluation.FAIL
            else "This part should have been caught"
        )
        path = f"/part/{verdict.epoch}/{verdict.seq}"
        end = time.monotonic() + 60
        while True:  # the history takes a moment
            glass.open(path)
            with contextlib.suppress(Exception):
                glass.tab.get_by_role("button", name=button).wait_for(timeout=5000)
                break
            assert time.monotonic() < end, glass.text("main")
        glass.tab.get_by_role("button", name=button).tap()
        _fill(glass, button, Reason=why)
        glass.sees(".taught", "waits for a second person")
        return f"{verdict.epoch}-{verdict.seq}"

    def answer(self, glass: Glass, case: str, button: str, **fields: str) -> None:
        """What a second person says on the page of teaching."""
        if "/teach" not in glass.tab.url:
            glass.open("/teach")
        card = glass.tab.locator(
            "article.case", has=glass.tab.locator(f'a[href="/part/{case.replace("-", "/")}"]')
        )
        card.get_by_role("button", name=button).tap()
        _fill(glass, button, **fields)
        card.wait_for(state="detached")

    def build(self, glass: Glass, *, seconds: float = 600) -> str:
        """Has a candidate built and tried; its sha256."""
        glass.open("/teach")
        glass.tab.get_by_role("button", name="Build a candidate").tap()
        _fill(glass, "Build a candidate")
        glass.sees(".job.running progress")
        end = time.monotonic() + seconds
        while (job := self.ask(JobAsked()))["state"] == "running":
            self.hurry()
            self.daemon.reader.read(100)
            assert time.monotonic() < end, job
        assert job["state"] == "done", job
        return str(job["candidate"])

    def sign(self, glass: Glass, candidate: str, button: str, **fields: str) -> None:
        """A signature under a candidate, with the password."""
        glass.open(f"/teach/{candidate}")
        glass.tab.get_by_role("button", name=button, exact=True).tap()
        _fill(glass, button, **{"Password": PASSWORD, **fields})

    def touch(self, glass: Glass, button: str, why: str) -> None:
        """Compare, put in force, or back; waits until the line has done it."""
        glass.tab.get_by_role("button", name=button).first.tap()
        dialog = glass.tab.get_by_role("dialog")
        dialog.get_by_label("Reason").fill(why)
        dialog.get_by_role("button", name=button).tap()
        end = time.monotonic() + 240
        while dialog.count():
            self.hurry()
            self.daemon.reader.read(200)
            assert time.monotonic() < end, dialog.inner_text()
            assert dialog.locator(".problem").count() == 0, dialog.inner_text()

    def ask(self, request: Any) -> Any:
        """What the desk answers to a look."""
        return ask_desk(str(self.desk.socket), request)[0].value

    def look(self) -> dict[str, Any]:
        """All cases and candidates."""
        found: dict[str, Any] = self.ask(LookAsked())
        return found

    def report(self, candidate: str) -> dict[str, Any]:
        """The report on a candidate."""
        found: dict[str, Any] = self.ask(ReportAsked(candidate))
        return found

    def hurry(self) -> None:
        """Have what comes behind everything else take part: on a busy host of tests it would never end."""
        for pid in (*_children(self.desk.process.pid), *self.daemon.children().values()):
            with contextlib.suppress(OSError):
                take_part(pid)


def _fill(glass: Glass, button: str, *, seconds: float = 30, **fields: str) -> None:
    """Fill in the dialog and do it; it closes when it is done."""
    dialog = glass.tab.get_by_role("dialog")
    for label, text in fields.items():
        dialog.get_by_label(label.replace("_", " ")).first.fill(text)
    dialog.get_by_role("button", name=button).tap()
    try:
        dialog.wait_for(state="detached", timeout=seconds * 1000)
    except Exception as error:
        raise AssertionError(dialog.inner_text()) from error


def _children(pid: int) -> list[int]:
    """Processes that a process started, by any of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found
