import subprocess
import sys

import pytest
import torch

from inspectd.backends.cuda.pinned import PinnedRings
from inspectd.ipc.ring import FrameRing

IDLE = """
import sys
from inspectd.ipc.ring import FrameRing
from inspectd.backends.cuda.pinned import PinnedRings
rings, ring = PinnedRings(wanted=False), FrameRing.create(1, 2, 4096)
rings.add(ring)
rings.remove(ring)
ring.close()
assert "torch" not in sys.modules
"""


def test_without_cuda_it_does_nothing_and_loads_no_torch() -> None:
    subprocess.run([sys.executable, "-c", IDLE], check=True)


@pytest.mark.gpu
def test_a_ring_is_page_locked_until_it_goes() -> None:
    rings, ring = PinnedRings(wanted=True), FrameRing.create(1, 2, 4096)
    rings.add(ring)
    address, _ = ring.address()
    assert int(torch.cuda.cudart().cudaHostUnregister(address)) == 0
    assert int(torch.cuda.cudart().cudaHostRegister(address, ring.address()[1], 0)) == 0
    rings.remove(ring)
    assert int(torch.cuda.cudart().cudaHostUnregister(address)) != 0
    ring.close()
