"""What limits good images give, and which faults they find."""

import cv2
import msgspec
import numpy as np
import pytest
from support.station import Station

from inspectd.quality.check import FrameCheck
from inspectd.quality.learn import FEWEST, QualityLearner
from inspectd.quality.learnt import REFERENCES
from inspectd.quality.measures import measure_detail
from inspectd.quality.trials import COLOURS, blurred, brighter, displaced, half_missing
from inspectd.wire import Reason


def learnt_of(pictures):
    learner = QualityLearner()
    for number, picture in enumerate(pictures):
        learner.add(f"{number}.png", picture)
    return learner.learn()


def learnt_of_parts(pictures, parts):
    learner = QualityLearner(parts=parts)
    for name, picture in pictures.items():
        learner.add(name, picture)
    return learner.learn()


def check_of(learnt):
    return FrameCheck(learnt.quality, learnt.tensors)


@pytest.fixture(scope="module")
def learnt():
    return learnt_of(Station().pictures(60))


@pytest.fixture(scope="module")
def check(learnt):
    return check_of(learnt)


def reason_for(check, picture, off=()):
    return check.reason(check.beyond(check.measure(picture), off))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: brighter(p, 0.6), Reason.QUALITY_EXPOSURE),
        (lambda p: brighter(p, 1.6), Reason.QUALITY_EXPOSURE),
        (lambda p: blurred(p, 2.0), Reason.QUALITY_FOCUS),
        (lambda p: displaced(p, 8, 0, 0), Reason.QUALITY_POSITION),
        (lambda p: displaced(p, 0, -8, 0), Reason.QUALITY_POSITION),
        (lambda p: displaced(p, 0, 0, 3), Reason.QUALITY_POSITION),
        (lambda p: p[::-1, ::-1].copy(), Reason.QUALITY_SCENE),
        (lambda p: p[:, ::-1].copy(), Reason.QUALITY_SCENE),
        (half_missing, Reason.QUALITY_SCENE),
        (lambda p: np.full_like(p, round(p.mean())), Reason.QUALITY_SCENE),
    ],
)  # fmt: skip
def test_each_fault_is_found_by_its_cause(check, spoil, reason):
    pictures = Station(seed=9).pictures(5)
    assert {reason_for(check, spoil(picture)) for picture in pictures} == {reason}


def test_good_pictures_that_it_has_not_seen_are_within_the_limits(check):
    assert not any(check.beyond(check.measure(picture)) for picture in Station(seed=7).pictures(200))


def test_what_it_finds_is_tried_out_and_said(learnt):
    found = learnt.quality.found
    assert found["turned by 180 degrees"] == found["mirrored left to right"] == 1.0
    assert COLOURS not in found  # grey parts
    assert "grey" in learnt.quality.not_findable["blue_share"]
    assert {near.measure for near in learnt.quality.nearest} == set(learnt.quality.limits)


def test_a_symmetric_part_may_be_turned_and_that_is_said():
    found = learnt_of(Station(symmetric=True).pictures(FEWEST)).quality.found
    assert found["turned by 180 degrees"] == found["mirrored left to right"] == 0.0
    assert found["turned by 3 degrees"] == 1.0


def test_exchanged_colours_are_found_in_coloured_parts_and_so_is_lost_colour():
    station = Station(coloured=True)
    check = check_of(learnt_of(station.pictures(FEWEST)))
    picture = station.picture()
    assert check.beyond(check.measure(picture)) == []
    assert reason_for(check, picture[..., ::-1].copy()) is Reason.QUALITY_COLOUR
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert reason_for(check, grey) is Reason.QUALITY_COLOUR
    assert check.learnt.found[COLOURS] == 1.0


@pytest.fixture(scope="module")
def coloured():
    """Pictures, and the limits that they give."""
    pictures = Station(coloured=True).pictures(100)
    return pictures, learnt_of(pictures).quality.limits


