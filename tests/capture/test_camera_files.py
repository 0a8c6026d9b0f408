"""A capture process that starts anew works by the files that the first one found, or not at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.pictures import write_images

from inspectd.capture.camera_files import CameraFiles
from inspectd.capture.driver import CameraError
from inspectd.capture.geometry.calibration import LensCalibration, write_calibration
from inspectd.capture.messages import FilesFound
from inspectd.config import GeometrySettings, ImagesCamera, PresenceSettings
from inspectd.records import CameraPhase


def write_lens(path: Path, focal_length: float = 300.0, bend: float = 0.0) -> None:
    matrix = np.array([[focal_length, 0, 32], [0, focal_length, 24], [0, 0, 1]])
    lens = LensCalibration(matrix, np.array([bend, 0, 0, 0, 0]), 48, 64, None, 48, 64)
    write_calibration(path, lens, {})


def camera(folder: Path, *kinds: str) -> ImagesCamera:
    """A camera whose pictures are made by some of its files, which are written."""
    write_images(folder / "parts", ["1.png", "2.png"])
    write_lens(folder / "lens.yml")
    write_images(folder / "empty", [f"{number}.png" for number in range(12)])
    return ImagesCamera(
        name="cam",
        recipe="r",
        folder=str(folder / "parts"),
        loop=True,
        fps=100.0,
        reconnect_min_ms=20,
        reconnect_max_ms=50,
        geometry=GeometrySettings(calibration=str(folder / "lens.yml") if "lens" in kinds else None),
        presence=PresenceSettings(empty_folder=str(folder / "empty") if "belt" in kinds else None),
    )


def digest(settings: ImagesCamera) -> str | None:
    return CameraFiles(settings).read(lambda: None)


def change(folder: Path, kind: str) -> None:
    if kind == "lens":
        write_lens(folder / "lens.yml", 310.0)
    elif kind == "belt":
        assert cv2.imwrite(str(folder / "empty" / "0.png"), np.full((48, 64, 3), 90, np.uint8))
    else:
        (folder / "empty" / "0.png").rename(folder / "empty" / "another.png")


@pytest.mark.parametrize("kind", ["lens", "belt"])
def test_what_was_changed_in_place_takes_the_camera_down_until_it_is_put_back(
    tmp_path: Path, kind: str
) -> None:
    settings = camera(tmp_path, kind)
    path = tmp_path / ("lens.yml" if kind == "lens" else "empty/0.png")
    before = path.read_bytes()
    with CaptureChild(settings) as child:
        child.until_phase(CameraPhase.UP)
        (found,) = (record for record in child.records if isinstance(record, FilesFound))
    change(tmp_path, kind)
    with CaptureChild(settings, generation=2, files_sha256=found.sha256) as child:
        down = child.until_phase(CameraPhase.DOWN)
        assert "has changed on disk since the line loaded it" in down.detail
        assert child.frames() == []
        path.write_bytes(before)
        child.until_phase(CameraPhase.UP)
        child.until(lambda: child.frames() or child.drops())
    with CaptureChild(settings, generation=3) as child:  # as after a reload: nothing is expected
        child.until_phase(CameraPhase.UP)


@pytest.mark.parametrize("kind", ["lens", "belt"])
def test_what_could_not_be_used_may_be_put_right_without_a_reload(tmp_path: Path, kind: str) -> None:
    settings = camera(tmp_path, kind)
    path = tmp_path / ("lens.yml" if kind == "lens" else "empty/0.png")
    right = path.read_bytes()
    path.write_bytes(
        b"%YAML:1.0" if kind == "lens" else cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1]
    )
    with CaptureChild(settings) as child:
        child.until_phase(CameraPhase.DOWN)
        path.write_bytes(right)
        child.until_phase(CameraPhase.UP)
        (found,) = (record for record in child.records if isinstance(record, FilesFound))
    assert found.sha256 == digest(settings)


def test_every_byte_and_name_counts(tmp_path: Path) -> None:
    settings = camera(tmp_path, "lens", "belt")
    seen = {digest(settings)}
    assert seen == {digest(settings)}
    for number, kind in enumerate(("lens", "belt", "name"), start=2):
        change(tmp_path, kind)
        seen.add(digest(settings))
        assert len(seen) == number
    assert digest(camera(tmp_path)) is None


def test_what_is_made_is_made_of_the_bytes_of_the_digest(tmp_path: Path) -> None:
    settings = camera(tmp_path, "lens", "belt")
    before, files, later = CameraFiles(settings), CameraFiles(settings), CameraFiles(settings)
    found = before.read(lambda: None)
    before.make(lambda: None)
    assert files.read(lambda: None) == found
    write_lens(tmp_path / "lens.yml", bend=3.0)
    files.make(lambda: None)
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert (files.geometry.apply(picture) == before.geometry.apply(picture)).all()
    assert later.read(lambda: None) != found
    later.make(lambda: None)
    assert (later.geometry.apply(picture) != before.geometry.apply(picture)).any()
    for kind, words in (
        ("belt", "0.png: was changed while it was read"),
        ("name", "another.png: was changed"),
    ):
        assert files.read(lambda: None)
        change(tmp_path, kind)
        with pytest.raises(CameraError, match=rf"^presence\.empty_folder: .*{words}"):
            files.make(lambda: None)
    assert files.read(lambda: None)
    (tmp_path / "empty" / "another.png").unlink()
    with pytest.raises(
        CameraError, match=r"^presence\.empty_folder: another\.png: was removed while it was read"
    ):
        files.make(lambda: None)


def test_files_that_cannot_be_read_are_named_with_their_setting(tmp_path: Path) -> None:
    settings = camera(tmp_path, "lens", "belt")
    (tmp_path / "empty" / "0.png").write_bytes(b"")
    with pytest.raises(CameraError, match=r"^presence\.empty_folder: .*empty: 0\.png: is empty"):
        digest(settings)
    (tmp_path / "lens.yml").unlink()
    with pytest.raises(CameraError, match=r"^geometry\.calibration: .*lens\.yml: cannot be read"):
        digest(settings)
