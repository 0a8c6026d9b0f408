import json
import os
import random
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from support.banks import write_as_it_is

from inspectd.bank.file import Manifest, read_bank, read_manifest, write_bank
from inspectd.errors import BankError, UnavailableError
from inspectd.model.options import HeadOptions, PatchOptions
from inspectd.quality.learnt import NEAREST, REFERENCES, LearntQuality, Nearest
from inspectd.records import MeasureLimit

MANIFEST = Manifest(
    detector="patchcore",
    options={"neighbours": 1},
    head=HeadOptions(),
    patch_options=PatchOptions(),
    backbone="efficientnet_lite0",
    weights="packaged",
    weights_sha256="0" * 64,
    layers=("blocks.2", "blocks.4"),
    input_height=256,
    input_width=256,
    images=12,
    patches=48,
    rows=6,
    dims=5,
    coreset_ratio=0.125,
    seed=0,
    threshold=4.5,
    threshold_basis="test",
)
TENSORS = {
    "detector.bank": np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32),
    "head.mean": np.zeros((2, 2), np.float32),
    "head.deviation": np.ones((2, 2), np.float32),
}


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "test.bank"
    write_bank(path, MANIFEST, TENSORS)
    return path


def test_a_bank_comes_back_as_it_was(bank: Path) -> None:
    file = read_bank(bank)
    assert file.manifest == MANIFEST == read_manifest(bank)
    assert {name: array.tolist() for name, array in file.tensors.items()} == {
        name: array.tolist() for name, array in TENSORS.items()
    }


def test_a_bank_from_before_outliers_were_recorded_is_read(tmp_path: Path) -> None:
    later = ("unlike_the_rest", "outliers_count", "threshold_with_outliers", "excluded", "calibrated")
    values = {name: value for name, value in msgspec.to_builtins(MANIFEST).items() if name not in later}
    write_bank(tmp_path / "old.bank", values, TENSORS)  # type: ignore[arg-type]
    assert read_manifest(tmp_path / "old.bank") == MANIFEST


def test_the_same_bank_is_the_same_file_bit_for_bit(bank: Path, tmp_path: Path) -> None:
    sha256 = write_bank(tmp_path / "again.bank", MANIFEST, dict(reversed(TENSORS.items())))
    assert (tmp_path / "again.bank").read_bytes() == bank.read_bytes()
    assert sha256 == read_bank(bank).sha256
    other = write_bank(tmp_path / "other.bank", msgspec.structs.replace(MANIFEST, threshold=4.6), TENSORS)
    assert other != sha256


def test_only_what_scores_depend_on_is_in_the_digest_for_scoring(bank: Path) -> None:
    kept = read_bank(bank)
    tensors = dict(kept.tensors) | {"good_scores": np.zeros(12)}
    write_bank(bank, msgspec.structs.replace(kept.manifest, threshold=7.0, threshold_basis="other"), tensors)
    moved = read_bank(bank)
    assert moved.sha256 != kept.sha256
    assert moved.scoring_sha256 == kept.scoring_sha256
    write_bank(bank, msgspec.structs.replace(kept.manifest, input_width=999), kept.tensors)
    assert read_bank(bank).scoring_sha256 != kept.scoring_sha256
    name = next(iter(kept.tensors))
    write_bank(bank, kept.manifest, dict(kept.tensors) | {name: kept.tensors[name] + 1})
    assert read_bank(bank).scoring_sha256 != kept.scoring_sha256


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(bank: Path) -> None:
    write_bank(bank, msgspec.structs.replace(MANIFEST, seed=1), TENSORS)
    assert read_manifest(bank).seed == 1
    assert list(bank.parent.iterdir()) == [bank]


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be written"):
        write_bank(tmp_path / "file" / "x.bank", MANIFEST, TENSORS)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="No such file"):
        read_bank(tmp_path / "none.bank")


def test_any_other_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    with pytest.raises(BankError, match="is not a bank file"):
        read_bank(path)
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    with pytest.raises(BankError, match="no inspectd manifest"):
        read_bank(path)


