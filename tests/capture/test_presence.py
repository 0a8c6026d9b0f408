"""What is known of the empty belt: parts are never overlooked, and an empty belt mostly is not inspected."""

import cv2
import numpy as np
import pytest
from support.capture_child import CaptureChild

from inspectd.capture.presence import EmptyBelt, PresenceError, read_empty_belt
from inspectd.config import GenicamCamera, ImagesCamera, OpenCvCamera, PresenceSettings
from inspectd.records import CameraPhase, DropCause, Quality

HEIGHT, WIDTH = 120, 160
BELT = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 60, (4 * HEIGHT, WIDTH)), (0, 0), 2) + 90


def belt(seed, light=1.0, part=None):
    chance = np.random.default_rng(seed)
    grey = np.roll(BELT, int(chance.integers(0, 4 * HEIGHT)), 0)[:HEIGHT].copy()
    if part is not None:
        cv2.circle(grey, (80, 60), *part, -1)
    pixels = light * grey[..., None] * [1.0, 0.98, 0.95] + chance.normal(0, 3, (HEIGHT, WIDTH, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def pictures(count=30):
    return [(f"{seed}.png", belt(seed)) for seed in range(count)]


@pytest.fixture(scope="module")
def empty():
    return EmptyBelt(pictures(), 0.2)


@pytest.mark.parametrize("light", [0.88, 1.0, 1.15])
def test_an_empty_belt_is_known_under_changed_light(empty, light):
    assert np.mean([empty.is_in(belt(seed, light)) for seed in range(100, 140)]) > 0.9


@pytest.mark.parametrize("light", [0.6, 1.5])
def test_under_light_that_is_out_of_bounds_everything_is_inspected(empty, light):
    assert not any(empty.is_in(belt(seed, light)) for seed in range(100, 120))


@pytest.mark.parametrize("part", [(8, 30.0), (8, 160.0), (20, 60.0), (40, 75.0), (40, 105.0), (200, 90.0)])
def test_no_part_is_taken_for_the_empty_belt(empty, part):
    """Dark or bright, small or so large and plain that it hides the whole belt."""
    assert not any(empty.is_in(belt(seed, part=part)) for seed in range(100, 140))


def stained(seed, part=None):
    """A plain belt of slats that each have a stain."""
    chance = np.random.default_rng(seed)
    grey = 120 + chance.normal(0, 3, (HEIGHT, WIDTH))
    cv2.circle(grey, (int(chance.integers(0, WIDTH)), int(chance.integers(0, HEIGHT))), 10, 60.0, -1)
    if part is not None:
        cv2.circle(grey, (80, 60), 14, part, -1)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_how_much_a_belt_hides_is_known(empty):
    blind = EmptyBelt([(f"{seed}.png", stained(seed)) for seed in range(40)], 0.2)
    assert empty.hidden_grey_levels < 30
    assert blind.hidden_grey_levels > 40
    least = 120 + 1.1 * blind.hidden_grey_levels
    assert all(blind.is_in(stained(seed, 140.0)) for seed in range(100, 120))
    assert not any(blind.is_in(stained(seed, least)) for seed in range(100, 120))


def test_a_camera_without_colour_is_held_against_grey_pictures():
    grey = EmptyBelt([(name, np.repeat(pixels[..., :1], 3, axis=2)) for name, pixels in pictures()], 0.2)
    assert np.mean([grey.is_in(belt(seed)[..., :1]) for seed in range(100, 120)]) > 0.9
    assert not any(grey.is_in(belt(seed, part=(20, 60.0))[..., :1]) for seed in range(100, 120))


def test_a_picture_of_another_size_is_no_empty_belt(empty):
    assert not empty.is_in(belt(1)[:-2])


def test_a_part_among_the_empty_pictures_is_named():
    with pytest.raises(PresenceError, match=r"part\.png: differs .*if it shows a part, or dirt, remove it"):
        EmptyBelt([*pictures(), ("part.png", belt(50, part=(30, 170.0)))], 0.2)


def write(folder, pixels):
    folder.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(pixels):
        cv2.imwrite(str(folder / f"{number:03}.png"), each)
    return str(folder)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ([belt(seed) for seed in range(9)], "9 pictures of the empty belt, expected 10 to 500"),
        ([*(belt(seed) for seed in range(10)), belt(10)[:-2]], "010.png: is 160x118, 000.png is 160x120"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused_with_their_folder(tmp_path, pixels, said):
    folder = write(tmp_path / "empty", pixels)
    with pytest.raises(PresenceError, match=f"{folder}: {said}"):
        read_empty_belt(seen_by(folder))


def seen_by(folder, kind=ImagesCamera, **settings):
    source = {kind.source_key: "name:top"}
    return kind(name="cam", recipe="r", presence=PresenceSettings(empty_folder=folder), **source, **settings)


@pytest.mark.parametrize(
    ("camera", "shift"),
    [
        ({"kind": ImagesCamera, "bit_depth": 12}, 4),
        ({"kind": OpenCvCamera, "bit_depth": 10}, 2),
        ({"kind": GenicamCamera, "pixel_format": "Mono16"}, 8),
    ],
)
def test_pictures_of_a_camera_of_more_bits_are_read_as_it_delivers_them_or_as_they_were_recorded(
    tmp_path, camera, shift
):
    recorded = write(tmp_path / "recorded", [each for _, each in pictures(10)])
    of_maker = write(tmp_path / "maker", [each.astype(np.uint16) << shift for _, each in pictures(10)])
    one, other = (read_empty_belt(seen_by(folder, **camera)) for folder in (recorded, of_maker))
    assert one.difference(belt(50)) == other.difference(belt(50)) <= 1


def test_pictures_of_more_bits_than_anybody_said_are_refused_with_what_to_set(tmp_path):
    folder = write(tmp_path / "maker", [each.astype(np.uint16) << 4 for _, each in pictures(10)])
    with pytest.raises(
        PresenceError, match=r"000\.png: has 16 bits per channel .* pixel_format of the camera"
    ):
        read_empty_belt(seen_by(folder, GenicamCamera))


def shown(tmp_path, mode):
    part = (30, 170.0)
    seen = [
        belt(100),
        belt(101, part=part),
        belt(102),
        belt(103),
        belt(104, part=part),
        np.zeros_like(belt(1)),
    ]
    write(tmp_path / "line", seen)
    presence = PresenceSettings(empty_folder=write(tmp_path / "empty", [each for _, each in pictures()]))
    return ImagesCamera(
        name="cam", recipe="r", folder=str(tmp_path / "line"), fps=100.0, mode=mode, presence=presence
    )


def test_a_free_frame_of_the_empty_belt_is_a_drop_and_the_count_closes(tmp_path):
    with CaptureChild(shown(tmp_path, "free")) as child:
        child.until_phase(CameraPhase.ENDED)
    assert [(f.seq, f.quality) for f in child.frames()] == [
        (2, Quality.OK), (5, Quality.OK), (6, Quality.BLACK)
    ]  # fmt: skip
    assert [(d.seq, d.cause) for d in child.drops()] == [(seq, DropCause.NO_PART) for seq in (1, 3, 4)]


def test_a_triggered_frame_of_the_empty_belt_stays_where_its_trigger_finds_it(tmp_path):
    with CaptureChild(shown(tmp_path, "triggered")) as child:
        child.until_phase(CameraPhase.ENDED)
    assert [f.quality for f in child.frames()] == [
        Quality.NO_PART, Quality.OK, Quality.NO_PART, Quality.NO_PART, Quality.OK, Quality.BLACK
    ]  # fmt: skip
    assert child.drops() == []


def test_without_the_folder_the_camera_is_down_with_the_reason(tmp_path):
    camera = shown(tmp_path, "free")
    (tmp_path / "empty").rename(tmp_path / "gone")
    with CaptureChild(camera) as child:
        down = child.until_phase(CameraPhase.DOWN)
    assert "empty: not found" in down.detail
