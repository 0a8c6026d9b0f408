"""A Sparkplug host application for tests, on Eclipse Tahu's decoder: judges every message of an edge node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tahutils.tahu import sparkplug_b_pb2

TYPES = {3: "int_value", 4: "long_value", 10: "double_value", 11: "boolean_value", 12: "string_value",
         13: "long_value"}  # fmt: skip


def decode(payload: bytes) -> Any:
    """A payload, by protobuf's own decoder."""
    decoded = sparkplug_b_pb2.Payload()
    decoded.ParseFromString(payload)
    return decoded


def value(metric: Any) -> Any:
    """The value of a metric, which must be in the field of its data type."""
    if metric.is_null:
        assert metric.WhichOneof("value") is None
        return None
    assert metric.WhichOneof("value") == TYPES[metric.datatype]
    got = getattr(metric, TYPES[metric.datatype])
    return got - 2**64 if metric.datatype == 4 and got >= 2**63 else got


def command(name: str = "Node Control/Rebirth", *, asked: bool = True) -> bytes:
    """A command with one Boolean."""
    payload = sparkplug_b_pb2.Payload()
    metric = payload.metrics.add()
    metric.name, metric.datatype, metric.boolean_value = name, 11, asked
    return payload.SerializeToString()


@dataclass
class HostView:
    """What a host knows of one edge node. Asserts that each message is by the rules."""

    counts: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    """Each birth and death, such as `NBIRTH 3` and `DDEATH parts`."""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Values of each part, with `historical`."""
    values: dict[str | None, dict[str, Any]] = field(default_factory=dict)
    """Present values by device; None: of the node. A device that died is not there."""
    bd_seq: int | None = None
    may_lack: bool = False
    """The broker drops some messages by its access list: their numbers are missing."""
    _seq: int | None = None
    _alias: dict[int, tuple[str | None, str, int]] = field(default_factory=dict)

    def take(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """A message of the node."""
        namespace, _, kind, _, *rest = topic.split("/")
        device = rest[0] if rest else None
        assert namespace == "spBv1.0"
        assert not retain
        assert qos == (1 if kind == "NDEATH" else 0) or kind == "NDEATH"
        message = decode(payload)
        assert message.timestamp > 1_700_000_000_000
        self.counts[kind] += 1
        if kind == "NDEATH":
            self._death(message)
        elif kind == "NBIRTH":
            self._node_birth(message)
        else:
            assert self._seq is not None, f"{kind} outside a session"
            is_next = message.seq == (self._seq + 1) % 256
            assert is_next or self.may_lack, f"{kind}: seq {message.seq} after {self._seq}"
            self._seq = message.seq
            if kind == "DBIRTH":
                self._birth(device, message.metrics)
                self.log.append(f"DBIRTH {device}")
            elif kind == "DDEATH":
                del self.values[device]
                self.log.append(f"DDEATH {device}")
            else:
                self._data(device, message.metrics)

    def _death(self, message: Any) -> None:
        assert not message.HasField("seq")
        (metric,) = message.metrics
        assert metric.name == "bdSeq"
        self.log.append(f"NDEATH {value(metric)}")
        if value(metric) == self.bd_seq:
            self.values, self._seq = {}, None

    def _node_birth(self, message: Any) -> None:
        assert message.seq == 0
        self._seq, self.values, self._alias = 0, {}, {}
        self._birth(None, message.metrics)
        self.bd_seq = self.values[None]["bdSeq"]
        assert self.values[None]["Node Control/Rebirth"] is False
        self.log.append(f"NBIRTH {self.bd_seq}")

    def _birth(self, device: str | None, metrics: Any) -> None:
        self.values[device] = {}
        for metric in metrics:
            assert metric.name
            assert metric.datatype in TYPES
            assert metric.timestamp
            if metric.name in {"bdSeq", "Node Control/Rebirth"}:
                assert not metric.HasField("alias")
            else:
                known = self._alias.setdefault(metric.alias, (device, metric.name, metric.datatype))
                assert known == (device, metric.name, metric.datatype), "an alias for two metrics"
            self.values[device][metric.name] = value(metric)

    def _data(self, device: str | None, metrics: Any) -> None:
        row = {}
        historical = {metric.is_historical for metric in metrics}
        for metric in metrics:
            assert not metric.HasField("name")
            assert metric.timestamp
            of_device, name, datatype = self._alias[metric.alias]
            assert of_device == device
            if not metric.HasField("datatype"):
                metric.datatype = datatype
            assert metric.datatype == datatype
            row[name] = value(metric)
        assert len(historical) == 1
        if device == "parts":
            self.parts.append({**row, "historical": historical == {True}})
        if historical == {False}:
            self.values[device] |= row
