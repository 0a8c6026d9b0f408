"""The daemon is killed at random moments, while it serves and while it starts."""

from __future__ import annotations

import time
from typing import Final

from faults import audit
from faults.fault import Context, Outcome, percentiles
from faults.rig import DEADLINE_MS, Rig

READY_SECONDS: Final = 6.0
_SHARE_IN_START: Final = 0.2
_LONGEST_START_SECONDS: Final = 3.0
_LONGEST_SERVE_SECONDS: Final = 1.5
_ANSWER_NS: Final = int((DEADLINE_MS + 400) * 1e6)
"""A part triggered so long before the kill had time to get its verdict."""


def run(context: Context) -> Outcome:
    """Kill, start, kill; the belt, the gate and the reader go on through all of it."""
    outcome = Outcome()
    ready: list[float] = []
    up: list[tuple[int, int]] = []
    with Rig(context.folder, context.bank, context.random.randrange(10**6)) as rig:
        ready_ns = time.monotonic_ns()
        for _ in range(context.count):
            if context.random.random() < _SHARE_IN_START:
                time.sleep(context.random.uniform(0, _LONGEST_START_SECONDS))
            else:
                if ready_ns < rig.line.launched_ns:
                    ready.append(rig.line.wait_ready())
                    ready_ns = time.monotonic_ns()
                time.sleep(context.random.uniform(0, _LONGEST_SERVE_SECONDS))
                up.append((ready_ns, time.monotonic_ns() - _ANSWER_NS))
            rig.line.restart()
            outcome.injected += 1
            context.advance()
        ready.append(rig.line.wait_ready())
        time.sleep(1)
        evidence = rig.settle(outcome)
    check_record(outcome, evidence, rig.lost)
    outcome.demand(audit.unanswered(evidence, up))
    outcome.demand(audit.idle(evidence, least_opened=max(1, context.count // 4)))
    outcome.demand(f"ready after {seconds:.1f} s" for seconds in ready if seconds > READY_SECONDS)
    restarted = [v for v in evidence.committed.values() if audit.is_part(v) and v["reason"] == "restarted"]
    outcome.figures["parts that a killed daemon owed"] = f"{len(restarted)}, all undecidable after the start"
    outcome.figures["ready again"] = percentiles(ready, "s", 2)
    return outcome


def check_record(outcome: Outcome, evidence: audit.Evidence, lost: list[str]) -> None:
    """Check what must hold of journal, reader and gate after any fault."""
    wrong = outcome.demand([*audit.wrong_passes(evidence), *audit.wrong_frames(evidence.heard)])
    outcome.demand(lost)
    gone = outcome.demand(audit.lost(evidence.committed, evidence.delivered))
    outcome.demand(audit.uncommitted(evidence.committed, said_to_be_journaled(evidence)))
    again = outcome.demand(audit.duplicates(evidence.delivered))
    outcome.demand(audit.out_of_order(evidence.delivered))
    outcome.demand(audit.conflicting(evidence.heard, evidence.committed))
    outcome.demand(audit.owed(evidence))
    parts = evidence.parts.values()
    total = outcome.totals
    total["triggered"] += len(parts)
    total["accepted"] += sum(part.accepted for part in parts)
    total["refused"] += sum(part.answer is not None and not part.accepted for part in parts)
    total["opened"] += sum(opening.opened for opening in evidence.openings)
    total["wrong"] += wrong
    total["committed"] += len(evidence.committed)
    total["lost"] += gone
    total["twice"] += again
    outcome.figures["parts"] = (
        f"{total['triggered']:,} triggered, {total['accepted']:,} accepted, {total['refused']:,} refused; "
        f"{total['opened']:,} passed the gate, {total['wrong']} wrongly"
    )
    outcome.figures["verdicts"] = (
        f"{total['committed']:,} committed, {total['lost']} lost, {total['twice']} given twice"
    )


def said_to_be_journaled(evidence: audit.Evidence) -> list[audit.Name]:
    """Names of what was published with the word that it is in the journal."""
    return [audit.name_of(heard.header) for heard in evidence.heard if heard.header["journaled"]]
