"""A line that a test plays for a gateway, over real sockets: it answers when the test wants it to."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq
from support.messages import COUNTS, EPOCH, heartbeat
from support.plant_side import part

from inspectd import wire
from inspectd.wire import (
    Accepted,
    LineState,
    PartVerdict,
    RecipeAck,
    RecipeAction,
    RecipeState,
    Refusal,
    RefusalReason,
    sync,
)

SHA256 = "ab" * 32


class PlayedLine:
    """The line test/line, which takes every trigger and passes every part.

    Args:
        runtime_dir: of its sockets.

    Attributes:
        answer_seconds: until a trigger is answered.
        verdict_seconds: from that to the verdict, which says that it was in time.
        recipe_seconds: until a recipe is in force.
        journal_seconds: until a question to the journal is answered.
        cameras: their phases.
        state: of its life; the heartbeat of its end is the last.
        in_force: the recipe's id and version; `file`: the file's.
        epoch: of its start.
        loads_for_ever: a recipe that is to be prepared never is.
        loading: the recipe that it says to load; empty: none.
        next_in_force: somebody puts this one in force just before the next trigger; None: nobody does.
        triggers: ids of the triggers that came.
        orders: requests for recipes that came: so many.
        passed_by: triggers that it had to refuse, as they named no camera: so many.
        questions: to the journal, so many.
    """

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.epoch, self._has_ended = EPOCH, False
        self.reset()
        self._recorded: list[PartVerdict] = []
        self._due: list[tuple[float, int, Callable[[], Any]]] = []
        self._numbers = itertools.count()
        self._context, self._ends = zmq.Context(), threading.Event()
        self._sockets = {
            name: self._context.socket(kind)
            for name, kind in (("verdicts", zmq.PUB), ("sync", zmq.ROUTER), ("control", zmq.ROUTER))
        }
        for name, each in self._sockets.items():
            each.bind(f"ipc://{runtime_dir}/{name}.sock")
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def reset(self) -> None:
        """All is quick, and by the first recipe."""
        self.answer_seconds = self.verdict_seconds = self.recipe_seconds = self.journal_seconds = 0.0
        self.cameras = {"top": "up"}
        self.state = LineState.RUNNING
        self.triggers: list[str] = []
        self.passed_by = self.orders = 0
        self.questions = 0
        self.loads_for_ever, self.loading = False, ""
        self.in_force = "cells@1"
        self.next_in_force: str | None = None

    def stop(self) -> None:
        """It is gone."""
        self._ends.set()
        self._thread.join()
        self._context.destroy(linger=0)

    def _after(self, seconds: float, what: Callable[[], Any]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), what))

    def _play(self) -> None:
        self._after(0, self._beat)
        while not self._ends.is_set():
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()
            for name, take in (("sync", self._asked), ("control", self._ordered)):
                while self._sockets[name].poll(2):
                    who, body = self._sockets[name].recv_multipart()
                    take(who, msgspec.json.decode(body))

    def _publish(self, kind: bytes, message: Any) -> None:
        self._sockets["verdicts"].send_multipart([b"i1/test/line/-/" + kind + b"/", wire.encode(message)])

    def _beat(self) -> None:
        if self.state is LineState.STOPPED:
            if self._has_ended:
                self._after(0.1, self._beat)
                return
            end = wire.Event("test", "line", self.epoch, time.time_ns(), "info", "stopped", None, "", COUNTS)
            self._publish(b"ev", end)
        beat = heartbeat(len(self._recorded) + 1, epoch=self.epoch, interval_ms=1000.0)
        self._publish(b"hb", msgspec.structs.replace(
            beat, plant="test", line="line", utc_ns=time.time_ns(), cameras=dict(self.cameras),
            state=self.state,
        ))  # fmt: skip
        self._has_ended = self.state is LineState.STOPPED
        self._after(0.1, self._beat)

    def _asked(self, who: bytes, asked: dict[str, Any]) -> None:
        answer = [who]
        if asked["schema"] == "status_request/1":
            answer.append(wire.encode(self._status(asked["request"])))
            self._sockets["sync"].send_multipart(answer)
            return
        self.questions += 1
        newest = {"epoch": self.epoch, "seq": len(self._recorded) + 1}
        first, last = asked.get("from") or {"seq": 0}, asked.get("to") or newest
        found = [each for each in self._recorded if first["seq"] <= each.seq <= last["seq"]]
        parts = [(b"i1/test/line/-/v/", wire.encode(each)) for each in found]
        verdicts = wire.encode(sync.Verdicts(asked["request"], len(found)))
        end = wire.encode(sync.End(asked["request"], sync.Position(**last), True, 0))

        def tell() -> None:
            self._sockets["sync"].send_multipart([who, verdicts, *itertools.chain(*parts)])
            self._sockets["sync"].send_multipart([who, end])

        self._after(self.journal_seconds, tell)

    def _status(self, request: str) -> sync.LineStatus:
        return sync.LineStatus(
            request=request, plant="test", line="line", epoch=self.epoch, software="0", started_utc_ns=0,
            utc_ns=0, state="running", health="good", conditions=[], counts=COUNTS, cameras=[], recipes=[],
            device="cpu", waiting=0, with_scoring=0, journal="recording", journal_bytes=None,
            disk_free_bytes=None, evidence_bytes=None, evidence_quota_bytes=0, connections={},
            in_force=self.in_force, loading=self.loading,
            prepared=["cells@1"] if self.loads_for_ever else ["cells@1", "glass@3"],
        )  # fmt: skip

    def _ordered(self, who: bytes, order: dict[str, Any]) -> None:
        if order.get("cameras") == []:
            self.passed_by += 1
            refusal = Refusal(None, RefusalReason.MALFORMED, "")
            self._sockets["control"].send_multipart([who, wire.encode(refusal)])
            return
        if "trigger_id" in order:
            self.triggers.append(order["trigger_id"])
            self.in_force, self.next_in_force = self.next_in_force or self.in_force, None
            recipe, _, version = self.in_force.partition("@")
            answer: Any = Accepted(
                order["trigger_id"], self.epoch, time.time_ns(), 500.0, ["top"], recipe,
                int(version) if version else None,
            )  # fmt: skip
            self._after(self.answer_seconds, lambda: self._taken(who, answer))
            return

        self.orders += 1

        def in_force() -> None:
            action, state = RecipeAction(order["action"]), RecipeState.LOADING
            if self.loads_for_ever:
                self.loading = "glass@3"
            else:
                self.in_force, state = "glass@3", RecipeState.ACTIVE
            done = RecipeAck(order["request"], action, state, "glass", 3, 7, SHA256)
            self._sockets["control"].send_multipart([who, wire.encode(done)])

        self._after(self.recipe_seconds, in_force)

    def _taken(self, who: bytes, answer: Accepted) -> None:
        self._sockets["control"].send_multipart([who, wire.encode(answer)])
        self._after(self.verdict_seconds, lambda: self._judged(answer))

    def _judged(self, answer: Accepted) -> None:
        made = part(answer, plant="test", line="line", seq=len(self._recorded) + 2)
        self._recorded.append(made)
        self._publish(b"v", made)
