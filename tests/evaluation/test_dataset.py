from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import write_images

from inspectd.errors import InputError
from inspectd.evaluation.dataset import read_dataset
from inspectd.pictures.folder import defective_pixels


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_an_mvtec_folder_with_masks(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/0.png", "test/good/1.png", "test/crack/2.png", "test/crack/3.png")
    touch(tmp_path, "ground_truth/crack/2_mask.png")
    images = read_dataset(tmp_path).images
    assert [(i.label, i.path.name, i.defective, i.mask and i.mask.name) for i in images] == [
        ("crack", "2.png", True, "2_mask.png"),
        ("crack", "3.png", True, None),
        ("good", "1.png", False, None),
    ]


def test_a_folder_of_labels(tmp_path: Path) -> None:
    images = read_dataset(touch(tmp_path, "good/a.png", "dent/b.jpg")).images
    assert [(image.label, image.path.name) for image in images] == [("dent", "b.jpg"), ("good", "a.png")]


def test_a_csv_of_paths_and_labels(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "m.png")
    (tmp_path / "data.csv").write_text("path,label,mask\na.png,good,\nb.png,dent,m.png\n")
    images = read_dataset(tmp_path / "data.csv").images
    assert [(i.path, i.label, i.mask) for i in images] == [
        (tmp_path / "a.png", "good", None),
        (tmp_path / "b.png", "dent", tmp_path / "m.png"),
    ]


def test_parts_are_named_by_paths_or_by_a_column_and_not_by_both(tmp_path: Path) -> None:
    touch(tmp_path, "test/good/a_1.png", "test/good/a_2.png", "test/dent/b_1.png")
    images = read_dataset(tmp_path, "([^/]*)_").images
    assert [(image.path.name, image.part) for image in images] == [
        ("b_1.png", "b"), ("a_1.png", "a"), ("a_2.png", "a")
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"--parts: 'x' finds no part in 'test/dent/b_1.png'"):
        read_dataset(tmp_path, "x")
    lines = [
        "path,label,part",
        "test/good/a_1.png,good,7",
        "test/good/a_2.png,good,",
        "test/dent/b_1.png,dent,7",
    ]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    assert [image.part for image in read_dataset(tmp_path / "data.csv").images] == ["7", None, "7"]
    with pytest.raises(InputError, match=r"--parts: expected only with a folder; .* in its column `part`"):
        read_dataset(tmp_path / "data.csv", "([^/]*)_")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"is empty, expected the columns path and label"),
        ("file,label\na.png,good\n", r"line 2: expected the columns path and label"),
        ("path,label\nnone.png,good\n", r"line 2: image .*none.png not found"),
        ("path,label\na.png,good\n", r"has no defective images"),
    ],
)
def test_a_csv_with_faults_says_where(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_dataset(tmp_path / "data.csv")


def test_a_folder_without_defects_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no defective images"):
        read_dataset(touch(tmp_path, "good/a.png"))
    with pytest.raises(InputError, match="not found"):
        read_dataset(tmp_path / "nowhere")


SQUARE = np.zeros((48, 64), np.uint8)
SQUARE[10:20, 30:40] = 255


def with_masks(root: Path, mask_name: str, suffix: str = ".png") -> Path:
    """Three good images and three of cracks, each of these with a mask of that name."""
    write_images(root, [f"test/{label}/{i:03}{suffix}" for label in ("good", "crack") for i in range(3)])
    for i in range(3):
        path = root / mask_name.format(i=i)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix.lower(), SQUARE)[1].tobytes())
    return root


@pytest.mark.parametrize(
    "mask_name",
    [
        "ground_truth/crack/{i:03}_mask.png",
        "ground_truth/crack/{i:03}_Mask.PNG",
        "ground_truth/crack/{i:03}_gt.png",
        "ground_truth/crack/mask_{i:03}.png",
        "ground_truth/crack/{i:03}.png",
        "ground_truth/crack/{i:03}/000.png",
        "Ground_Truth/crack/{i:03}_mask.jpg",
        "test/ground_truth/crack/{i:03}.png",
        "test/crack/{i:03}_mask.png",
        "test/crack/{i:03}.bmp",
    ],
)
def test_masks_are_found_by_every_usual_name(tmp_path: Path, mask_name: str) -> None:
    data = read_dataset(with_masks(tmp_path, mask_name))
    defective = [image for image in data.images if image.defective]
    assert [(image.label, image.path.name) for image in defective] == [
        ("crack", f"{i:03}.png") for i in range(3)
    ]
    share = (SQUARE > 0).mean()
    assert all(defective_pixels(i.mask).mean() == pytest.approx(share, rel=0.02) for i in defective if i.mask)
    assert all(image.mask for image in defective)
    assert not any("belong to no image" in note for note in data.notes)


def test_masks_that_belong_to_no_image_are_counted(tmp_path: Path) -> None:
    root = with_masks(tmp_path, "ground_truth/crack/{i:03}_mask.png")
    (root / "ground_truth/crack/001_mask.png").rename(root / "ground_truth/crack/77_mask.png")
    data = read_dataset(root)
    assert [path.name for path in data.stray_masks] == ["77_mask.png"]
    assert data.notes == ["masks for 2 of 3 defective images, 1 mask files belong to no image"]


def test_hidden_folders_are_no_labels_and_linked_ones_are(tmp_path: Path) -> None:
    write_images(
        tmp_path, ["d/test/good/1.png", "d/test/.ipynb_checkpoints/1.png", "d/test/@eaDir/1.png", "nas/2.png"]
    )
    (tmp_path / "d/test/scratch").symlink_to(tmp_path / "nas")
    data = read_dataset(tmp_path / "d")
    assert {image.label for image in data.images} == {"good", "scratch"}
    assert sum(data.left_out.values()) == 2


@pytest.mark.parametrize("label", ["Good", "GOOD", "good "])
def test_a_label_that_is_nearly_good_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(InputError, match=rf"has the label '{label}'; the label of good parts is 'good'"):
        read_dataset(touch(tmp_path, f"{label}/a.png", "good/b.png", "dent/c.png"))


def test_a_csv_of_a_spreadsheet_is_read_or_its_separator_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    (tmp_path / "data.csv").write_bytes(b"\xef\xbb\xbfpath,label\r\na.png,good\r\nb.png,dent\r\n")
    assert [image.label for image in read_dataset(tmp_path / "data.csv").images] == ["good", "dent"]
    (tmp_path / "data.csv").write_text("path;label\na.png;good\nb.png;dent\n")
    with pytest.raises(InputError, match="separated by ';', expected ','"):
        read_dataset(tmp_path / "data.csv")


def test_a_csv_that_names_a_missing_mask_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    (tmp_path / "data.csv").write_text("path,label,mask\na.png,good,\nb.png,dent,gone.png\n")
    with pytest.raises(InputError, match=r"line 3: mask .*gone\.png not found"):
        read_dataset(tmp_path / "data.csv")


@pytest.mark.parametrize("is_csv", [False, True])
def test_a_picture_that_is_good_and_a_defect_is_refused(tmp_path: Path, is_csv: bool) -> None:
    for name, content in {
        "good/a.png": b"one",
        "good/b.png": b"two",
        "crack/c.png": b"two",
        "crack/d.png": b"six",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    source = tmp_path
    if is_csv:
        source = tmp_path / "labels.csv"
        source.write_text("path,label\ngood/a.png,good\ngood/b.png,good\ngood/b.png,crack\n")
    with pytest.raises(
        InputError, match=r"good/b\.png \(label 'good'\) and .*\.png \(label 'crack'\) are the same"
    ):
        read_dataset(source)
