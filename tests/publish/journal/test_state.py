"""The journal's table of states, by itself: every state with every event."""

from __future__ import annotations

import itertools

import pytest

from inspectd.publish.journal.state import TRANSITIONS, JournalEvent, JournalState, state_after

OPENING, UNUSABLE = JournalState.OPENING, JournalState.UNUSABLE
ARROWS = [(state, event, after) for state, row in TRANSITIONS.items() for event, after in row.items()]
FAILURES = {
    JournalEvent.SILENT,
    JournalEvent.DISK_FAILED,
    JournalEvent.GROUP_FAILED,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(JournalState, JournalEvent)))
def test_an_event_leads_to_a_state_or_is_refused_by_name(state, event):
    if event in TRANSITIONS[state]:
        assert state_after(state, event) in JournalState
    else:
        with pytest.raises(RuntimeError, match=f"the journal is {state}: {event} cannot occur"):
            state_after(state, event)


def test_every_state_is_reached_and_every_event_used():
    reached = {OPENING}
    while more := {after for state, _, after in ARROWS if state in reached} - reached:
        reached |= more
    assert reached == set(JournalState)
    assert {event for _, event, _ in ARROWS} == set(JournalEvent)


def test_the_epoch_is_settled_once_and_an_unusable_file_is_left_for_the_next_start():
    assert {state for state, _, after in ARROWS if after is OPENING} == {OPENING}
    assert {after for state, _, after in ARROWS if state is UNUSABLE} == {UNUSABLE}


def test_recording_goes_on_only_when_nothing_is_owed():
    begins = {(state.is_late, event) for state, event, after in ARROWS if after is JournalState.RECORDING}
    assert {event for is_late, event in begins if is_late} == {JournalEvent.CAUGHT_UP}


def test_an_alarm_begins_with_every_failure_and_with_nothing_else():
    begins = {event for state, event, after in ARROWS if after.has_failed and not state.has_failed}
    assert begins == FAILURES
    assert all(after.has_failed for _, event, after in ARROWS if event in FAILURES)