@pytest.mark.parametrize("label", ['{"more": DEEP}', '{"manifest": DEEP}', '{"manifest": {"more": DEEP}}'])
def test_a_manifest_that_is_nested_without_end_is_refused(label: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.bank"
    text = label.replace("DEEP", "[" * 5000 + "]" * 5000)
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"inspectd": text})
    with pytest.raises(BankError, match="its manifest is damaged"):
        read_bank(path)


def test_no_bank_asks_for_more_than_a_network_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "huge.bank"
    write_as_it_is(path, msgspec.structs.replace(MANIFEST, input_height=10**9), TENSORS)
    with pytest.raises(BankError, match="input_height is 1000000000, expected a whole number from 1 to 4096"):
        read_bank(path)


def sparse(header: dict[str, object], size: int, path: Path) -> None:
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(size)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a pipe"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bank"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    with pytest.raises(BankError, match="is not a regular file"):
        read_bank(path)


def test_huge_files_are_refused_before_they_are_read(bank: Path, tmp_path: Path) -> None:
    path, terabyte = tmp_path / "huge.bank", 10**12
    with path.open("wb") as file:
        file.truncate(terabyte)
    with pytest.raises(BankError, match="is not a bank file"):
        read_bank(path)
    path.write_bytes((10**11).to_bytes(8, "little"))
    with path.open("r+b") as file:
        file.truncate(terabyte)
    with pytest.raises(BankError, match="is not a bank file"):
        read_bank(path)
    sparse({}, terabyte, path)
    with pytest.raises(BankError, match=r"cut short \(1000000000000 bytes, expected 10"):
        read_bank(path)
    data = bank.read_bytes()  # a sound header that promises a terabyte, and keeps the promise
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    header["more"] = {"dtype": "U8", "shape": [terabyte], "data_offsets": [0, terabyte]}
    sparse(header, 8 + len(json.dumps(header)) + terabyte, path)
    with pytest.raises(BankError, match=r"takes 1000\.0 GB, this machine has"):
        read_bank(path)


def test_another_version_says_which(tmp_path: Path) -> None:
    write_as_it_is(
        tmp_path / "new.bank", msgspec.structs.replace(MANIFEST, schema="inspectd-bank/9"), TENSORS
    )
    with pytest.raises(BankError, match="'inspectd-bank/9', this version reads 'inspectd-bank/"):
        read_bank(tmp_path / "new.bank")


@pytest.mark.parametrize(
    ("detector", "options", "refused"),
    [
        ("patchcore", {"local_scale": True}, True),
        ("patchcore", {}, True),
        ("patchcore", {"local_scale": False}, False),
        ("padim", {}, False),
    ],
)
def test_a_bank_whose_threshold_was_made_for_another_rule_is_refused(
    tmp_path: Path, detector: str, options: dict[str, bool], *, refused: bool
) -> None:
    old = msgspec.structs.replace(
        MANIFEST, schema="inspectd-bank/1", detector=detector, options={"neighbours": 1, **options}
    )
    write_as_it_is(tmp_path / "old.bank", old, TENSORS)
    if refused:
        with pytest.raises(BankError, match=r"earlier version.*local_scale.*build it again"):
            read_bank(tmp_path / "old.bank")
    else:
        assert read_bank(tmp_path / "old.bank").manifest == old


def test_what_could_not_be_read_again_takes_the_place_of_no_bank(bank: Path) -> None:
    before = bank.read_bytes()
    for manifest, more in (
        (msgspec.structs.replace(MANIFEST, dims=0), {}),
        (msgspec.structs.replace(MANIFEST, threshold=float("inf")), {}),
        (MANIFEST, {"head.mean": np.full((2, 2), np.nan, np.float32)}),
        (MANIFEST, {"good_scores": np.zeros(11)}),
    ):
        with pytest.raises(BankError, match="nothing is written, as it could not be read again: bank "):
            write_bank(bank, manifest, TENSORS | more)
        assert bank.read_bytes() == before


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_as_it_is(
        tmp_path / "nan.bank", MANIFEST, TENSORS | {"head.mean": np.full((2, 2), np.nan, np.float32)}
    )
    with pytest.raises(BankError, match="not finite"):
        read_bank(tmp_path / "nan.bank")


