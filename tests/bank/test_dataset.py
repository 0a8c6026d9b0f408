from pathlib import Path

import pytest

from inspectd.bank.dataset import load_dataset
from inspectd.errors import InputError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_an_mvtec_folder_with_masks(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/good/1.png", "test/crack/2.png", "test/crack/3.png")
    touch(tmp_path, "ground_truth/crack/2_mask.png")
    images = load_dataset(tmp_path)
    assert [(i.label, i.path.name, i.defective, i.mask and i.mask.name) for i in images] == [
        ("crack", "2.png", True, "2_mask.png"),
        ("crack", "3.png", True, None),
        ("good", "1.png", False, None),
    ]


def test_a_folder_of_labels(tmp_path: Path) -> None:
    images = load_dataset(touch(tmp_path, "good/a.png", "dent/b.jpg"))
    assert [(image.label, image.path.name) for image in images] == [("dent", "b.jpg"), ("good", "a.png")]


def test_a_csv_of_paths_and_labels(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "m.png")
    (tmp_path / "data.csv").write_text("path,label,mask\na.png,good,\nb.png,dent,m.png\n")
    images = load_dataset(tmp_path / "data.csv")
    assert [(i.path, i.label, i.mask) for i in images] == [
        (tmp_path / "a.png", "good", None),
        (tmp_path / "b.png", "dent", tmp_path / "m.png"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,good\n", r"line 2: expected the columns path and label"),
        ("path,label\nnone.png,good\n", r"line 2: image .*none.png not found"),
        ("path,label\na.png,good\n", r"has no defective images"),
    ],
)
def test_a_csv_with_faults_says_where(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path / "data.csv")


def test_a_folder_without_defects_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no defective images"):
        load_dataset(touch(tmp_path, "good/a.png"))
    with pytest.raises(InputError, match="not found"):
        load_dataset(tmp_path / "nowhere")
