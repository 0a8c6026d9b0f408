"""What a line is like now, as values of metrics. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from inspectd import __version__
from inspectd.client import Heartbeat, Liveness, Lost, Position
from inspectd.gateways.sparkplug.names import NODE, PART, PARTS, camera_device
from inspectd.gateways.sparkplug.parts import PartRow
from inspectd.gateways.sparkplug.payload import Value

_LOSSES_KEPT: Final = 1000
_UP: Final = "up"
_NO_PART: Final[Mapping[str, Value]] = dict.fromkeys(told.name for told in PART)


class LinePicture:
    """The last that is known of a line; it outlives sessions with the broker.

    Attributes:
        node: values of the node's metrics.
        last_part: the last part of the line's present epoch that was told as it was judged; None before the
            first.
        cameras: phases by device, of the cameras that are up.
        is_alive: its heartbeats come.
    """

    def __init__(self) -> None:
        self.node: dict[str, Value] = dict.fromkeys(told.name for told in NODE)
        self.node |= {
            "Properties/Software": f"inspectd {__version__}",
            "Line/Liveness": str(Liveness.WAITING),
            "Lost/Verdicts": 0,
            "Lost/Spans": 0,
        }
        self.last_part: PartRow | None = None
        self.cameras: dict[str, str] = {}
        self.is_alive = False
        self._losses: OrderedDict[Position, Lost] = OrderedDict()
        """By where they begin."""

    @property
    def devices(self) -> set[str]:
        """Ids of the devices that live: what does not, is stale in every host application."""
        return {PARTS, *self.cameras} if self.is_alive else set()

    def forget(self) -> None:
        """A new reader begins: whether the line is alive is not known until it says so."""
        self.is_alive = False
        self.node["Line/Liveness"] = str(Liveness.WAITING)

    def see(self, heartbeat: Heartbeat | None, liveness: Liveness) -> None:
        """Take in what a reader of the line knows."""
        self.is_alive = liveness is Liveness.ALIVE
        self.node["Line/Liveness"] = str(liveness)
        if heartbeat is None:
            return
        self.cameras = {
            camera_device(name): phase for name, phase in heartbeat.cameras.items() if phase == _UP
        }
        if self.last_part is not None and self.last_part.values["Epoch"] != heartbeat.epoch:
            self.last_part = None  # of a run that is over: it says nothing of this one
        counts = heartbeat.counts
        self.node |= {
            "Properties/Line": f"{heartbeat.plant}/{heartbeat.line}",
            "Line/State": heartbeat.state,
            "Line/Health": heartbeat.health or None,
            "Line/Conditions": "; ".join(
                f"{each.condition} {each.camera}" if each.camera else each.condition
                for each in heartbeat.conditions
            ),
            "Line/Journal": heartbeat.journal,
            "Line/Epoch": heartbeat.epoch,
            "Line/LastSeq": heartbeat.last_seq,
            "Line/Heartbeat": heartbeat.utc_ns // 1_000_000,
            "Counts/Captured": counts.captured,
            "Counts/Verdicts": counts.verdicts,
            "Counts/Drops": counts.drops,
            "Counts/Missed": counts.missed,
            "Counts/Triggers": counts.triggers,
            "Counts/Parts": counts.parts,
        }

    def lost(self, loss: Lost) -> int:
        """Take in that verdicts cannot be had any more: a host must be able to see that.

        How many more that are, at the least: whoever goes back to the cursor meets a loss again, which may
        have grown meanwhile.
        """
        known = self._losses.get(loss.after)
        if known == loss:
            return 0
        self._losses[loss.after] = loss
        if len(self._losses) > _LOSSES_KEPT:
            self._losses.popitem(last=False)
        more = (loss.count or 0) - ((known.count or 0) if known is not None else 0)
        verdicts, spans = self.node["Lost/Verdicts"], self.node["Lost/Spans"]
        assert isinstance(verdicts, int)
        assert isinstance(spans, int)
        number = "an unknown number" if loss.count is None else str(loss.count)
        self.node |= {
            "Lost/Verdicts": verdicts + max(0, more),
            "Lost/Spans": spans + (known is None),
            "Lost/Last": f"{number} between {loss.after} and {loss.before}: {loss.reason}",
        }
        return max(1, more)

    def values_of(self, device: str | None) -> Mapping[str, Value]:
        """The values of a device's metrics; None: of the node."""
        if device is None:
            return self.node
        if device != PARTS:
            return {"Phase": self.cameras.get(device)}
        return _NO_PART if self.last_part is None else self.last_part.values

    def dated_ms(self, device: str | None, now_ms: int) -> int:
        """Since when the values of a device are so: those of a part since it was judged."""
        if device != PARTS or self.last_part is None:
            return now_ms
        return self.last_part.decided_utc_ns // 1_000_000