SCORES, DIGESTS = np.zeros(12), np.zeros((12, 32), np.uint8)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"good_scores": np.zeros(11)},
            r"its good_scores are float64 \[11\], which does not fit its 12 images",
        ),
        ({"good_scores": np.zeros((12, 1))}, "its good_scores are"),
        ({"good_scores": np.zeros(12, np.float32)}, "its good_scores are float32"),
        ({"good_scores": np.array(1.0)}, "its good_scores are"),
        ({"good_scores": SCORES, "image_digests": DIGESTS[:11]}, "its image_digests are"),
        ({"good_scores": SCORES, "image_digests": DIGESTS[:, :31]}, "its image_digests are"),
        ({"good_scores": SCORES, "image_digests": DIGESTS.astype(np.int16)}, "its image_digests are int16"),
        ({"image_digests": DIGESTS}, "holds digests of its images but not their scores"),
        ({"image_parts": np.zeros(11, np.int64)}, r"its image_parts are int64 \[11\]"),
        ({"image_parts": np.zeros(12, np.int64)}, "holds parts of its images but not their digests"),
        (
            {"outlier_heatmaps": np.zeros((1, 4, 4), np.float32)},
            "its outlier_heatmaps are .* 0 unlike the rest",
        ),
        ({"outlier_heatmaps": np.zeros((0, 4), np.float32)}, "its outlier_heatmaps are"),
        ({"outlier_heatmaps": np.zeros((0, 4, 0), np.float32)}, "its outlier_heatmaps are"),
        ({"detector.lists": np.zeros(3, np.int32)}, "its lists of rows do not fit"),
        ({"detector.lists": np.zeros((0, 3), np.int32)}, "its lists of rows do not fit"),
        ({"detector.lists": np.zeros((2, 3), np.float32)}, "its lists of rows do not fit"),
        ({"detector.lists": np.full((2, 3), 6, np.int32)}, "its lists of rows do not fit"),
        ({"detector.lists": np.full((2, 3), -1, np.int32)}, "its lists of rows do not fit"),
    ],
)
def test_content_that_does_not_fit_together_is_refused(
    tmp_path: Path, tensors: dict[str, np.ndarray], message: str
) -> None:
    write_as_it_is(tmp_path / "odd.bank", MANIFEST, TENSORS | tensors)
    with pytest.raises(BankError, match=message):
        read_bank(tmp_path / "odd.bank")


def test_content_that_fits_is_read(tmp_path: Path) -> None:
    more = {
        "good_scores": SCORES,
        "image_digests": DIGESTS,
        "outlier_heatmaps": np.zeros((0, 4, 4), np.float32),
        "detector.lists": np.full((2, 3), 5, np.int32),
    }
    write_bank(tmp_path / "x.bank", MANIFEST, TENSORS | more)
    assert read_bank(tmp_path / "x.bank").tensors.keys() == (TENSORS | more).keys()


@pytest.mark.parametrize("field", ["threshold", "seed", "rows", "backbone"])
def test_a_manifest_that_was_edited_is_refused(bank: Path, field: str) -> None:
    data = bank.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    label = json.loads(header["__metadata__"]["inspectd"])
    value = label["manifest"][field]
    label["manifest"][field] = "other" if isinstance(value, str) else value + 1
    header["__metadata__"]["inspectd"] = json.dumps(label)
    text = json.dumps(header).encode()
    bank.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(BankError, match="was altered"):
        read_bank(bank)


def test_a_thousand_mutations_are_refused_or_harmless(bank: Path) -> None:
    """Cuts, bit flips, overwritten, swapped and repeated pieces: none crashes, none loads anything else."""
    original, whole = bank.read_bytes(), read_bank(bank)
    rng = random.Random(0)
    harmless = 0
    for _ in range(1000):
        bank.write_bytes(_mutated(bytearray(original), rng))
        try:
            file = read_bank(bank)
        except BankError:
            continue
        harmless += 1
        assert file.manifest == whole.manifest
        assert all(np.array_equal(file.tensors[name], array) for name, array in whole.tensors.items())
    assert harmless < 100


