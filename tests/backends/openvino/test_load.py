import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.banks import write_as_it_is

from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.openvino.pipeline import Exported, OpenVinoPipeline
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank, write_bank
from inspectd.bank.images import find_images, read_image
from inspectd.errors import BankError, InputError, UnavailableError
from inspectd.model.options import PatchOptions
from inspectd.pictures.channels import as_bgr

SCORE = """
import sys, numpy as np
from pathlib import Path
from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.scorer import Scorer
scorer = Scorer.load(Path(sys.argv[1]), "cpu")
(answer,) = scorer.score([np.full((300, 300, 3), 90, np.uint8)])
loaded = {"torch", "torchvision", "timm", "cv2", "sklearn"} & set(sys.modules)
peak_mb = max(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
assert not loaded, loaded
assert peak_mb < 500, peak_mb
print(answer.image_score)
"""


def score_in_a_process_of_its_own(bank: Path, cache: Path) -> str:
    home = cache.with_name("home")
    home.mkdir(exist_ok=True)
    environment = os.environ | {"CACHE_DIRECTORY": str(cache), "HOME": str(home)}
    command = [sys.executable, "-c", SCORE, str(bank)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert list(home.iterdir()) == [], "OpenVINO leaves its number there when it reports to its maker"
    return done.stdout


def test_the_scoring_process_loads_no_torch_whether_converted_or_not(bank_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    ModelCache(cache).keep_models(
        read_bank(bank_file).scoring_sha256, Exported((b"<xml/>", b"0"), (b"<net/>", b"0"))
    )
    (damaged,) = cache.glob("*.models")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    first = score_in_a_process_of_its_own(bank_file, cache)
    assert damaged.stat().st_size > 1e6, "it was converted"
    assert score_in_a_process_of_its_own(bank_file, cache) == first


def test_what_is_wrong_with_a_bank_is_told_from_the_other_process(bank_file: Path, tmp_path: Path) -> None:
    bank = read_bank(bank_file)
    other = tmp_path / "other.bank"
    write_bank(other, msgspec.structs.replace(bank.manifest, weights_sha256="1" * 64), bank.tensors)
    command = [sys.executable, "-c", SCORE, str(other)]
    environment = os.environ | {"CACHE_DIRECTORY": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()[-1]
    assert f"BankError: bank {other}: was built with weights 111111111111..." in said


def test_a_conversion_that_takes_too_long_is_told_in_words(bank_file: Path, tmp_path: Path) -> None:
    soon = "from inspectd.backends.openvino import convert\nconvert._CONVERSION_SECONDS = 0.1\n"
    command = [sys.executable, "-c", soon + SCORE, str(bank_file)]
    environment = os.environ | {"CACHE_DIRECTORY": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    said = done.stderr.strip().splitlines()[-1]
    assert f"UnavailableError: bank {bank_file}: was not converted for this processor within 0.1 s" in said


def test_the_backend_can_be_chosen(bank_file: Path, mixed_folder: Path) -> None:
    frames = [frame for path in find_images(mixed_folder)[:8] if (frame := read_image(path)) is not None]
    fast = Scorer.load(bank_file, "cpu", ScoringOptions("openvino"))
    reference = Scorer.load(bank_file, "cpu", ScoringOptions("torch"))
    assert isinstance(fast.pipeline, OpenVinoPipeline)
    assert (fast.info.backend, reference.info.backend) == ("openvino", "torch")
    assert fast.info.search.startswith("exact")
    got = [answer.image_score for answer in fast.score(frames)]
    want = [answer.image_score for answer in reference.score(frames)]
    np.testing.assert_allclose(got, want, rtol=0.01, atol=0.05)


@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_a_grey_frame_scores_to_the_last_bit_as_one_of_three_equal_channels(
    backend: str, bank_file: Path, mixed_folder: Path
) -> None:
    read = [frame for path in find_images(mixed_folder)[18:22] if (frame := read_image(path)) is not None]
    grey = [np.ascontiguousarray(frame[:, :, 1:2]) for frame in read]
    scorer = Scorer.load(bank_file, "cpu", ScoringOptions(backend))
    for of_grey, of_colour in zip(scorer.score(grey), scorer.score([*map(as_bgr, grey)]), strict=True):
        assert of_grey.image_score == of_colour.image_score
        np.testing.assert_array_equal(of_grey.heatmap, of_colour.heatmap)


def test_faiss_does_not_search_on_a_cpu(bank_file: Path) -> None:
    with pytest.raises(InputError, match=r"search 'flat' is faiss on CUDA.*use auto or exact"):
        Scorer.load(bank_file, "cpu", ScoringOptions(search="flat"))


def test_openvino_does_not_compute_on_cuda(bank_file: Path) -> None:
    with pytest.raises(UnavailableError, match="backend openvino runs on the CPU, got device 'cuda'"):
        Scorer.load(bank_file, "cuda", ScoringOptions("openvino"))


def test_a_bank_with_a_new_threshold_is_not_converted_again(
    bank_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Scorer.load(bank_file, "cpu", ScoringOptions("openvino"))
    bank = read_bank(bank_file)
    models = ModelCache().models(bank.scoring_sha256)
    assert models is not None
    ModelCache(tmp_path / "cache").keep_models(bank.scoring_sha256, models)
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    other = tmp_path / "other.safetensors"
    write_bank(
        other, msgspec.structs.replace(bank.manifest, threshold=bank.manifest.threshold + 1), bank.tensors
    )
    Scorer.load(other, "cpu", ScoringOptions("openvino"))
    assert len(list((tmp_path / "cache").glob("*.models"))) == 1


@pytest.fixture(scope="module")
def bank_with_lists(good_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lists") / "fine.bank"
    spec = BuildSpec(height=64, width=64, patches=PatchOptions(grid="fine"), coreset=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inspectd.bank.lists.pays", lambda *_: True)
        build_bank(find_images(good_folder)[:14], path, spec, lambda *_: None)
    return path


def test_a_large_bank_is_searched_no_more_than_its_scores_need(
    bank_with_lists: Path, mixed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_bank(bank_with_lists).tensors["detector.lists"].dtype == np.int32
    # A large bank is searched in float32, a small one in bfloat16 where the processor has it.
    monkeypatch.setattr("inspectd.backends.openvino.load.has_bfloat16", lambda: False)
    whole = Scorer.load(bank_with_lists, "cpu")
    assert whole.info.search == "exact-float32"  # it is small
    monkeypatch.setattr("inspectd.backends.openvino.load.pays", lambda *_: True)
    lazy = Scorer.load(bank_with_lists, "cpu")
    assert lazy.info.search == "exact-lazy"
    assert (
        Scorer.load(bank_with_lists, "cpu", ScoringOptions(search="exact")).info.search == whole.info.search
    )
    frames = [frame for path in find_images(mixed_folder)[16:24] if (frame := read_image(path)) is not None]
    for got, want in zip(lazy.score(frames), whole.score(frames), strict=True):
        assert got.image_score == pytest.approx(want.image_score, abs=0.005)


def test_lists_that_do_not_fit_the_bank_are_refused(
    bank_with_lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspectd.backends.openvino.load.pays", lambda *_: True)
    bank = read_bank(bank_with_lists)
    wrong = bank.tensors["detector.lists"] + bank.manifest.rows
    write_as_it_is(tmp_path / "x.bank", bank.manifest, bank.tensors | {"detector.lists": wrong})
    with pytest.raises(BankError, match="its lists of rows do not fit the bank; build it again"):
        Scorer.load(tmp_path / "x.bank", "cpu")
