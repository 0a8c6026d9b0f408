import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.pictures import noise, write_video

from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.build import BankBuilder, build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, OUTLIER_HEATMAPS, read_bank
from inspectd.bank.images import find_images, pixel_digest, read_image, video_frames
from inspectd.bank.polygons import JudgedArea, read_polygons
from inspectd.errors import InputError
from inspectd.model.options import PatchOptions
from inspectd.pictures.region import Region

SMALL = BuildSpec(height=64, width=64, coreset=0.2)


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def images(good_folder: Path) -> list[Path]:
    return find_images(good_folder)[:16]


def test_the_same_seed_gives_the_same_bank_bit_for_bit(images: list[Path], tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        spec = BuildSpec(height=64, width=64, coreset=0.2, seed=seed)
        build_bank(images, tmp_path / name, spec, quiet)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_the_report_and_the_manifest_say_the_same(images: list[Path], tmp_path: Path) -> None:
    report = build_bank(images, tmp_path / "x.bank", SMALL, quiet)
    bank = read_bank(tmp_path / "x.bank")
    assert bank.sha256 == report.sha256
    assert bank.manifest.images == report.images == 16
    assert bank.manifest.patches == report.patches == 16 * 4 * 4
    assert bank.manifest.rows == report.bank.rows == round(0.2 * 16 * 4 * 4)
    assert bank.manifest.dims == report.bank.dims == 176
    assert bank.tensors[GOOD_SCORES].shape == (16,)
    assert bank.tensors[IMAGE_DIGESTS].shape == (16, 32)
    # 16 images cannot show a rate of 1 %, so the largest of their scores is the threshold.
    assert bank.manifest.threshold == bank.tensors[GOOD_SCORES].max()


@pytest.mark.parametrize("detector", ["patchcore", "padim", "dfkde"])
def test_every_detector_is_built_and_scores(
    detector: str, images: list[Path], detector_banks: dict[str, Path]
) -> None:
    scorer = Scorer.load(detector_banks[detector], "cpu")
    frame = read_image(images[0])
    assert frame is not None
    broken = frame.copy()
    broken[60:160, 60:160] = 0
    good, defective = scorer.score([frame, broken])
    assert defective.image_score > good.image_score
    assert scorer.info.detector == detector


def test_unreadable_and_repeated_images_are_named_and_left_out(images: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(images[0].read_bytes()[:500])
    paths = [*images, broken, images[3]]
    report = build_bank(paths, tmp_path / "x.bank", SMALL, quiet)
    assert report.images == 16
    assert list(report.unreadable) == [str(broken)]
    assert "is incomplete" in report.unreadable[str(broken)]
    assert report.duplicates == [str(images[3])]
    strict = BuildSpec(height=64, width=64, strict=True)
    with pytest.raises(InputError, match=r"1 unreadable images: .*broken.png"):
        build_bank(paths, tmp_path / "y.bank", strict, quiet)
    assert not (tmp_path / "y.bank").exists()


def test_rare_sizes_and_outliers_are_named(good_folder: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    paths = [*find_images(good_folder)[:30], tmp_path / "noise.png"]
    report = build_bank(paths, tmp_path / "x.bank", SMALL, quiet)
    assert report.rare_sizes == ["100x120 (1)"]
    assert str(tmp_path / "noise.png") in report.outliers


def plate(seed: int) -> NDArray[np.uint8]:
    """A brushed plate on a blanked background, (128, 128, 3)."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 22, (128, 128)).astype(np.float32), (0, 0), sigmaX=5, sigmaY=0.7)
    image = np.zeros((128, 128), np.float32)
    image[20:108, 20:108] = (150 + grain + rng.normal(0, 4))[20:108, 20:108]
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def cracked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.line(image.copy(), (50, 70), (80, 60), (235, 235, 235), 3), dtype=np.uint8)


def specked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With a speck where all other images are black."""
    return np.asarray(cv2.circle(image.copy(), (8, 8), 2, (255, 255, 255), -1), dtype=np.uint8)


PLATES = BuildSpec(height=128, width=128, coreset=0.1)


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Path]]:
    """60 plates, the 18th of them spoilt."""

    def write(spoil: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> list[Path]:
        folder = tmp_path_factory.mktemp("plates")
        for number in range(60):
            image = plate(number)
            cv2.imwrite(str(folder / f"{number:02d}.png"), spoil(image) if number == 17 else image)
        return find_images(folder)

    return write


@pytest.fixture(scope="module")
def clean_threshold(plates: Callable[..., list[Path]], tmp_path_factory: pytest.TempPathFactory) -> float:
    images = plates(lambda image: image)
    report = build_bank(images, tmp_path_factory.mktemp("clean") / "x.bank", PLATES, quiet)
    assert (report.outliers, report.threshold_with_outliers) == ([], None)
    return report.threshold


@pytest.mark.parametrize("spoil", [cracked, specked])
def test_one_image_does_not_set_the_threshold_nor_hide_what_it_shows(
    spoil: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    plates: Callable[..., list[Path]],
    clean_threshold: float,
    tmp_path: Path,
) -> None:
    images = plates(spoil)
    report = build_bank(images, tmp_path / "x.bank", PLATES, quiet)
    assert report.outliers == [str(images[17])]
    assert report.threshold == pytest.approx(clean_threshold, rel=0.1)
    assert report.threshold_with_outliers is not None
    assert report.threshold_with_outliers > 10 * report.threshold

    bank = read_bank(tmp_path / "x.bank")
    (odd,) = bank.manifest.outliers
    assert odd.name == "17.png"
    assert odd.score == bank.tensors[GOOD_SCORES][17] == report.threshold_with_outliers
    assert odd.sha256 == bank.tensors[IMAGE_DIGESTS][17].tobytes().hex()
    assert odd.status == "open"
    (heatmap,) = bank.tensors[OUTLIER_HEATMAPS]
    assert heatmap.max() > 10 * report.threshold  # of a fit that left the image out
    assert "59 cross-fitted good scores above, 1 unlike the rest set aside" in bank.manifest.threshold_basis

    # The bank remembers the defect, but at its place it is not blind to others.
    scorer = Scorer.load(tmp_path / "x.bank", "cpu", ScoringOptions("torch"))  # not converted for this
    blots = [
        cv2.circle(plate(seed), place, 6, (20, 20, 20), -1)
        for seed, place in ((100, (65, 65)), (101, (10, 10)))
    ]
    assert min(result.image_score for result in scorer.score(blots)) > 2 * report.threshold


def test_outliers_count_where_somebody_vouches_for_them(
    plates: Callable[..., list[Path]], tmp_path: Path
) -> None:
    spec = replace(PLATES, keep_outliers=True)
    report = build_bank(plates(specked)[10:30], tmp_path / "x.bank", spec, quiet)
    manifest = read_bank(tmp_path / "x.bank").manifest
    assert report.outliers_count
    assert [image.status for image in manifest.outliers] == ["accepted"]
    assert manifest.unanswered == []
    assert report.threshold_with_outliers is None
    assert report.threshold == manifest.outliers[0].score


def test_too_few_images_says_how_many(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"4 images of good parts .*expected at least 10"):
        build_bank(images[:4], tmp_path / "x.bank", SMALL, quiet)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_in_memory_is_refused_before_work(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"16 images of 16 patches .* 0\.5 GB are allowed: raise --memory-gb"
    ):
        build_bank(images, tmp_path / "x.bank", BuildSpec(height=64, width=64, memory_gb=0.5), quiet)


def test_an_interrupted_build_leaves_the_old_bank(images: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "x.bank"
    out.write_bytes(b"old")

    def interrupt(step: str, _done: int, _total: int) -> None:
        if step == "threshold":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_bank(images, out, SMALL, interrupt)
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"old"


def test_only_the_region_and_the_mask_are_judged(images: list[Path], tmp_path: Path) -> None:
    mask = np.zeros((100, 80), np.uint8)
    mask[:, :40] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    patches = PatchOptions(region=(0.0, 0.0, 0.8, 1.0))
    spec = BuildSpec(height=64, width=64, patches=patches, mask=tmp_path / "mask.png")
    report = build_bank(images, tmp_path / "x.bank", spec, quiet)
    scorer = Scorer.load(tmp_path / "x.bank", "cpu", ScoringOptions("torch"))  # not converted for this
    frame = read_image(images[0])
    assert frame is not None
    outside, masked, judged = frame.copy(), frame.copy(), frame.copy()
    outside[:, 245:] = 0  # beyond the region
    masked[100:200, 200:235] = 0  # in the region, under the mask's black half
    judged[100:200, 20:90] = 0
    good, *others = scorer.score([frame, outside, masked, judged])
    assert others[0].image_score == pytest.approx(good.image_score, abs=1e-3)
    # A patch sees a little beyond the mask's edge, as a network looks around every place.
    assert others[1].image_score < others[2].image_score / 3
    assert others[2].image_score > 2 * abs(good.image_score) + 3
    assert (others[1].heatmap[:, 2:] == 0).all()
    assert report.patches == 16 * 4 * 4


def test_polygons_leave_the_patches_that_a_mask_of_them_does(images: list[Path], tmp_path: Path) -> None:
    half = {"half": [[0, 0], [5, 0], [5, 10], [0, 10]]}
    (tmp_path / "half.json").write_text(
        json.dumps({"unit": "pixels", "width": 10, "height": 10, "polygons": half})
    )
    cv2.imwrite(str(tmp_path / "mask.png"), np.repeat([[255, 0]], 2, 0).astype(np.uint8))
    area = JudgedArea(read_polygons(tmp_path / "half.json"), None)
    drawn = BankBuilder(BuildSpec(height=64, width=64, area=area)).fit_spec.mask
    painted = BankBuilder(BuildSpec(height=64, width=64, mask=tmp_path / "mask.png")).fit_spec.mask
    assert drawn is not None
    assert painted is not None
    assert (drawn == painted).all()
    with pytest.raises(InputError, match="was drawn on pictures of 10x10"):
        build_bank(images, tmp_path / "x.bank", BuildSpec(height=64, width=64, area=area), quiet)


def test_a_mask_that_leaves_nothing_is_refused(images: list[Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), np.zeros((9, 9), np.uint8))
    spec = BuildSpec(height=64, width=64, mask=tmp_path / "mask.png")
    with pytest.raises(InputError, match="leaves no patch to judge"):
        build_bank(images, tmp_path / "x.bank", spec, quiet)


@pytest.mark.parametrize(
    ("region", "height", "width", "fits"),
    [
        (None, 300, 300, True),
        (None, 7, 7, True),
        (None, 480, 640, False),
        (None, 300, 240, False),
        ((0.0, 0.0, 0.8, 1.0), 300, 240, True),
        ((0.0, 0.0, 0.8, 1.0), 100, 100, False),
        ((0.25, 0.25, 0.5, 0.5), 150, 150, True),
        ((0.25, 0.25, 0.5, 0.5), 300, 300, False),  # painted on the whole picture: it would be halved
    ],
)
def test_a_mask_of_other_pictures_than_are_judged_is_refused(
    images: list[Path], tmp_path: Path, region: Region | None, height: int, width: int, *, fits: bool
) -> None:
    """Stretched over them, it would take other places out of the judgement than were painted black."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : -(-width // 2)] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    spec = BuildSpec(height=64, width=64, patches=PatchOptions(region=region), mask=tmp_path / "mask.png")
    # As many images as are too few for a bank: nothing is fitted.
    said = (
        "expected at least 10" if fits else rf"mask\.png is {width}x{height}, an image is 300x300.*--polygon"
    )
    with pytest.raises(InputError, match=said):
        build_bank(images[:2], tmp_path / "x.bank", spec, quiet)


def test_frames_are_spread_over_a_video(tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in range(0, 250, 10):
        video.write(np.full((48, 64, 3), level, np.uint8))
    video.release()
    frames = list(video_frames(tmp_path / "v.avi", 5))
    assert [round(float(frame.mean()), -1) for _, frame in frames] == [0, 60, 120, 180, 240]
    with pytest.raises(InputError, match="cannot be opened as a video"):
        list(video_frames(tmp_path / "none.avi", 5))


def readable(frames: list[tuple[str, NDArray[np.uint8] | str]]) -> list[int]:
    return sorted(int(name.rpartition("#")[2]) for name, frame in frames if not isinstance(frame, str))


def test_a_video_that_was_cut_says_so_and_its_last_frame_is_not_learned(tmp_path: Path) -> None:
    write_video(tmp_path / "v.avi", 50)
    whole = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    frames = list(video_frames(tmp_path / "cut.avi", 12))
    assert len(readable(frames)) == 12
    assert max(readable(frames)) < 24
    assert "ends after 24 of the 50 frames that its header names" in [
        frame for _, frame in frames if isinstance(frame, str)
    ]
    frames = list(video_frames(tmp_path / "cut.avi", 200))
    assert readable(frames) == list(range(23))


def test_a_video_without_a_header_is_counted(tmp_path: Path) -> None:
    raw = b"".join(cv2.imencode(".jpg", noise(seed))[1].tobytes() for seed in range(30))
    (tmp_path / "raw.mjpg").write_bytes(raw)
    assert readable(list(video_frames(tmp_path / "raw.mjpg", 200))) == list(range(30))
    (tmp_path / "cut.mjpg").write_bytes(raw[:-100])
    assert readable(list(video_frames(tmp_path / "cut.mjpg", 200))) == list(range(29))
    spread = readable(list(video_frames(tmp_path / "raw.mjpg", 10)))
    assert len(spread) == 10
    assert spread[0] == 0
    assert spread[-1] >= 25


def test_images_of_twelve_bits_make_a_bank_that_says_so(images: list[Path], tmp_path: Path) -> None:
    paths = [tmp_path / f"{path.stem}.png" for path in images]
    for path, source in zip(paths, images, strict=True):
        cv2.imwrite(str(path), cv2.imread(str(source)).astype(np.uint16) * 16)
    with pytest.raises(
        InputError, match=r"0 images of good parts \(16 unreadable.*16 bits per channel.*12 to 16"
    ):
        build_bank(paths, tmp_path / "x.bank", SMALL, quiet)
    build_bank(paths, tmp_path / "x.bank", replace(SMALL, bit_depth=12), quiet)
    bank = read_bank(tmp_path / "x.bank")
    assert bank.manifest.bit_depth == 12
    assert bank.manifest.image_sizes == ((300, 300),)
    plain = [pixel_digest(frame) for path in images if (frame := read_image(path)) is not None]
    np.testing.assert_array_equal(bank.tensors[IMAGE_DIGESTS], plain)
