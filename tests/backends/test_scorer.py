import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import torchvision
from sklearn.metrics import roc_auc_score
from support.banks import write_as_it_is

from inspectd.backends.scorer import Scorer
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank, write_bank
from inspectd.bank.images import find_images, read_image
from inspectd.errors import BankError, UnavailableError


@pytest.fixture(scope="module")
def scorer(bank_file: Path) -> Scorer:
    return Scorer.load(bank_file, "cpu")


@pytest.fixture(scope="module")
def frames(mixed_folder: Path) -> list[np.ndarray]:
    return [frame for path in find_images(mixed_folder) if (frame := read_image(path)) is not None]


def test_defective_cells_score_higher_than_good_ones(scorer: Scorer, frames: list[np.ndarray]) -> None:
    scores = [result.image_score for result in scorer.score(frames)]
    assert roc_auc_score([1] * 20 + [0] * 20, scores) > 0.8


def test_an_answer_for_each_frame(scorer: Scorer, frames: list[np.ndarray]) -> None:
    results = scorer.score([frames[0], frames[1][:200, :150], np.zeros((40, 640, 3), np.uint8)])
    assert len(results) == 3
    for result in results:
        assert result.heatmap.dtype == np.float16
        assert result.heatmap.shape == (8, 8)
        assert np.isfinite(result.heatmap).all()
        assert np.isfinite(result.image_score)
        assert set(result.stage_ms) == {"preprocess", "backbone", "search", "head"}
        assert min(result.stage_ms.values()) > 0
    assert scorer.score([]) == []


def test_a_frame_scores_alike_alone_and_in_company(scorer: Scorer, frames: list[np.ndarray]) -> None:
    together = scorer.score(frames[:8])
    for frame, result in zip(frames, together, strict=False):
        (alone,) = scorer.score([frame])
        assert alone.image_score == pytest.approx(result.image_score, rel=1e-3, abs=1e-3)


def test_it_says_what_it_loaded(scorer: Scorer, bank_file: Path) -> None:
    bank = read_bank(bank_file)
    assert scorer.info.sha256 == bank.sha256
    assert scorer.info.threshold == bank.manifest.threshold
    assert (scorer.info.input_height, scorer.info.input_width) == (128, 128)
    assert scorer.info.device == "cpu"
    scorer.warm_up(2)


def test_other_weights_are_refused(bank_file: Path, tmp_path: Path) -> None:
    bank = read_bank(bank_file)
    manifest = msgspec.structs.replace(bank.manifest, weights_sha256="1" * 64)
    write_bank(tmp_path / "other.bank", manifest, bank.tensors)
    with pytest.raises(BankError, match=r"was built with weights 111111111111\.\.\. of efficientnet_lite0"):
        Scorer.load(tmp_path / "other.bank", "cpu")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("detector", "none", "unknown detector 'none'"),
        ("rows", 1, "disagree on the bank's size"),
        ("layers", ("blocks.77",), "has no layer 'blocks.77'"),
        ("options", {"neighbours": -1}, "neighbours"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    bank_file: Path, tmp_path: Path, field: str, value: object, message: str
) -> None:
    bank = read_bank(bank_file)
    write_bank(tmp_path / "x.bank", msgspec.structs.replace(bank.manifest, **{field: value}), bank.tensors)
    with pytest.raises(BankError, match=message):
        Scorer.load(tmp_path / "x.bank", "cpu")


def test_a_tensor_that_is_missing_is_refused(bank_file: Path, tmp_path: Path) -> None:
    bank = read_bank(bank_file)
    for name in bank.tensors:
        if name.startswith(("detector.", "head.", "good_scores")):
            write_as_it_is(
                tmp_path / "x.bank", bank.manifest, {k: v for k, v in bank.tensors.items() if k != name}
            )
            with pytest.raises(BankError):
                Scorer.load(tmp_path / "x.bank", "cpu")


def test_a_device_that_is_not_there_says_so(bank_file: Path) -> None:
    with pytest.raises(
        UnavailableError,
        match=r"device 'cuda:99': this machine has (no NVIDIA driver|\d+ usable CUDA devices)",
    ):
        Scorer.load(bank_file, "cuda:99")


def test_weights_from_a_file_are_found_beside_the_bank(good_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "built" / "resnet18.pth"
    weights.parent.mkdir()
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), weights)
    spec = BuildSpec(detector="dfkde", backbone="resnet18", weights=str(weights), height=64, width=64)
    build_bank(find_images(good_folder)[:12], tmp_path / "built" / "x.bank", spec, lambda *_: None)
    (tmp_path / "line").mkdir()
    for name in ("x.bank", "resnet18.pth"):
        shutil.move(tmp_path / "built" / name, tmp_path / "line" / name)
    assert Scorer.load(tmp_path / "line" / "x.bank", "cpu").info.backbone == "resnet18"


@pytest.mark.gpu
def test_cuda_and_cpu_give_the_same_scores(bank_file: Path, frames: list[np.ndarray]) -> None:
    on_cpu = [result.image_score for result in Scorer.load(bank_file, "cpu").score(frames)]
    on_cuda = [result.image_score for result in Scorer.load(bank_file, "cuda").score(frames)]
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=0.02, atol=0.02)


def test_a_bank_is_verified_without_torch(bank_file: Path) -> None:
    code = (
        "import sys, pathlib; from inspectd.bank.file import read_manifest;"
        "read_manifest(pathlib.Path(sys.argv[1])); assert not {'torch', 'cv2', 'faiss'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(bank_file)], check=True)
