"""When a line ended, as its heartbeats show it."""

from __future__ import annotations

import msgspec
from support.messages import EPOCH, heartbeat

from inspectd.gateways.line_ends import LineEnds
from inspectd.wire import LineState


def test_each_end_and_each_start_of_a_line_is_found_once() -> None:
    ends = LineEnds()
    running = heartbeat(1)
    stopped = msgspec.structs.replace(running, state=LineState.STOPPED)
    again = msgspec.structs.replace(running, epoch=EPOCH + 1)
    told = [(None, None), (running, "line_restarted"), (stopped, "not_alive"), (again, "line_restarted")]
    for beat, problem in told:
        assert ends.found(beat) == problem
        assert ends.found(beat) is None, "what is asked for from now on is asked of the next start"
    gone = msgspec.structs.replace(again, epoch=EPOCH + 2, state=LineState.STOPPED)
    assert ends.found(gone) == "line_restarted"
    assert ends.found(gone) is None
