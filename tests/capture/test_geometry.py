"""Turning and straightening a camera's pictures, and the calibration file that says how."""

import cv2
import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.pictures import write_images

from inspectd.capture.driver import CameraError, Frame
from inspectd.capture.geometry.calibration import (
    CalibrationError,
    LensCalibration,
    read_calibration,
    write_calibration,
)
from inspectd.capture.geometry.picture import PictureGeometry, read_geometry
from inspectd.capture.quality import FrameGate
from inspectd.capture.registry import make_driver
from inspectd.config import GeometrySettings, ImagesCamera, QualityGate
from inspectd.records import CameraPhase, Quality

K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
D = np.array([-0.3, 0.1, 0.001, 0, 0])
H = np.array([[1, 0.1, -10], [0.02, 1.1, -5], [1e-4, 2e-4, 1]])


def calibration(homography=None, **changed):
    known = {"camera_matrix": K, "distortion": D, "image_height": 240, "image_width": 320,
             "homography": homography, "output_height": 240, "output_width": 320}  # fmt: skip
    return LensCalibration(**known | changed)


def picture(height=240, width=320, channels=3):
    return np.random.default_rng(5).integers(0, 255, (height, width, channels), np.uint8)


@pytest.mark.parametrize(
    ("rotate", "flip", "expected"),
    [
        (90, "none", lambda p: np.rot90(p, -1)),
        (180, "none", lambda p: p[::-1, ::-1]),
        (270, "none", np.rot90),
        (0, "horizontal", lambda p: p[:, ::-1]),
        (0, "vertical", lambda p: p[::-1]),
        (90, "horizontal", lambda p: np.rot90(p, -1)[:, ::-1]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_turning_and_mirroring_move_pixels_and_change_none(rotate, flip, expected, channels):
    pixels = picture(channels=channels)
    geometry = PictureGeometry(GeometrySettings(rotate=rotate, flip=flip))
    corrected = geometry.apply(pixels)
    np.testing.assert_array_equal(corrected, expected(pixels))
    assert corrected.shape == geometry.shape_of(pixels.shape)
    assert corrected.flags.c_contiguous


def test_a_corrected_pixel_shows_what_lens_and_perspective_put_elsewhere():
    columns, rows = calibration(H).maps()
    ray = np.linalg.inv(K) @ np.linalg.inv(H) @ [100, 50, 1]
    seen = cv2.projectPoints((ray / ray[2])[None], np.zeros(3), np.zeros(3), K, D)[0].ravel()
    np.testing.assert_allclose([columns[50, 100], rows[50, 100]], seen, atol=0.001)


def test_a_bent_grid_becomes_straight_and_then_turns():
    straight = np.zeros((240, 320, 3), np.uint8)
    straight[:, 100:108] = 255
    to_bent = cv2.undistortPoints(
        np.stack(np.meshgrid(np.arange(320.0), np.arange(240.0)), -1).reshape(-1, 1, 2), K, D, P=K
    ).reshape(240, 320, 2).astype(np.float32)  # fmt: skip
    bent = cv2.remap(straight, to_bent, None, cv2.INTER_LINEAR)
    known = calibration(np.eye(3))
    corrected = PictureGeometry(GeometrySettings(calibration="x", rotate=90), known).apply(bent)
    assert corrected.shape == (320, 240, 3)
    assert corrected[102:106, 20:220].min() > 240  # the column became a row
    assert corrected[[97, 110], 20:220].max() < 50
    assert bent[:, 102:106].min() == 0


def test_the_lens_alone_leaves_no_black_corner():
    white = np.full((240, 320, 3), 255, np.uint8)
    assert PictureGeometry(GeometrySettings(calibration="x"), calibration()).apply(white).min() == 255


def test_a_frame_of_another_size_is_refused_and_not_stretched():
    geometry = PictureGeometry(GeometrySettings(calibration="lens.yml"), calibration())
    with pytest.raises(
        CalibrationError, match=r"lens\.yml: is for frames of 320x240, the camera gives 300x2"
    ):
        geometry.apply(picture(200, 300))


@pytest.mark.parametrize("name", ["lens.yml", "lens.json"])
@pytest.mark.parametrize("homography", [None, H])
def test_what_is_written_is_read_back(tmp_path, name, homography):
    write_calibration(tmp_path / name, calibration(homography, mm_per_pixel=0.25), {"reprojection": 0.2})
    read = read_calibration(tmp_path / name)
    np.testing.assert_allclose(read.camera_matrix, K)
    np.testing.assert_allclose(read.distortion, D)
    assert (read.image_width, read.image_height, read.mm_per_pixel) == (320, 240, 0.25)
    assert (read.homography is None) == (homography is None)
    assert [each.name for each in tmp_path.iterdir()] == [name]


SIZE = "image_width: 320\nimage_height: 240\n"


def matrix(name, rows, values):
    columns, data = len(values) // rows, ", ".join(map(str, values))
    return f"{name}: !!opencv-matrix\n   rows: {rows}\n   cols: {columns}\n   dt: d\n   data: [ {data} ]\n"


def coefficients(*values):
    return matrix("distortion_coefficients", 1, values)


MATRIX = matrix("camera_matrix", 3, [300.0, 0, 160.0, 0, 300.0, 120.0, 0, 0, 1])
SEEN_EDGEWISE = (
    matrix("homography", 3, [1, 0, 0, 0, 1, 0, 0.01, 0, 1]) + "output_width: 320\noutput_height: 240\n"
)
GOOD = SIZE + MATRIX + coefficients(-0.3, 0.1, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no YAML, JSON or XML"),
        ("camera", "no YAML, JSON or XML"),
        (MATRIX, "image_width: is missing"),
        (GOOD.replace("320", "320.5"), "image_width: got 320.5"),
        (GOOD.replace("300.0", ".Nan"), r"camera_matrix.data\[0\]: got nan"),
        (GOOD.replace("300.0", "-300.0"), "focal lengths above 0"),
        (GOOD.replace("rows: 3", "rows: 999999999"), "no small matrix"),
        (GOOD.replace("rows: 3", "rows: 4"), "has 9 values, expected 4 x 3"),
        (SIZE + MATRIX + coefficients(1, 2, 3), "got 3, expected 4, 5, 8, 12, 14"),
        (GOOD + "fisheye_model: 1\n", "fisheye_model"),
        (GOOD + "output_width: 5\n", "only together with homography"),
        (SIZE + MATRIX + coefficients(-3.0, 0, 0, 0), "folds|lies within|no numbers"),
        (GOOD + SEEN_EDGEWISE, "horizon"),
        ("{" + "[" * 300_000, "nested too deep"),
        ("x" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused_with_its_name(tmp_path, text, said):
    (tmp_path / "lens.yml").write_text(text if len(text) < 10 else f"%YAML:1.0\n---\n{text}")
    with pytest.raises(CalibrationError, match=rf"lens\.yml: .*({said})"):
        read_geometry(GeometrySettings(calibration=str(tmp_path / "lens.yml")))


def test_a_file_of_opencvs_own_sample_is_read(tmp_path):
    (tmp_path / "lens.yml").write_text(
        '%YAML:1.0\n---\ncalibration_time: "Mon"\nnframes: 13\nboard_width: 9\nsquare_size: 1.\n'
        f"# flags: +fix_aspectRatio\nflags: 2\nfisheye_model: 0\n{GOOD}avg_reprojection_error: 0.4\n"
    )
    assert read_geometry(GeometrySettings(calibration=str(tmp_path / "lens.yml"))).shape_of((240, 320, 3))


def test_a_missing_calibration_keeps_the_camera_closed_with_the_reason(tmp_path):
    settings = GeometrySettings(calibration=str(tmp_path / "none.yml"))
    driver = make_driver(ImagesCamera(name="c", recipe="r", folder=str(tmp_path), geometry=settings))
    with pytest.raises(CameraError, match=r"geometry\.calibration: .*none\.yml: cannot be read"):
        driver.open(lambda: None)


def test_a_torn_frame_is_found_wherever_its_torn_rows_are_turned_to():
    torn = picture()
    torn[180:] = 0
    gate = FrameGate(QualityGate())
    turned = np.ascontiguousarray(np.rot90(torn, 1))
    assert gate.judge(Frame(turned, 0, 0, as_given=torn), b"1") is Quality.PARTIAL
    assert gate.judge(Frame(turned, 0, 0), b"2") is Quality.OK  # what the raw picture is there for


def test_ring_record_and_pixels_are_those_of_the_corrected_picture(tmp_path):
    first, second = write_images(tmp_path, ["a.png", "b.png"], sizes=[(20, 30), (40, 50)])
    camera = ImagesCamera(
        name="cam", recipe="r", folder=str(tmp_path), fps=100.0, geometry=GeometrySettings(rotate=90)
    )
    with CaptureChild(camera) as child:
        child.until_phase(CameraPhase.ENDED)
    assert [(f.height, f.width) for f in child.frames()] == [(30, 20), (50, 40)]
    for seq, given in enumerate((first, second), 1):
        np.testing.assert_array_equal(child.pixels[seq], np.rot90(given, -1))
    assert child.ring.slot_bytes == second.nbytes


def test_a_frame_that_the_calibration_is_not_for_takes_the_camera_down(tmp_path):
    write_images(tmp_path / "pictures", ["a.png"], sizes=[(100, 120)])
    write_calibration(tmp_path / "lens.yml", calibration(), {})
    geometry = GeometrySettings(calibration=str(tmp_path / "lens.yml"))
    folder = str(tmp_path / "pictures")
    with CaptureChild(ImagesCamera(name="cam", recipe="r", folder=folder, geometry=geometry)) as child:
        down = child.until_phase(CameraPhase.DOWN)
    assert "is for frames of 320x240, the camera gives 120x100" in down.detail
    assert child.frames() == []
