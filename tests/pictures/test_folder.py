import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import noise, write_images

from inspectd.capture.images import ImagesDriver
from inspectd.config import ImagesCamera
from inspectd.errors import InputError
from inspectd.pictures.folder import defective_pixels, described, list_good_pictures, list_pictures

SQUARE = np.zeros((48, 64), np.uint8)
SQUARE[10:20, 30:40] = 255


def put(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix.lower(), pixels)[1].tobytes())


def names(folder):
    """What is listed, which is what the camera replays too."""
    listed = [path.relative_to(folder).as_posix() for path in list_pictures(folder).pictures]
    driver = ImagesDriver(ImagesCamera(name="c", recipe="r", folder=str(folder), fps=1000))
    driver.open(lambda: None)
    replayed = []
    while (frame := driver.read()) is not None:
        replayed.append(frame.source)
    assert replayed == listed
    return listed


def test_what_is_hidden_or_a_file_servers_own_is_left_out_and_said(tmp_path):
    write_images(tmp_path, ["a.png", "sub/b.png"])
    inside = [
        ".Trash-1000/files",
        "@Recycle",
        "#recycle",
        "$RECYCLE.BIN/S-1",
        ".ipynb_checkpoints",
        "sub/@eaDir",
    ]
    inside += ["System Volume Information", "__MACOSX", "lost+found"]
    write_images(tmp_path, [f"{folder}/x.png" for folder in inside])
    (tmp_path / "._a.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "b.tif.part").write_text("x")
    assert names(tmp_path) == ["a.png", "sub/b.png"]
    told = described(list_pictures(tmp_path).left_out)
    for word in (
        "1 hidden file",
        "1 file ending in .txt",
        "1 file ending in .part",
        "@Recycle",
        ".Trash-1000",
    ):
        assert word in told


def test_a_folder_that_is_hidden_itself_can_be_named(tmp_path):
    write_images(tmp_path / ".store", ["a.png"])
    assert names(tmp_path / ".store") == ["a.png"]


def test_every_kind_of_picture_is_found_by_any_usual_suffix(tmp_path):
    found = ["a.jfif", "b.jpe", "c.pgm", "d.ppm", "e.pnm", "f.jp2", "g.TIFF", "h.webp", "i.BMP"]
    for seed, name in enumerate(found):
        kind = {".jfif": ".jpg", ".jpe": ".jpg"}.get(Path(name).suffix, Path(name).suffix.lower())
        pixels = noise(seed)[:, :, 0] if kind == ".pgm" else noise(seed)
        (tmp_path / name).write_bytes(cv2.imencode(kind, pixels)[1].tobytes())
    assert names(tmp_path) == found


def test_links_to_folders_are_followed_once_each(tmp_path):
    write_images(tmp_path / "nas", ["mon/1.png", "tue/2.png"])
    write_images(tmp_path / "good", ["0.png"])
    for day in ("mon", "tue"):
        (tmp_path / "good" / day).symlink_to(tmp_path / "nas" / day)
    (tmp_path / "good" / "again").symlink_to(tmp_path / "nas" / "tue")
    (tmp_path / "good" / "round").symlink_to(tmp_path / "good")
    (tmp_path / "good" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    assert names(tmp_path / "good") == ["0.png", "again/2.png", "mon/1.png"]
    left_out = list_pictures(tmp_path / "good").left_out
    assert left_out == {"folders already read under another name": 2, "broken links": 1}


@pytest.mark.timeout(20)
def test_pipes_and_folders_named_like_pictures_are_not_opened(tmp_path):
    write_images(tmp_path, ["a.png", "folder.png/b.png"])
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    assert names(tmp_path) == ["a.png", "folder.png/b.png"]
    assert list_pictures(tmp_path).left_out == {"pipes, sockets and devices": 2}


def test_masks_are_no_parts_wherever_they_lie(tmp_path):
    write_images(
        tmp_path,
        ["crack/1.jpg", "crack/2.jpg", "crack/3.jpg", "crack/4.jpg", "good/5.png", "good/face_mask.png"],
    )
    for name in (
        "crack/1.png",
        "crack/2_mask.png",
        "crack/3_GT.png",
        "crack/mask_4.PNG",
        "ground_truth/crack/1.png",
    ):
        put(tmp_path / name, SQUARE)
    put(tmp_path / "crack/9_mask.png", SQUARE)  # of a picture that is gone
    expected = [
        "crack/1.jpg",
        "crack/2.jpg",
        "crack/3.jpg",
        "crack/4.jpg",
        "good/5.png",
        "good/face_mask.png",
    ]
    assert names(tmp_path) == expected
    assert list_pictures(tmp_path).left_out == {"masks, not parts": 6}


def test_two_pictures_of_one_name_are_both_parts(tmp_path):
    write_images(tmp_path, ["1.jpg", "1.png"])
    assert names(tmp_path) == ["1.jpg", "1.png"]


@pytest.mark.parametrize(("suffix", "mask"), [(".png", SQUARE), (".png", SQUARE // 255), (".jpg", SQUARE)])
def test_a_mask_is_defective_where_it_was_drawn(tmp_path, suffix, mask):
    put(tmp_path / f"m{suffix}", mask)
    share = defective_pixels(tmp_path / f"m{suffix}").mean()
    assert share == pytest.approx((SQUARE > 0).mean(), rel=0.02)


def test_a_folder_without_pictures_says_what_there_is(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds no image; .*\.jfif.*; left out: 1 file ending in \.txt"):
        list_pictures(tmp_path)


@pytest.mark.parametrize(
    ("files", "meant"),
    [
        (["good/a.png", "dent/b.png"], "good"),
        (["OK/a.png", "NOK/b.png"], "OK"),
        (["train/good/a.png", "test/good/b.png", "test/dent/c.png"], "train/good"),
        (["cells/Good/a.png", "cells/cracked/b.png"], "cells/Good"),
        (["parts/a.png", "parts/NOK/b.png"], ""),
        (["a.png", "defective/b.png"], ""),
        (["pass/a.png", "NG_2024/b.png"], ""),
    ],
)
def test_defects_of_a_labelled_data_set_are_not_learnt_as_good(tmp_path, files, meant):
    write_images(tmp_path, files)
    with pytest.raises(InputError, match="looks like a labelled data set") as error:
        list_good_pictures(tmp_path)
    if meant:
        assert str(error.value).endswith(f", such as {tmp_path / meant}")
        assert len(list_good_pictures(tmp_path / meant).pictures) == 1


@pytest.mark.parametrize(
    "files",
    [
        ["a.png", "b.png"],
        ["good/a.png", "c.png"],
        ["good/a.png", "good-2/b.png"],
        ["monday/a.png", "tuesday/b.png"],
        ["okuma/a.png", "mazak/b.png"],
        ["normal_exposure/a.png", "low_exposure/b.png"],
        ["badge/a.png", "failsafe/b.png"],
        ["train/good/a.png"],
        ["test/a.png"],
    ],
)
def test_other_folders_of_good_parts_are_taken_whole(tmp_path, files):
    write_images(tmp_path, files)
    assert len(list_good_pictures(tmp_path).pictures) == len(files)
