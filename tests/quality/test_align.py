"""Frames are laid onto the reference before they are scored, and heatmaps laid back."""

import cv2
import numpy as np
import pytest
from support.station import Station

from inspectd import cli
from inspectd.errors import BankError
from inspectd.model.score import ImageScore
from inspectd.quality.align import AligningPipeline, learn_aligned
from inspectd.quality.trials import displaced
from inspectd.wire import Reason

CELLS = (15, 20)


class Darkest:
    """Scores how dark each of the cells is."""

    overlaps = False
    is_one_by_one = True

    def warm_up(self, max_batch):
        pass

    def score(self, frames):
        maps = [
            255 - f[..., 0].reshape(15, f.shape[0] // 15, 20, f.shape[1] // 20).mean((1, 3)) for f in frames
        ]
        return [ImageScore(float(m.max()), m.astype(np.float16), {}) for m in maps]

    def begin(self, frames):
        return lambda: self.score(frames)


@pytest.fixture(scope="module", params=[None, (0.1, 0.1, 0.8, 0.8)])
def aligned(request):
    pictures = Station().pictures(50)
    return learn_aligned([(f"{n}.png", p) for n, p in enumerate(pictures)], request.param)


def test_copies_of_a_picture_are_no_further_images_to_align_by(tmp_path, capsys):
    for number, picture in enumerate(Station().pictures(25)):
        for copy in ("a", "b"):
            cv2.imwrite(str(tmp_path / f"{number}{copy}.png"), picture)
    words = ["bank", "build", "--images", str(tmp_path), "--out", str(tmp_path / "x.bank"), "--align", "on"]
    assert cli.main([*words, "--size", "64", "--device", "cpu"]) == 2
    assert "--align on: expected 50 images or more" in capsys.readouterr().err


def test_pictures_of_one_part_are_no_further_parts_to_align_by():
    pictures = {f"{n}.png": picture for n, picture in enumerate(Station().pictures(60))}
    learnt = learn_aligned(pictures.items(), None, {name: name[0] for name in pictures})
    assert learnt is None  # ten parts
    of_parts = {name: name.replace("59", "58") for name in pictures}
    assert learn_aligned(pictures.items(), None, of_parts).learnt.quality.parts == 59


def test_a_displaced_frame_is_scored_as_if_it_lay_as_the_reference_does(aligned):
    picture = Station(loose_px=0).picture()
    straight, moved = aligned.lay("", picture), aligned.lay("", displaced(picture, 9, -6, 3))
    inner = np.s_[30:-30, 30:-30]
    before = np.abs(picture[inner].astype(int) - displaced(picture, 9, -6, 3)[inner]).mean()
    assert np.abs(straight[inner].astype(int) - moved[inner]).mean() < before / 3


def test_its_heatmap_shows_a_defect_where_it_is_in_the_frame():
    pictures = Station().pictures(50)
    check = learn_aligned([(f"{n}.png", p) for n, p in enumerate(pictures)]).check
    picture = Station(loose_px=0).picture()
    picture[90:110, 60:80] = 0  # cells 9 and 10 down, 6 and 7 to the right
    moved = displaced(picture, 20, -10, 0)
    ours, (answer,) = Darkest().score([moved])[0], AligningPipeline(Darkest(), check).score([moved])
    there = np.unravel_index(ours.heatmap.argmax(), CELLS)
    found = np.unravel_index(answer.heatmap.argmax(), CELLS)
    assert np.abs(np.subtract(there, found)).max() <= 1


def test_a_grey_frame_and_a_region_of_a_larger_one_are_laid_alike(aligned):
    picture = displaced(Station(loose_px=0).picture(), 9, -6, 3)
    grey = picture[..., :1]
    around = np.pad(grey, ((5, 7), (3, 9), (0, 0)))[5:-7, 3:-9]
    assert not around.flags.c_contiguous
    scorer = AligningPipeline(Darkest(), aligned.check)
    (whole,), (cut,) = scorer.score([np.repeat(grey, 3, axis=2)]), scorer.score([around])
    assert whole.image_score == cut.image_score
    np.testing.assert_array_equal(whole.heatmap, cut.heatmap)


def test_what_cannot_be_laid_on_the_reference_has_no_position(aligned):
    check = aligned.check
    far = displaced(Station().picture(), 70, 50, 0)
    assert check.reason(check.beyond(check.measure(far))) is Reason.QUALITY_POSITION
    near = displaced(Station().picture(), 9, -6, 3)
    assert not {"shift_x_px", "shift_y_px", "rotation_degrees"} & set(check.beyond(check.measure(near)))


@pytest.mark.parametrize("reason", [Reason.QUALITY_SCENE, Reason.QUALITY_POSITION])
def test_frames_that_were_not_found_are_never_judged_whatever_is_off(aligned, reason):
    with pytest.raises(
        BankError, match=f"quality_off: has {reason.removeprefix('quality_')}, but the bank is"
    ):
        aligned.check.admit({reason, Reason.QUALITY_FOCUS})
    aligned.check.admit({Reason.QUALITY_FOCUS})


def test_texture_cannot_be_aligned():
    chance = np.random.default_rng(3)
    pictures = [chance.integers(60, 180, (150, 200, 3)).astype(np.uint8) for _ in range(50)]
    assert learn_aligned([(f"{n}.png", p) for n, p in enumerate(pictures)]) is None


def test_a_disc_cannot_be_aligned_as_its_rotation_does_not_show():
    chance = np.random.default_rng(3)
    pictures = []
    for _ in range(50):
        middle = 100 + chance.normal(0, 1), 75 + chance.normal(0, 1)
        disc = cv2.circle(
            np.full((150, 200, 3), 60, np.uint8), np.rint(middle).astype(int), 40, (180,) * 3, -1
        )
        pictures.append(np.clip(disc + chance.normal(0, 2, disc.shape), 0, 255).astype(np.uint8))
    assert learn_aligned([(f"{n}.png", p) for n, p in enumerate(pictures)]) is None
