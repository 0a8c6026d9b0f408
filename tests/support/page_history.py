"""A history filled with verdicts as a line would publish them, and its routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient
from support.messages import EPOCH, verdict

from inspectd.client import Cursor, Item, Lost, Position, Verdict
from inspectd.page.answers import ApiError
from inspectd.page.history.asking import HistoryQuestions
from inspectd.page.history.routes import routes
from inspectd.page.history.schema import FILE
from inspectd.page.history.store import Batch, HistoryStore

START_MS = 1_763_924_400_000
OF_LINE = "demo", "line1"


def made(seq: int, at_ms: int, **changes: Any) -> Verdict:
    """A verdict decided at that time."""
    times = {"decided_utc_ns": at_ms * 1_000_000, "captured_utc_ns": at_ms * 1_000_000 - 30_000_000}
    return msgspec.structs.replace(verdict(seq), **{**times, **changes})


def cursor(seq: int, epoch: int = EPOCH) -> Cursor:
    """Where a reader goes on after that verdict."""
    return Cursor(*OF_LINE, Position(epoch, seq))


class Filled:
    """A history in a folder, and its routes for one who may do what is in `acts`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.path = folder / FILE
        self.store = HistoryStore(self.path)
        self.damage = 0
        self.acts = {"view", "export", "explain"}
        self.recorded: list[tuple[str, str]] = []
        self.questions = HistoryQuestions(self.path, OF_LINE, self._damaged, seconds=5.0)

    def write(self, items: Sequence[Item], **more: Any) -> None:
        """Write verdicts, and the cursor after the last."""
        last = items[-1] if items else None
        place = self.store.cursor
        if last is not None and not isinstance(last, Lost):
            place = cursor(last.seq, last.epoch)
        self.store.write(Batch(list(items), place, **more))

    def ask(self, question: Callable[..., Any]) -> Any:
        """The answer to a question."""
        return asyncio.run(self.questions.ask(question))

    def client(self, zone: str = "UTC", **options: Any) -> TestClient:
        """A browser at the routes."""
        app = Starlette(
            routes=routes(self.questions, self._allow, self._record, ZoneInfo(zone), **options),
            exception_handlers={ApiError: lambda _, error: error.answer()},
        )
        return TestClient(app)

    def close(self) -> None:
        """End."""
        self.questions.close()
        self.store.close()

    async def _allow(self, request: Request, act: str) -> str:
        if act not in self.acts:
            raise ApiError(403, "role", "The role viewer may not do this.")
        return "kim"

    async def _record(self, account: Any, act: str, about: str) -> None:
        self.recorded.append((act, about))

    def _damaged(self) -> None:
        self.damage += 1
