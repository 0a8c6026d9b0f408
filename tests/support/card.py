"""A CUDA device that is not there, as torch shows one: its errors stay, as the runtime's do."""

from contextlib import contextmanager
from types import SimpleNamespace

import torch


class Card:
    """Put in the place of `torch.cuda`'s calls for a test.

    Attributes:
        last_error: of the runtime's last call; the next launch raises it and takes it away.
        broken: what every call raises from now on.
        current: the current device.
        locked: addresses that are page-locked, with their sizes.
        calls: of the runtime, with the device that was current.
    """

    def __init__(self, monkeypatch, free_mb=50_000, share=1.0, capability=(9, 0)):
        self.last_error = self.broken = None
        self.current = 0
        self.locked = {}
        self.calls = []
        there = 80_000_000_000
        for name, stand_in in {
            "is_initialized": lambda: True,
            "init": self._check,
            "device_count": lambda: 2,
            "get_device_name": lambda *_: "NVIDIA H100",
            "get_device_capability": lambda *_: capability,
            "get_arch_list": lambda: ["sm_80", "sm_90"],
            "set_device": self._set,
            "device": self._on,
            "get_device_properties": lambda *_: SimpleNamespace(total_memory=there),
            "mem_get_info": lambda *_: (free_mb * 1_000_000, there),
            "get_per_process_memory_fraction": lambda: share,
            "memory_reserved": lambda: 0,
            "synchronize": self._check,
            "_sleep": self._launch,
            "cudart": lambda: self,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def _check(self, *_):
        if self.broken:
            raise torch.AcceleratorError(self.broken)

    def _launch(self, *_):
        self._check()
        error, self.last_error = self.last_error, None
        if error:
            raise torch.AcceleratorError(error)

    def _set(self, device):
        self.current = torch.device(device).index

    @contextmanager
    def _on(self, device):
        before, self.current = self.current, torch.device(device).index
        yield
        self.current = before

    def cudaHostRegister(self, address, size, flags):  # noqa: N802 - the runtime's name
        self.calls.append(("register", self.current, flags))
        code = 712 if address in self.locked else 0
        self.locked.setdefault(address, size)
        return self._code(code, "already mapped")

    def cudaHostUnregister(self, address):  # noqa: N802 - the runtime's name
        self.calls.append(("unregister", self.current))
        return self._code(0 if self.locked.pop(address, None) else 713, "not mapped")

    def _code(self, code, text):
        if code:
            self.last_error = f"CUDA error: {text}"
        return code
