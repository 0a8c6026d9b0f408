"""A network of its own for a test: loopback alone, so that no broadcast for cameras leaves this machine."""

import ctypes
import os
import subprocess
from contextlib import contextmanager

import pytest

_CLONE_NEWNET = 0x4000_0000


@contextmanager
def lone_network():
    """This thread, and what it starts, in a new network namespace; skips the test where that takes rights."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET):
            pytest.skip(f"a network namespace takes rights: {os.strerror(ctypes.get_errno())}")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            assert not libc.setns(before, _CLONE_NEWNET)
    finally:
        os.close(before)
