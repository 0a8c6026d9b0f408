"""Every fault, declared: what is done, how often, and what must hold."""

from __future__ import annotations

from typing import Final

from faults import (
    clock,
    damage,
    garbage,
    kill_children,
    kill_daemon,
    netns,
    readers,
    soak,
    starve,
    state,
    strangers,
)
from faults.fault import Fault

PARTS_HOLD: Final = "no wrong pass; every trigger answered; a heartbeat each second; bounded memory"

FAULTS: Final = (
    Fault(
        "daemon-killed",
        "the daemon is killed (SIGKILL) at random moments, serving or starting",
        "no committed verdict lost, none given twice, no wrong pass; ready again in 6 s",
        full=200,
        short=2,
        run=kill_daemon.run,
    ),
    Fault(
        "scoring-struck",
        "the scoring process is killed or stopped (SIGKILL, SIGSTOP) at random moments",
        "no wrong pass; every trigger answered; undecidable at most 100 ms after the deadline",
        full=200,
        short=2,
        run=kill_children.run_scoring,
    ),
    Fault(
        "capture-struck",
        "a capture process is killed or stopped at random moments",
        "no wrong pass; every trigger answered; undecidable at most 100 ms after the deadline",
        full=200,
        short=2,
        run=kill_children.run_capture,
    ),
    Fault(
        "reader-stopped",
        "a reader is stopped for 10 s",
        "it gets every verdict once, in order; the others' p99 grows by less than 10 %; bounded memory",
        full=12,
        short=1,
        run=readers.run_stopped,
    ),
    Fault(
        "reader-killed",
        "a reader is killed at random moments and goes on from its cursor",
        "it gets every verdict once, in order",
        full=100,
        short=3,
        run=readers.run_killed,
    ),
    Fault(
        "link-cut",
        "a remote reader's network link is cut for 1 to 60 s",
        "it gets every verdict once, in order; the others' p99 grows by less than 10 %; bounded memory",
        full=16,
        short=1,
        run=readers.run_cut,
        needs=netns.missing,
    ),
    Fault(
        "state-full",
        "the file system of the state directory is full for some seconds",
        "an alarm within 10 s; every trigger answered on time; the journal records again",
        full=20,
        short=1,
        run=state.run_full,
        needs=state.missing,
    ),
    Fault(
        "state-read-only",
        "the disk of the state directory fails and turns read-only",
        "an alarm within 10 s; every trigger answered on time",
        full=10,
        short=1,
        run=state.run_read_only,
        needs=state.missing_loop,
    ),
    Fault(
        "journal-damaged",
        "a file of the journal is cut, or one bit of it flipped, at a random place",
        "the line starts; what is replayed is what was published; a loss is said or an alarm raised",
        full=100,
        short=2,
        run=damage.run,
    ),
    Fault(
        "malformed",
        "malformed messages to every socket: random, truncated, oversized, of wrong types, raw TCP",
        "no crash, no growth, counted; no wrong pass; every trigger answered",
        full=1_000_000,
        short=10_000,
        run=garbage.run,
    ),
    Fault(
        "strangers",
        "clients without a key, with an unknown, revoked or wrong one, also with the authenticator stopped",
        "they are sent nothing beyond the hand-shake",
        full=10,
        short=1,
        run=strangers.run,
    ),
    Fault(
        "clock-stepped",
        "the wall clock is set an hour forward or back, now and then with a restart behind it",
        "order, deadlines and staleness unmoved; no wrong pass",
        full=24,
        short=2,
        run=clock.run,
        needs=clock.missing,
    ),
    Fault(
        "reader-starved",
        "the processes that read a live camera, triggered and free, get 5, 20 or 50 % of a processor",
        PARTS_HOLD,
        full=2000,
        short=30,
        run=starve.run_starved,
    ),
    Fault(
        "reader-stalled",
        "the processes that read a live camera, triggered and free, are stopped for 50 ms to 5 s",
        PARTS_HOLD,
        full=2000,
        short=30,
        run=starve.run_stalled,
    ),
    Fault(
        "soak",
        "minutes of half the load that the line can take",
        "memory of no process grows by 1 MiB an hour after warm-up; descriptors flat",
        full=30,
        short=0,
        run=soak.run,
    ),
)
"""In the order of the table; `short` 0 leaves a fault out of the short form."""
