"""A threshold is set by pictures that a line judges, and an escape is one of a picture that it judges."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from support.command import inspectd

from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank, read_manifest, write_bank
from inspectd.errors import BankError, InputError
from inspectd.evaluation.dataset import LabelledImage
from inspectd.evaluation.evaluate import evaluate
from inspectd.evaluation.line_rules import BY_DEFAULT, LineRules
from inspectd.evaluation.recalibrate import Recalibration, recalibrate
from inspectd.wire import Reason


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def pictures(folder: Path, count: int, *, light: float = 1.0, side: int = 64) -> list[Path]:
    folder.mkdir()
    found = []
    for i in range(count):
        noise = np.random.default_rng([i, int(100 * light), side]).normal(0, 8, (64, 64, 3))
        part = np.full((64, 64, 3), 90.0) + cv2.GaussianBlur(noise, (0, 0), 1.2)
        cv2.circle(part, (32, 32), 20, (150, 140, 130), -1)
        found.append(folder / f"{i}.png")
        cv2.imwrite(str(found[-1]), np.clip(light * part[:side, :side], 0, 255).astype(np.uint8))
    return found


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    path = folder / "x.bank"
    build_bank(pictures(folder / "own", 60), path, BuildSpec(height=64, width=64, coreset=0.05), quiet)
    assert read_manifest(path).quality is not None
    return path


def as_aligned(bank: Path, path: Path) -> Path:
    """The same bank, as if its images had been aligned."""
    file = read_bank(bank)
    assert file.manifest.quality is not None
    quality = msgspec.structs.replace(file.manifest.quality, aligned=True)
    write_bank(path, msgspec.structs.replace(file.manifest, quality=quality), file.tensors)
    return path


def test_of_an_aligned_bank_no_line_leaves_the_place_out(bank: Path, tmp_path: Path) -> None:
    aligned, own = as_aligned(bank, tmp_path / "aligned.bank"), bank.parent / "own" / "0.png"
    off = LineRules(quality_off=frozenset({Reason.QUALITY_POSITION}))
    with pytest.raises(BankError, match="quality_off: has position, but the bank is aligned"):
        recalibrate(aligned, [own], [], 0.5, device="cpu", progress=quiet, write=False, line=off)


def test_an_evaluation_names_the_good_images_that_a_line_rejects(bank: Path, tmp_path: Path) -> None:
    """By their scores alone, fewer good parts would seem to be rejected than are."""
    good, defect = pictures(tmp_path / "good", 2, light=1.001)
    (dark,) = pictures(tmp_path / "dark", 1, light=0.5)
    data = [LabelledImage(good, "good"), LabelledImage(dark, "good"), LabelledImage(defect, "dent")]
    result = evaluate(bank, data, "cpu", quiet).report
    assert list(result.undecidable) == [str(dark)]
    assert "undecidable (quality_exposure)" in result.undecidable[str(dark)]
    assert (result.images, result.other_sizes) == (3, 0)


def test_a_comparison_names_them_for_each_bank_and_masks_that_mark_nothing_once(
    bank: Path, tmp_path: Path
) -> None:
    data, other = tmp_path / "data", Path(shutil.copy(bank, tmp_path / "other.bank"))
    data.mkdir()
    rows = ["path,label,mask"]
    for name, label, light in (("fine", "good", 1.001), ("dark", "good", 0.5), ("dented", "dent", 1.002)):
        pictures(data / name, 1, light=light)
        rows.append(f"{name}/0.png,{label},{'none.png' if label == 'dent' else ''}")
    cv2.imwrite(str(data / "none.png"), np.zeros((64, 64), np.uint8))
    (data / "all.csv").write_text("\n".join(rows))
    done = inspectd("bank", "compare", bank, other, "--data", data / "all.csv")
    assert done.returncode == 0, done.stderr
    for name in (bank.name, other.name):
        assert f"{name}: images a line rejects as undecidable, whatever their scores (1):" in done.stdout
    assert done.stdout.count("dark/0.png: a line calls it undecidable (quality_exposure)") == 2
    assert done.stdout.count("masks that mark nothing: in no figure of pixels (1):") == 1


def test_images_that_a_line_would_not_judge_set_no_threshold(bank: Path, tmp_path: Path) -> None:
    *good, odd = pictures(tmp_path / "good", 13, light=1.001)
    dark, small = pictures(tmp_path / "dark", 5, light=0.5), pictures(tmp_path / "small", 5, side=60)

    def asked(
        images: list[Path], defects: tuple[Path, ...] = (), line: LineRules = BY_DEFAULT
    ) -> Recalibration:
        return recalibrate(bank, images, defects, 0.5, device="cpu", progress=quiet, write=False, line=line)

    clean, mixed = asked(good), asked([*good, *dark, *small], (odd, *dark, *small))
    assert mixed.calibration == clean.calibration
    assert mixed.good_images == clean.good_images
    assert set(mixed.skipped) == {str(path) for path in (*dark, *small)}
    assert mixed.skipped[str(dark[0])].startswith("a line calls it undecidable (quality_exposure): ")
    assert mixed.skipped[str(small[0])].startswith("is 60x60, the bank was built from 64x64: a line calls it")
    assert mixed.escapes is not None
    assert mixed.escapes.total == 1
    # The bank's own stay, and so does what the recipe says is judged.
    assert asked([bank.parent / "own" / "0.png"]).from_the_bank == 1
    lenient = LineRules.of(any_size=True, quality_off=("exposure",))
    told = str(asked([*good, *dark, *small], line=lenient).skipped)
    assert "quality_exposure" not in told
    assert "60x60" not in told
    with pytest.raises(InputError, match=r"no good image can be used, expected some \(.*: a line calls it"):
        asked(dark)
    with pytest.raises(InputError, match=r"no defective image can be used, expected some \(.*: is 60x60"):
        asked(good, tuple(small))
