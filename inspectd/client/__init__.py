"""What an integrator imports to read a line's verdicts; `docs/wire.md` is the contract it implements.

    with VerdictReader("ipc:///run/inspectd/line1/verdicts.sock", cursor=Path("gate.cursor")) as reader:
        while True:
            item = reader.receive(timeout_seconds=0.2)
            if isinstance(item, PartVerdict):  # of a triggered line
                gate.verdict(item)  # the `Gate` of `tools/gate_simulator.py`
            if item is not None:
                reader.commit()

A part without a matching `pass` in time is rejected, by whoever holds the gate: one whose `trigger_id`,
`epoch` and `triggered_utc_ns` are those of its trigger's acknowledgement. Old verdicts are given again, and a
trigger id alone may be that of an earlier part (`docs/triggers.md`, section 1).

These readers say what they heard, what is lost and whether the line is still alive, and never guess a
verdict. pyzmq and msgspec are all they need.
"""

from inspectd.client.aio import AsyncVerdictReader
from inspectd.client.cursor import Cursor
from inspectd.client.decode import MAX_MESSAGE_BYTES, Heatmap, Message
from inspectd.client.joiner import Item, LossReason, Lost
from inspectd.client.live import Reader
from inspectd.client.sockets import ClientKeys
from inspectd.client.tracker import MISSED_HEARTBEATS, LineTracker, Liveness
from inspectd.client.verdicts import VerdictReader
from inspectd.wire.sync import Position

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MISSED_HEARTBEATS",
    "AsyncVerdictReader",
    "ClientKeys",
    "Cursor",
    "Heatmap",
    "Item",
    "LineTracker",
    "Liveness",
    "LossReason",
    "Lost",
    "Message",
    "Position",
    "Reader",
    "VerdictReader",
]
