"""A plant for tests: triggers sent to a real daemon, and what it published for each of them."""

from __future__ import annotations

import time

from support.daemon import Daemon

from inspectd.client import (
    Accepted,
    PartVerdict,
    Refusal,
    TriggerAnswer,
    TriggerRequest,
    TriggerSender,
    Verdict,
)


class Plant:
    """Sends triggers to a daemon and keeps the answers."""

    def __init__(self, daemon: Daemon) -> None:
        """Connect to the daemon's control socket."""
        self.daemon = daemon
        self.sender = TriggerSender(f"ipc://{daemon.runtime_dir}/control.sock")
        self.answers: dict[str, TriggerAnswer | None] = {}

    def trigger(self, trigger_id: object, **more: object) -> TriggerAnswer | None:
        """Send one trigger and wait for its answer, while the bus is read.

        A busy machine may not know that it came after a change of recipes: it is sent again then.
        """
        request = TriggerRequest(str(trigger_id), part_id=f"part-{trigger_id}", **more)  # type: ignore[arg-type]
        answer = self.sender.send(request, timeout_seconds=5)
        until = time.monotonic() + 5
        while isinstance(answer, Refusal) and "may have come before" in answer.detail:
            assert time.monotonic() < until, answer
            answer = self.sender.send(request, timeout_seconds=5)
        self.answers[str(trigger_id)] = answer
        self.daemon.reader.read(0)
        return answer

    def accepted(self) -> list[str]:
        """Ids of the triggers that were taken."""
        return [name for name, answer in self.answers.items() if isinstance(answer, Accepted)]

    def part(self, trigger_id: object, timeout_seconds: float = 10.0) -> PartVerdict:
        """Wait for a part's verdict."""
        name = str(trigger_id)
        self.daemon.until(lambda: name in self.parts(), timeout_seconds)
        return self.parts()[name]

    def parts(self) -> dict[str, PartVerdict]:
        """The verdict of every part so far, by trigger id; the last one where an id was used again."""
        return {part.trigger_id: part for part in self.daemon.reader.parts}

    def views(self, trigger_id: object) -> list[Verdict]:
        """The verdicts of a part's views."""
        return [v for v in self.daemon.reader.verdicts if v.trigger_id == str(trigger_id)]

    def close(self) -> None:
        """Disconnect."""
        self.sender.close()
