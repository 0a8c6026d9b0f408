"""A stand-in for torch.cuda on a machine without a card, which finds operations that no wait puts in order.

Operations run on the CPU at once. Each counts as one of the stream that is current, and every stream, event
and the host carry a vector clock (Mattern, "Virtual Time and Global States of Distributed Systems", 1989):
two operations on the same memory, one of them a write, have to be ordered by waits.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Clock = dict[str, int]


class UnorderedError(AssertionError):
    """Two operations on the same memory, one of them a write, and no wait between them."""


class Streams:
    """Clocks of all streams and of the host, and who used which memory."""

    def __init__(self) -> None:
        self.clocks: defaultdict[str, Clock] = defaultdict(dict)
        self.current = ["compute"]
        self.recording: list[tuple[Any, bool]] | None = None
        self.written: dict[Any, tuple[str, Clock]] = {}
        self.read: defaultdict[Any, list[tuple[str, Clock]]] = defaultdict(list)
        self.home: dict[Any, str] = {}
        self.users: defaultdict[Any, set[str]] = defaultdict(set)
        self.kept_for: defaultdict[Any, set[str]] = defaultdict(set)
        self.alive: list[Any] = []
        self.made = 0

    def wait(self, who: str, clock: Clock) -> None:
        own = self.clocks[who]
        for name, ticks in clock.items():
            own[name] = max(own.get(name, 0), ticks)

    def use(self, who: str, memory: Any, *, writes: bool) -> None:
        """Count an operation and check it against those before it."""
        if self.recording is not None:
            self.recording.append((memory, writes))
            return
        clock = self.clocks[who]
        clock[who] = clock.get(who, 0) + 1
        self.home.setdefault(memory, who)
        others = [self.written[memory]] if memory in self.written else []
        others += self.read[memory] if writes else []
        for other, then in others:
            if clock.get(other, 0) < then[other]:
                raise UnorderedError(f"{who} {'writes' if writes else 'reads'} what {other} is not done with")
        self.users[memory].add(who)
        if writes:
            self.written[memory] = (who, dict(clock))
            self.read[memory] = []
        else:
            self.read[memory].append((who, dict(clock)))

    def unkept(self, home: str) -> int:
        """How much memory of a stream others used without its being kept for them (`record_stream`)."""
        return sum(
            bool(self.users[memory] - self.kept_for[memory] - {home, "host"})
            for memory, owner in self.home.items()
            if owner == home
        )


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Operations(TorchDispatchMode):
    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        who = self._streams.current[-1]
        result = func(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if func.is_view and all(_memory(one) == _memory(args[0]) for one in made):
            return result
        given = set()
        for place, argument in enumerate(func._schema.arguments):
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            changes = argument.alias_info is not None and argument.alias_info.is_write
            for tensor in (leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)):
                self._note(who, tensor, writes=changes)
                given.add(_memory(tensor))
        for tensor in made:
            if _memory(tensor) not in given:
                self._note(who, tensor, writes=True)
        return result

    def _note(self, who: str, tensor: torch.Tensor, *, writes: bool) -> None:
        # So that no other memory gets its name: a tensor that is kept may be given other memory.
        self._streams.alive.append(tensor.untyped_storage())
        self._streams.use(who, _memory(tensor), writes=writes)


@contextmanager
def ordered_streams(monkeypatch: Any, *, waits: bool = True, keeps: bool = True) -> Any:
    """Put the stand-in in torch.cuda's place; gives the `Streams`.

    Args:
        monkeypatch: pytest's.
        waits: False: streams do not wait for each other, to see that it is found.
        keeps: False: memory is not kept for other streams, to see that it is found.
    """
    streams = Streams()

    class Stream:
        def __init__(self, device: Any = None, name: str = "") -> None:
            streams.made += 1
            self.name = name or f"stream {streams.made}"

        def wait_stream(self, other: Stream) -> None:
            if waits:
                streams.wait(self.name, streams.clocks[other.name])

    class Event:
        def record(self) -> None:
            self._clock = dict(streams.clocks[streams.current[-1]])

        def synchronize(self) -> None:
            streams.wait("host", self._clock)

    class Graph:
        def replay(self) -> None:
            for memory, writes in self.operations:
                streams.use(streams.current[-1], memory, writes=writes)

    @contextmanager
    def stream(one: Stream) -> Any:
        streams.current.append(one.name)
        yield
        streams.current.pop()

    @contextmanager
    def graph(one: Graph, stream: Stream) -> Any:
        one.operations = streams.recording = []
        yield
        streams.recording = None

    def synchronize(device: Any = None) -> None:
        for name in list(streams.clocks):
            streams.wait("host", streams.clocks[name])

    def keep(tensor: torch.Tensor, stream: Stream) -> None:
        if keeps:
            streams.kept_for[_memory(tensor)].add(stream.name)

    def numpy(tensor: torch.Tensor, read: Any = torch.Tensor.numpy) -> Any:
        streams.use("host", _memory(tensor), writes=False)
        return read(tensor)

    monkeypatch.setattr(torch.Tensor, "record_stream", keep)
    monkeypatch.setattr(torch.Tensor, "numpy", numpy)
    stand_ins = {
        "Stream": Stream, "Event": Event, "CUDAGraph": Graph, "stream": stream, "graph": graph,
        "synchronize": synchronize, "empty_cache": lambda: None, "device": lambda _: nullcontext(),
        "current_stream": lambda *_: Stream(name=streams.current[-1]),
    }  # fmt: skip
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    with _Operations(streams):
        yield streams
