"""A card that is not there: the recorded part of a pipeline runs with tensors that have shapes and no values.

Whatever waits for the device or looks at a value raises; every operator and every launch of Triton is written
down.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from triton.runtime.jit import JITFunction

from inspectd.backends import cuda

CARD = torch.device("cuda", 0)
NO_KERNELS = {
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "device", "empty",
    "empty_like", "empty_strided", "expand", "flatten", "narrow", "new_empty", "new_empty_strided",
    "permute", "reshape", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose",
    "unbind", "unflatten", "unsqueeze", "view",
}  # fmt: skip
"""Operators that make a tensor without a kernel; those that may copy (`contiguous`) show as `clone`."""


class Launches(TorchDispatchMode):
    """Writes down operators that launch kernels, by name, and tensors that do not lie on the card."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.strays: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [one for one in tree_leaves((args, kwargs, made)) if isinstance(one, torch.Tensor)]
        self.strays += [f"{name}: {one.device}" for one in tensors if one.device != CARD]
        if name not in NO_KERNELS:
            self.names.append(name)
        if name == "convolution" and args[2] is not None:
            self.names.append("bias")  # a pass of its own on a card
        return made


@contextmanager
def fake_card(monkeypatch: pytest.MonkeyPatch, launches: list[str]) -> Iterator[FakeTensorMode]:
    """A card on which every kernel is found right, and nothing happens.

    Args:
        monkeypatch: undoes it.
        launches: names of Triton's kernels are appended to it.
    """
    properties = SimpleNamespace(
        multi_processor_count=132, major=9, minor=0, shared_memory_per_block_optin=232448
    )
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(JITFunction, "run", lambda kernel, *_, **__: launches.append(kernel.__name__))
    for found in pkgutil.iter_modules(cuda.__path__, f"{cuda.__name__}."):
        module = importlib.import_module(found.name)
        if hasattr(module, "tried"):
            monkeypatch.setattr(module, "tried", _tried)
    with FakeTensorMode(allow_non_fake_inputs=False) as mode, torch.no_grad():
        yield mode


class _Loading(TorchDispatchMode):
    """Whoever looks at a value sees a one: at load it may be looked at, and a scale is made of it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("item", "_local_scalar_dense"):
            return 1.0 if args[0].dtype.is_floating_point else 1
        return func(*args, **(kwargs or {}))


def _tried(_kernel: str, trial: Callable[[], str | None]) -> None:
    """Run a trial, which makes what it tries; its answer is worth nothing here, and is tested elsewhere."""
    with _Loading():
        trial()


def on_fake_card(mode: FakeTensorMode, thing: Any, seen: set[int] | None = None) -> None:
    """Bring all tensors of an object and of those it is made of to a fake card, in place."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, nn.Module):
        for module in thing.modules():
            for name, tensor in [*module._parameters.items()]:
                if tensor is not None:
                    module._parameters[name] = nn.Parameter(_faked(mode, tensor), requires_grad=False)
            for name, tensor in [*module._buffers.items()]:
                if tensor is not None:
                    module._buffers[name] = _faked(mode, tensor)
        return
    for name, value in list(vars(thing).items()):
        if isinstance(value, torch.Tensor):
            object.__setattr__(thing, name, _faked(mode, value))
        elif isinstance(value, list | tuple) and value and isinstance(value[0], torch.Tensor):
            object.__setattr__(thing, name, [_faked(mode, one) for one in value])
        elif isinstance(value, torch.device):
            object.__setattr__(thing, name, CARD)
        elif hasattr(value, "__dict__") and (
            isinstance(value, nn.Module) or type(value).__module__.startswith("inspectd.")
        ):
            on_fake_card(mode, value, seen)


def _faked(mode: FakeTensorMode, tensor: torch.Tensor) -> torch.Tensor:
    with unset_fake_temporarily():
        return FakeTensor(mode, tensor.detach().to("meta"), CARD)
