"""The journal's states and transitions.

Everything that decides which state comes next is in this file; what each state means for verdicts is in
`pending`, the events and alarms for people in `journal`. The picture is in DESIGN.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JournalState(StrEnum):
    """State of the journal towards its disk."""

    OPENING = "opening"
    """The file is being opened and the epoch may still be raised: nothing is written or published."""
    RECORDING = "recording"
    """A verdict is published when the group it is in is on the disk."""
    CATCHING_UP = "catching_up"
    """The disk was late. Verdicts are published at once, marked, until the disk has taken all of those."""
    FAILED = "failed"
    """As `CATCHING_UP`, with an alarm: the disk failed, and is tried again every second."""
    UNUSABLE = "unusable"
    """As `FAILED`, until the next start: the file is not this run's, so nothing can be added."""

    @property
    def is_late(self) -> bool:
        """Verdicts are published before they are recorded."""
        return self in {JournalState.CATCHING_UP, JournalState.FAILED, JournalState.UNUSABLE}

    @property
    def has_failed(self) -> bool:
        """An alarm holds."""
        return self in {JournalState.FAILED, JournalState.UNUSABLE}


class JournalEvent(StrEnum):
    """Input of a transition. One group is with the thread at a time: it alone can be late or lost."""

    OPENED = "opened"
    """The file is open, under the line's epoch."""
    NOT_OURS = "not_ours"
    """The file was opened too late to raise the line's epoch above those it holds, or is in place of the one
    that the line wrote to."""
    COMMITTED = "committed"
    """The group is on the disk."""
    CAUGHT_UP = "caught_up"
    """The group is on the disk, and with it everything that was published before it was recorded."""
    OVERDUE = "overdue"
    """The group has taken longer than `journal.max_wait_ms`."""
    SILENT = "silent"
    """The disk has not answered for so long that it counts as failed."""
    DISK_FAILED = "disk_failed"
    """The file cannot be opened, read or kept up."""
    GROUP_FAILED = "group_failed"
    """The group cannot be written."""
    SET_ASIDE = "set_aside"
    """The file was damaged and is another one now."""
    GROUP_SET_ASIDE = "group_set_aside"
    """The file was damaged and is another one now, which the group is not in."""


GROUP_LOST: Final = frozenset({JournalEvent.GROUP_FAILED, JournalEvent.GROUP_SET_ASIDE})
"""The group is not on the disk."""

FILE_IS_NEW: Final = frozenset({JournalEvent.SET_ASIDE, JournalEvent.GROUP_SET_ASIDE})
"""The records of the file before are not in the new one."""

TRANSITIONS: Final = {
    JournalState.OPENING: {
        JournalEvent.OPENED: JournalState.RECORDING,
        JournalEvent.SILENT: JournalState.FAILED,
        JournalEvent.DISK_FAILED: JournalState.FAILED,
        JournalEvent.SET_ASIDE: JournalState.OPENING,
    },
    JournalState.RECORDING: {
        JournalEvent.COMMITTED: JournalState.RECORDING,
        JournalEvent.OVERDUE: JournalState.CATCHING_UP,
        JournalEvent.SILENT: JournalState.FAILED,
        JournalEvent.DISK_FAILED: JournalState.FAILED,
        JournalEvent.GROUP_FAILED: JournalState.FAILED,
        JournalEvent.SET_ASIDE: JournalState.RECORDING,
        JournalEvent.GROUP_SET_ASIDE: JournalState.CATCHING_UP,
    },
    JournalState.CATCHING_UP: {
        JournalEvent.COMMITTED: JournalState.CATCHING_UP,
        JournalEvent.CAUGHT_UP: JournalState.RECORDING,
        JournalEvent.SILENT: JournalState.FAILED,
        JournalEvent.DISK_FAILED: JournalState.FAILED,
        JournalEvent.GROUP_FAILED: JournalState.FAILED,
        JournalEvent.SET_ASIDE: JournalState.CATCHING_UP,
        JournalEvent.GROUP_SET_ASIDE: JournalState.CATCHING_UP,
    },
    JournalState.FAILED: {
        JournalEvent.OPENED: JournalState.FAILED,
        JournalEvent.NOT_OURS: JournalState.UNUSABLE,
        JournalEvent.COMMITTED: JournalState.FAILED,
        JournalEvent.CAUGHT_UP: JournalState.RECORDING,
        JournalEvent.SILENT: JournalState.FAILED,
        JournalEvent.DISK_FAILED: JournalState.FAILED,
        JournalEvent.GROUP_FAILED: JournalState.FAILED,
        JournalEvent.SET_ASIDE: JournalState.FAILED,
        JournalEvent.GROUP_SET_ASIDE: JournalState.FAILED,
    },
    JournalState.UNUSABLE: {
        JournalEvent.SILENT: JournalState.UNUSABLE,
        JournalEvent.DISK_FAILED: JournalState.UNUSABLE,
        JournalEvent.GROUP_FAILED: JournalState.UNUSABLE,
        JournalEvent.SET_ASIDE: JournalState.UNUSABLE,
        JournalEvent.NOT_OURS: JournalState.UNUSABLE,
    },
}
"""The state after each event. A pair that is not here cannot occur."""


def state_after(state: JournalState, event: JournalEvent) -> JournalState:
    """The state that follows.

    Raises:
        RuntimeError: `event` cannot occur in `state`: a fault of this program.
    """
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise RuntimeError(f"the journal is {state}: {event} cannot occur")
    return following
