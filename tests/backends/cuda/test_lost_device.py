"""A scoring process whose device fails while it scores: it ends at once and says why; main replaces it."""

import numpy as np
import pytest
import torch
from support.card import Card

from inspectd.backends.scorer import Scorer, ScorerInfo
from inspectd.config import Recipe, ScoringSettings
from inspectd.errors import ExitCode
from inspectd.ipc import child
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import Alive, AttachRing, Failed
from inspectd.ipc.ring import FrameRing
from inspectd.records import Batch, ClosedBy, FrameRef, Inspection
from inspectd.scoring import worker
from inspectd.scoring.messages import FromScoring, ScoringReady, StartScoring, ToScoring

INFO = ScorerInfo("sha", "dfkde", "none", 1, 1, 4, 4, 1.0, "cuda:0", "cuda", "float16", "", ())
ILLEGAL = "CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`"


class Fails:
    """A pipeline whose device fails: at the launch, or when the answers are waited for."""

    overlaps = True
    is_one_by_one = False

    def __init__(self, error, *, late):
        self._error, self._late = error, late

    def warm_up(self, max_batch):
        pass

    def score(self, frames):
        raise self._error

    def begin(self, frames):
        return (lambda: self.score(frames)) if self._late else self.score(frames)


@pytest.mark.parametrize("late", [False, True], ids=["launch", "wait"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.AcceleratorError(ILLEGAL),
            "is lost to this process: AcceleratorError: CUDA error: an illegal",
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "memory of the CUDA device is full"),
    ],
    ids=["lost", "full"],
)
def test_the_process_ends_with_exit_code_3_and_one_line(monkeypatch, error, words, late):
    Card(monkeypatch)
    ours, theirs = Channel.pair()
    main, end = Channel(ours, FromScoring), Channel(theirs, ToScoring)
    start = StartScoring(ScoringSettings(), (Recipe(name="r", bank="r.bank"),), 8)
    loaded = ScoringReady([], [], "cuda:0", 1.0), {"r": Scorer(Fails(error, late=late), INFO)}
    monkeypatch.setattr(worker, "load", lambda _start: loaded)
    ring = FrameRing.create(1, 2, 4 * 4 * 3)
    slot = ring.acquire()
    ring.write(slot, 1, np.zeros((4, 4, 3), np.uint8))
    main.send(AttachRing("cam", 1), (ring.fd,))
    seen = [Inspection(1, FrameRef("cam", 1, slot, 1, 0, 0, 4, 4), "r", 0, 0)]
    main.send(Batch(1, "r", seen, ClosedBy.FULL))

    assert child.serve(end, lambda: worker.ScoringWorker(end, start).live()) == ExitCode.UNAVAILABLE
    assert main.receive()[0] == loaded[0]
    while isinstance(failed := main.receive()[0], Alive):
        pass
    assert isinstance(failed, Failed)
    assert failed.exit_code == ExitCode.UNAVAILABLE
    assert words in failed.detail
    assert "\n" not in failed.detail
    for one in (main, end, ring):
        one.close()