def _mutated(data: bytearray, rng: random.Random) -> bytes:
    # Half of the changes hit the header, which is small beside the data of a real bank.
    size = rng.choice([len(data), 8 + int.from_bytes(data[:8], "little")])
    start, other, length = rng.randrange(size), rng.randrange(size), rng.randrange(1, 40)
    match rng.choice(["cut", "flip", "overwrite", "swap", "repeat", "remove"]):
        case "cut":
            del data[start:]
        case "flip":
            data[start] ^= 1 << rng.randrange(8)
        case "overwrite":
            data[start : start + length] = rng.randbytes(length)
        case "swap":
            first, second = data[start : start + length], data[other : other + length]
            data[start : start + length], data[other : other + length] = second, first
        case "repeat":
            data[start:start] = data[other : other + length]
        case "remove":
            del data[start : start + length]
    return bytes(data)


def test_a_bank_of_an_earlier_version_is_read_and_says_no_sizes(tmp_path: Path) -> None:
    now = msgspec.to_builtins(MANIFEST)
    del now["image_sizes"], now["bit_depth"]
    write_bank(tmp_path / "old.bank", now, TENSORS)  # type: ignore[arg-type]
    manifest = read_manifest(tmp_path / "old.bank")
    assert (manifest.image_sizes, manifest.bit_depth) == ((), 8)


LEARNT = LearntQuality(
    images=12, limits={"likeness": MeasureLimit(0.9, low=0.5)}, nearest=(Nearest("likeness", 0.7, "a.png"),)
)
PICTURES = {
    REFERENCES: np.full((1, 72, 96), 128, np.uint8),
    NEAREST: np.zeros((1, 72, 96, 3), np.uint8),
}


def test_what_was_learnt_of_how_images_were_taken_comes_back_and_scores_do_not_depend_on_it(
    bank: Path, tmp_path: Path
) -> None:
    path = tmp_path / "learnt.bank"
    write_bank(path, msgspec.structs.replace(MANIFEST, quality=LEARNT), TENSORS | PICTURES)
    assert read_bank(path).manifest.quality == LEARNT
    assert read_bank(path).scoring_sha256 == read_bank(bank).scoring_sha256
    assert read_bank(bank).manifest.quality is None


@pytest.mark.parametrize(
    ("quality", "pictures"),
    [
        (None, PICTURES),
        (LEARNT, {NEAREST: PICTURES[NEAREST]}),
        (LEARNT, {REFERENCES: PICTURES[REFERENCES]}),
        (LEARNT, PICTURES | {REFERENCES: np.zeros((1, 72, 96), np.float32)}),
        (LEARNT, PICTURES | {REFERENCES: np.zeros((1, 8, 96), np.uint8)}),
        (LEARNT, PICTURES | {NEAREST: np.zeros((2, 72, 96, 3), np.uint8)}),
    ],
)
def test_pictures_that_do_not_fit_the_manifest_are_refused(quality, pictures, tmp_path: Path) -> None:
    write_as_it_is(
        tmp_path / "odd.bank", msgspec.structs.replace(MANIFEST, quality=quality), TENSORS | pictures
    )
    with pytest.raises(BankError, match="its pictures of good images do not fit"):
        read_bank(tmp_path / "odd.bank")


def test_a_bank_is_in_memory_once_and_one_that_nobody_else_writes_not_at_all(tmp_path: Path) -> None:
    path, size = tmp_path / "large.bank", 32_000_000
    write_bank(path, MANIFEST, TENSORS | {"detector.bank": np.ones((1000, size // 4000), np.float32)})

    def peak(*, is_ours: bool) -> float:
        tracemalloc.start()
        try:
            assert read_bank(path, is_ours=is_ours).tensors["detector.bank"].shape == (1000, size // 4000)
            return tracemalloc.get_traced_memory()[1] / size
        finally:
            tracemalloc.stop()

    assert 1 <= peak(is_ours=False) < 1.2
    assert peak(is_ours=True) < 0.2
