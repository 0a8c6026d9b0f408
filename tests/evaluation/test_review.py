from pathlib import Path

import numpy as np
import pytest
from support.banks import bank_of, sha256_of
from support.pages import Tags

from inspectd.bank.file import OUTLIER_HEATMAPS, BankFile, Excluded
from inspectd.evaluation.budgets import choice_of
from inspectd.evaluation.review import MOST_PICTURES, Pictures, keep_pictures, write_review

SCORES = np.append(np.random.default_rng(0).lognormal(0, 0.2, 200), [400.0, 60.0])


def frames(rows: range) -> list[tuple[str, np.ndarray]]:
    return [(f"{row}.png", np.full((30, 40, 3), row % 256, np.uint8)) for row in rows]


def page(bank: BankFile, pictures: Pictures, tmp_path: Path, images: Path | None = None) -> tuple[str, Tags]:
    write_review(tmp_path / "r.html", Path("a b.bank"), bank, pictures, images)
    text = (tmp_path / "r.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return text, tags


@pytest.fixture
def picture() -> bytes:
    pictures: Pictures = {}
    list(keep_pictures(frames(range(1)), pictures, None))
    return next(iter(pictures.values()))


def test_it_shows_each_image_what_it_does_and_what_to_type(tmp_path: Path, picture: bytes) -> None:
    bank = bank_of(SCORES, excluded=(Excluded("gone.png", "c" * 64, 9.0),))
    bank.tensors[OUTLIER_HEATMAPS] = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    text, tags = page(bank, {sha256_of(200): picture, sha256_of(201): picture}, tmp_path, Path("im <g>"))
    assert tags.images == 2
    first = sha256_of(200)[:12]
    assert f"<code>inspectd bank accept &#x27;a b.bank&#x27; {first}</code>" in text
    assert f"inspectd bank exclude &#x27;a b.bank&#x27; {first} --images &#x27;im &lt;g&gt;&#x27;" in text
    assert "200.png" in text
    assert f"threshold with it {choice_of(bank).unlike_the_rest[0].threshold_with:.4g}, without" in text
    assert "2 beyond, up to 400" in text
    assert "<td>0.1 %</td>" in text
    assert "gone.png" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_without_pictures_heatmaps_or_such_images_it_says_so(tmp_path: Path, picture: bytes) -> None:
    text, tags = page(bank_of(SCORES), {sha256_of(200): picture}, tmp_path)
    assert tags.images == 1
    assert "holds no heatmaps" in text
    assert "--images DIR" in text
    text, tags = page(bank_of(SCORES[:200]), {}, tmp_path)
    assert tags.images == 0
    assert "<p class='note'>None.</p>" in text


def test_many_images_are_listed_and_the_first_are_shown(tmp_path: Path, picture: bytes) -> None:
    scores = np.append(SCORES[:200], np.linspace(50, 60, MOST_PICTURES + 5))
    text, tags = page(bank_of(scores), {sha256_of(row): picture for row in range(len(scores))}, tmp_path)
    assert tags.images == MOST_PICTURES
    assert "And 5 more:" in text


def test_small_copies_are_kept_of_the_region_of_what_is_wanted() -> None:
    pictures: Pictures = {}
    given = [*frames(range(3)), ("broken.png", "is incomplete")]
    assert list(keep_pictures(given, pictures, (0.0, 0.0, 0.5, 1.0))) == given
    assert len(pictures) == 3
    (one, *_) = pictures
    some: Pictures = {}
    list(keep_pictures(given, some, None, {one}))
    assert list(some) == [one]