@pytest.mark.parametrize("of", [0, 30])
def test_one_grey_image_among_coloured_ones_leaves_the_limits_of_colour(coloured, of):
    pictures, limits = [*coloured[0]], coloured[1]
    pictures[of] = np.repeat(pictures[of].mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    learnt = learnt_of(pictures)
    for name in ("blue_share", "red_share", "tint"):
        assert learnt.quality.limits[name].low == pytest.approx(limits[name].low, rel=0.1)
    assert any(near.image == f"{of}.png" for near in learnt.quality.nearest)
    assert learnt.quality.found[COLOURS] == 1.0
    assert reason_for(check_of(learnt), pictures[of]) is Reason.QUALITY_COLOUR
    pictures[3:5] = [each[..., :1].repeat(3, axis=2) for each in pictures[3:5]]
    assert "3 of them are grey" in learnt_of(pictures).quality.not_findable["blue_share"]


def test_parts_that_lie_anywhere_get_no_limit_of_position():
    learnt = learnt_of(Station(loose_px=24).pictures(60)).quality
    assert "shift_x_px" not in learnt.limits
    assert "differ" in learnt.not_findable["shift_x_px"] or "alike" in learnt.not_findable["likeness"]


def test_texture_has_no_place_and_keeps_its_other_limits():
    chance = np.random.default_rng(3)
    pictures = [chance.integers(60, 180, (150, 200, 3)).astype(np.uint8) for _ in range(FEWEST)]
    learnt = learnt_of(pictures)
    assert "alike" in learnt.quality.not_findable["likeness"]
    assert REFERENCES not in learnt.tensors
    assert reason_for(check_of(learnt), blurred(pictures[0], 2.0)) is Reason.QUALITY_FOCUS


def test_images_of_several_sizes_have_no_picture_of_all():
    pictures = Station().pictures(FEWEST)
    pictures[0] = pictures[0][:140].copy()
    assert "2 sizes" in learnt_of(pictures).quality.not_findable["likeness"]


@pytest.mark.parametrize("upright", [False, True])
def test_in_a_long_region_place_is_measured_as_in_any_other(upright):
    """Almost six times as long as wide, lying or standing."""
    long = (0.0, 0.27, 1.0, 0.23)
    pictures = [np.rot90(each).copy() if upright else each for each in Station(seed=2).pictures(60)]
    region = tuple(long[each] for each in (1, 0, 3, 2)) if upright else long
    learner = QualityLearner(region)
    for number, picture in enumerate(pictures):
        learner.add(f"{number}.png", picture)
    learnt = learner.learn()
    check = FrameCheck(learnt.quality, learnt.tensors, region)
    before, moved = (check.measure(each) for each in (pictures[0], displaced(pictures[0], 4, -3, 2)))
    assert moved.shift_x_px - before.shift_x_px == pytest.approx(4, abs=1)
    assert moved.shift_y_px - before.shift_y_px == pytest.approx(-3, abs=1)
    assert moved.rotation_degrees - before.rotation_degrees == pytest.approx(2, abs=0.2)
    assert {"shift_x_px", "shift_y_px", "rotation_degrees"} <= set(check.beyond(moved))


def test_frames_of_a_bank_that_was_learnt_of_stretched_pictures_are_stretched():
    chance = np.random.default_rng(3)
    pictures = [chance.integers(60, 180, (40, 240, 3)).astype(np.uint8) for _ in range(FEWEST)]
    learnt = learnt_of(pictures)
    stretched = FrameCheck(msgspec.structs.replace(learnt.quality, measured=1), {}).measure(pictures[0])
    wanted = cv2.resize(pictures[0], (96, 32), interpolation=cv2.INTER_AREA)
    assert stretched.grain == FrameCheck(learnt.quality, {}).measure(wanted).grain
    assert stretched.grain != check_of(learnt).measure(pictures[0]).grain


def test_in_a_region_longer_than_any_part_no_place_is_measured():
    pictures = [cv2.resize(each, (680, 40)) for each in Station().pictures(FEWEST)]
    learnt = learnt_of(pictures).quality
    assert "longer than 16:1" in learnt.not_findable["shift_y_px"]
    assert "rotation_degrees" not in learnt.limits


@pytest.fixture(scope="module")
def bursts():
    """Names and pictures: 60 parts, each taken four times, which differ by noise alone."""
    chance, pictures = np.random.default_rng(5), {}
    for number, taken in enumerate(Station(seed=4).pictures(60)):
        for shot in range(4):
            noise = chance.normal(0, 0.5, taken.shape)
            pictures[f"{number}_{shot}.png"] = np.clip(np.rint(taken + noise), 0, 255).astype(np.uint8)
    return pictures


def test_pictures_of_one_part_count_once(bursts):
    """Limits are as wide as those of one picture of each part, and no rate is shown by more than parts."""
    named = learnt_of_parts(bursts, {name: name.split("_")[0] for name in bursts}).quality
    unnamed = learnt_of_parts(bursts, None).quality
    one_of_each = learnt_of([picture for name, picture in bursts.items() if name.endswith("_0.png")]).quality
    assert (named.images, named.parts) == (240, 60)
    assert (unnamed.images, unnamed.parts) == (240, msgspec.UNSET)
    for name in ("mean_grey", "shift_x_px", "shift_y_px"):
        wide, narrow, wanted = (
            each.limits[name].high - each.limits[name].low for each in (named, unnamed, one_of_each)
        )
        assert wide == pytest.approx(wanted, rel=0.1), name
        assert narrow < 0.9 * wide, name
    assert named.held_out_alarms <= 60


def test_of_many_pictures_of_too_few_parts_nothing_is_learnt(bursts):
    few = {name: picture for name, picture in bursts.items() if int(name.split("_")[0]) < FEWEST - 1}
    assert learnt_of_parts(few, {name: name.split("_")[0] for name in few}) is None
    assert learnt_of_parts(few, None) is not None


def test_limits_do_not_depend_on_the_order_of_images_of_two_kinds():
    """Parts that lie by turns as they should and upside down, each kind of its own colour."""
    one = Station(coloured=True).pictures(40)
    other = [each[::-1, ::-1, ::-1].copy() for each in Station(coloured=True, seed=1).pictures(40)]
    after, by_turns = (
        learnt_of(one + other),
        learnt_of([each for pair in zip(one, other, strict=True) for each in pair]),
    )
    assert by_turns.quality.limits["likeness"].low > 0.6
    for name, limit in after.quality.limits.items():
        wanted = pytest.approx(msgspec.structs.astuple(limit), abs=1e-6)
        assert msgspec.structs.astuple(by_turns.quality.limits[name]) == wanted, name


@pytest.mark.parametrize(("left", "top"), [(0, 0), (3, 4), (8, 7)])
def test_blocks_of_jpeg_are_found_wherever_the_region_begins(left, top):
    region = (left / 400 + 1e-9, top / 300 + 1e-9, 0.8, 0.8)
    learner = QualityLearner(region)
    noise = np.random.default_rng(0)
    compressed = []
    for number in range(FEWEST):
        picture = cv2.GaussianBlur(noise.integers(0, 255, (300, 400), dtype=np.uint8), (0, 0), 2.0)
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 10])
        compressed.append(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
        learner.add(f"{number}.png", compressed[-1])
    learnt = learner.learn()
    usual = learnt.quality.limits["blocks"].usual
    assert usual > 2
    check = FrameCheck(learnt.quality, learnt.tensors, region)
    assert check.measure(compressed[0]).blocks == pytest.approx(usual, abs=0.2)


def test_a_region_without_a_whole_block_is_measured():
    narrow = np.full((6, 40), 128, np.uint8)
    for corner in ((0, 0), (1, 1), (6, 4)):
        assert measure_detail(narrow, corner)["blocks"] == 0


def test_of_too_few_images_nothing_is_learnt():
    assert learnt_of(Station().pictures(FEWEST - 1)) is None


@pytest.mark.parametrize(("most", "is_learnt"), [(FEWEST, True), (FEWEST - 1, False)])
def test_it_looks_at_images_where_there_can_be_enough_of_them(most, is_learnt):
    learner = QualityLearner(most=most)
    for number, picture in enumerate(Station().pictures(FEWEST)):
        learner.add(f"{number}.png", picture)
    assert (learner.learn() is not None) is is_learnt


def test_several_faults_give_the_first_reason_and_all_are_described(check, learnt):
    measures = check.measure(brighter(blurred(Station().picture(), 2.0), 0.5))
    beyond = check.beyond(measures)
    assert check.reason(beyond) is Reason.QUALITY_EXPOSURE
    words = check.described(beyond, measures)
    assert "mean_grey is" in words
    assert "detail is" in words


def test_a_reason_that_is_off_does_not_count(check):
    dark = brighter(Station().picture(), 0.6)
    assert reason_for(check, dark, off={Reason.QUALITY_EXPOSURE}) is not Reason.QUALITY_EXPOSURE


@pytest.mark.parametrize("shape", [(150, 200), (150, 200, 1)])
def test_a_frame_of_one_channel_is_measured_as_a_grey_one_of_three(check, shape):
    picture = Station(seed=5).picture()
    grey = np.repeat(picture[..., :1], 3, axis=2)
    one, three = (
        msgspec.structs.asdict(check.measure(each)) for each in (grey[..., 0].reshape(shape).copy(), grey)
    )
    assert one == pytest.approx(three, abs=1e-4)  # sums depend on where in memory their numbers lie
