"""Imported models on CUDA devices, by ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.foreign_models import broken_part, good_parts, spot_model, written

from inspectd import cli
from inspectd.backends.cuda import imported
from inspectd.backends.cuda.memory import footprint
from inspectd.backends.scorer import Scorer
from inspectd.bank.file import NETWORK, ONNX, read_bank
from inspectd.errors import BankError


def bank_of(folder: Path, *words: str) -> Path:
    path, images = written(spot_model(side=150), folder / "x.onnx"), good_parts(folder / "good", 12, 150)
    given = ["bank", "import", str(path), "--images", str(images), "--out", str(folder / "x.bank")]
    assert cli.main([*given, "--preprocessing", "imagenet", *words]) == 0
    return folder / "x.bank"


def test_a_bank_without_onnx_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    path = bank_of(tmp_path)
    bank = read_bank(path)
    with pytest.raises(BankError, match=r"import it with --keep-onnx, or score it on the CPU"):
        imported.load(path, bank, torch.device("cuda", 0))
    network = sum(bank.tensors[name].nbytes for name in NETWORK)
    others = sum(4 * tensor.size for name, tensor in bank.tensors.items() if name not in NETWORK)
    assert footprint("spots", str(path), bank).device_bytes == network + others


@pytest.fixture
def _with_both_runtimes() -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("onnxruntime computes on no card here: onnxruntime-gpu does")


@pytest.mark.gpu
@pytest.mark.usefixtures("_with_both_runtimes")
@pytest.mark.parametrize("words", [(), ("--colours", "bgr", "--judge", "places")])
def test_scores_are_those_of_the_cpu(words: tuple[str, ...], tmp_path: Path) -> None:
    path = bank_of(tmp_path, "--keep-onnx", *words)
    assert ONNX in read_bank(path).tensors
    scorers = Scorer.load(path, "cuda"), Scorer.load(path, "cpu")
    assert scorers[0].info.backend == "onnxruntime"
    noise = np.random.default_rng(0).integers(0, 256, (200, 170, 3), np.uint8)
    for frame in (broken_part(150), noise, noise[:, :, :1].copy()):
        on_card, on_cpu = (scorer.score([frame])[0] for scorer in scorers)
        assert on_card.image_score == pytest.approx(on_cpu.image_score, rel=2e-3)
        np.testing.assert_allclose(on_card.heatmap, on_cpu.heatmap, rtol=0.02, atol=0.02)
