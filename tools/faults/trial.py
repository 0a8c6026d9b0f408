"""So many parts under a fault, and what must hold of each of them whatever the fault was."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Self

from faults import audit, processes
from faults.audit import Evidence
from faults.fault import Context, Outcome, percentiles
from faults.kill_daemon import check_record
from faults.rig import Rig

GAP_SECONDS: Final = 1.0
OTHERS_MIB: Final = 640
"""Most memory of a process beside the main one: one that clients reach has 512 MiB for what they send."""

UNDISTURBED_PARTS: Final = 6
"""The first ones, so that some pass and some fail in the shortest run."""

_TURN_SECONDS: Final = 0.02


class Trial:
    """Goes on until the rig's belt has brought all its parts.

    Args:
        context: of the fault.
        outcome: where everything goes.
        rig: the line, entered, whose belt has a limit.
        main_mib: what the main process may take at most.
    """

    def __init__(self, context: Context, outcome: Outcome, rig: Rig, *, main_mib: float) -> None:
        self._context = context
        self._outcome = outcome
        self._rig = rig
        self._main_mib = main_mib
        self._counted = 0
        self._memory = Peak(lambda: [rig.line.pid])
        self._others = Peak(lambda: processes.offspring(rig.line.pid))
        self._began_ns = time.monotonic_ns()

    def __enter__(self) -> Self:
        self._memory.start()
        self._others.start()
        self.wait(UNDISTURBED_PARTS * self._rig.pace.pitch_seconds)
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.stop()
        self._others.stop()

    @property
    def lasts(self) -> bool:
        """There are parts to come."""
        return self._rig.belt.is_moving

    def wait(self, seconds: float) -> None:
        """Let parts pass for so long; shorter when the last one has."""
        end = time.monotonic() + seconds
        while self.lasts and time.monotonic() < end:
            time.sleep(min(_TURN_SECONDS, max(0.0, end - time.monotonic())))
            self._count()

    def finish(self) -> Evidence:
        """Wait for the last part, end the line, and check."""
        while self.lasts:
            self.wait(1.0)
        self._count()
        until_ns = time.monotonic_ns()
        silent = audit.silent(self._rig.line.listener.heartbeats_ns[:], (self._began_ns, until_ns))
        self._memory.stop()
        self._others.stop()
        evidence = self._rig.settle(self._outcome)
        outcome, total = self._outcome, self._outcome.totals
        check_record(outcome, evidence, self._rig.lost)
        total["good failed"] += outcome.demand(audit.misjudged(evidence))
        total["unanswered"] += outcome.demand(audit.unanswered(evidence, [(self._began_ns, until_ns)]))
        outcome.demand(audit.idle(evidence, least_opened=1))
        outcome.require(silent <= GAP_SECONDS, f"no heartbeat for {silent:.2f} s")
        outcome.require(
            self._memory.mib < self._main_mib, f"the main process took {self._memory.mib:.0f} MiB"
        )
        outcome.require(
            self._others.mib < OTHERS_MIB, f"a process beside the main one took {self._others.mib:.0f} MiB"
        )
        opened = {opening.trigger_id for opening in evidence.openings if opening.opened}
        total["bad passed"] += sum(not evidence.parts[name].good for name in opened)
        total["silent ms"] = max(total["silent ms"], round(silent * 1000))
        total["MiB"] = max(total["MiB"], round(self._memory.mib))
        total["others MiB"] = max(total["others MiB"], round(self._others.mib))
        for answer in answers(evidence).values():
            total[f"answer {answer}"] += 1
        self._show(evidence)
        return evidence

    def _show(self, evidence: Evidence) -> None:
        total, figures = self._outcome.totals, self._outcome.figures
        said = {key.removeprefix("answer "): n for key, n in total.items() if key.startswith("answer ")}
        figures["answers"] = shares(Counter(said))
        figures["bad parts that passed"] = str(total["bad passed"])
        figures["good parts that failed"] = str(total["good failed"])
        figures["triggers without an answer"] = str(total["unanswered"])
        late = [ns / 1e6 for ns in audit.lateness_ns(evidence)]
        figures["undecidable after the deadline"] = percentiles(late, "ms")
        figures["longest time without a heartbeat"] = f"{total['silent ms']} ms"
        figures["most memory of the main process"] = f"{total['MiB']} MiB, bound {self._main_mib:.0f} MiB"
        figures["of any other"] = f"{total['others MiB']} MiB, bound {OTHERS_MIB} MiB"

    def _count(self) -> None:
        for _ in range(len(self._rig.belt.parts) - self._counted):
            self._counted += 1
            self._outcome.injected += 1
            self._context.advance()


class Peak:
    """The most memory that any one of some processes was seen to have.

    Args:
        pids: which ones, now; those that are gone by then are passed over.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self.mib = 0.0
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_TURN_SECONDS):
            for pid in filter(processes.is_running, self._pids()):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    self.mib = max(self.mib, processes.rss_bytes(pid) / 2**20)


def answers(evidence: Evidence) -> dict[str, str]:
    """Outcome of each part's trigger, in a word: by trigger id."""
    said = {
        heard.header["trigger_id"]: heard.header for heard in evidence.heard if audit.is_part(heard.header)
    }
    return {name: _answer(part, said.get(name)) for name, part in evidence.parts.items()}


def _answer(part: audit.Part, verdict: audit.Header | None) -> str:
    if part.answer is None:
        return "none"
    if not part.accepted:
        return f"refused: {part.answer['reason']}"
    if verdict is None:
        return "no verdict"
    if verdict["evaluation"] == "undecidable":
        return f"undecidable: {verdict['reason']}"
    return str(verdict["evaluation"])


def show_pictures(outcome: Outcome, evidence: Evidence, exposed_ns: Mapping[str, int]) -> None:
    """Count what was on the pictures with which a live camera's parts passed.

    Args:
        outcome: takes the figures.
        evidence: of a run.
        exposed_ns: when the camera took each picture, by SHA-256.
    """
    for heard in evidence.heard:
        header = heard.header
        part = evidence.parts.get(header["trigger_id"])
        if audit.is_part(header) or part is None or header["evaluation"] != "pass":
            continue
        sha256 = header["frame_sha256"]
        own, known = sha256 in part.sha256[header["camera"]], sha256 in exposed_ns
        of = "of the part" if own else "of another part" if known else "that the camera never took"
        outcome.totals[f"picture {of}"] += 1
    total = {
        key.removeprefix("picture "): n for key, n in outcome.totals.items() if key.startswith("picture ")
    }
    outcome.figures["passed on a picture"] = shares(Counter(total))


def shares(answered: Counter[str]) -> str:
    """Counted answers, as the page shows them."""
    return ", ".join(f"{answer} {count:,}" for answer, count in sorted(answered.items()))
