import subprocess
import sys

import pytest
import torch
from support.card import Card

from inspectd.backends.cuda.faults import take_last_error
from inspectd.backends.cuda.pinned import PinnedRings
from inspectd.ipc.ring import FrameRing

IDLE = """
import sys
from inspectd.ipc.ring import FrameRing
from inspectd.backends.cuda.pinned import PinnedRings
rings, ring = PinnedRings("cpu"), FrameRing.create(1, 2, 4096)
rings.add(ring)
rings.remove(ring)
ring.close()
assert "torch" not in sys.modules
"""


def test_without_cuda_it_does_nothing_and_loads_no_torch() -> None:
    subprocess.run([sys.executable, "-c", IDLE], check=True)


def test_a_page_lock_that_fails_changes_nothing_else(monkeypatch, caplog) -> None:
    card = Card(monkeypatch)
    rings, ring = PinnedRings("cuda:1"), FrameRing.create(1, 2, 4096)
    address, size = ring.address()
    card.locked[address] = size  # an old ring was here
    rings.add(ring)
    torch.cuda._sleep(1)  # the next launch is not blamed
    rings.remove(ring)  # it is not ours to unlock
    assert card.calls == [("register", 1, 1)]
    assert "ring_not_page_locked" in caplog.text
    ring.close()


def test_a_page_lock_that_stays_is_told(monkeypatch, caplog) -> None:
    card = Card(monkeypatch)
    rings, ring = PinnedRings("cuda:1"), FrameRing.create(1, 2, 4096)
    rings.add(ring)
    card.locked.clear()
    rings.remove(ring)
    torch.cuda._sleep(1)
    assert card.calls == [("register", 1, 1), ("unregister", 1)]
    assert "ring_stays_locked" in caplog.text
    assert card.current == 0
    ring.close()


@pytest.mark.gpu
def test_after_a_page_lock_that_fails_the_next_kernel_runs() -> None:
    rings, ring = PinnedRings("cuda:0"), FrameRing.create(1, 2, 4096)
    address, size = ring.address()
    torch.cuda.init()
    assert int(torch.cuda.cudart().cudaHostRegister(address, size, 1)) == 0
    rings.add(ring)
    assert int(torch.ones(3, device="cuda").sum()) == 3
    assert int(torch.cuda.cudart().cudaHostUnregister(address)) == 0
    ring.close()


@pytest.mark.gpu
def test_a_ring_is_page_locked_until_it_goes() -> None:
    rings, ring = PinnedRings("cuda:0"), FrameRing.create(1, 2, 4096)
    rings.add(ring)
    address, _ = ring.address()
    assert int(torch.cuda.cudart().cudaHostUnregister(address)) == 0
    assert int(torch.cuda.cudart().cudaHostRegister(address, ring.address()[1], 0)) == 0
    rings.remove(ring)
    assert int(torch.cuda.cudart().cudaHostUnregister(address)) != 0
    take_last_error()
    ring.close()
