"""What a bank learnt of how its images were taken, in words and pictures."""

import msgspec
import pytest
from support.banks import bank_of
from support.pages import Tags
from support.station import Station

from inspectd.evaluation.quality_report import NOT_LEARNT, limit_rows, summary_lines, write_quality_page
from inspectd.quality.learn import QualityLearner


@pytest.fixture(scope="module")
def learnt():
    learner = QualityLearner()
    for number, picture in enumerate(Station(symmetric=True).pictures(50)):
        learner.add(f"<{number}>.png", picture)
    return learner.learn()


def test_limits_what_they_show_and_what_they_cannot_find_are_said(learnt):
    rows = {row[0]: row for row in limit_rows(learnt.quality)}
    assert rows["fine_detail"][2:] == (f"{learnt.quality.limits['fine_detail'].low:.4g}", "", "quality_focus")
    words = "\n".join(summary_lines(learnt.quality))
    assert "of its 50 images lie beyond limits found without them: at most " in words
    assert "to show 0.1 % takes 2995 images" in words
    assert "NOT found in most: turned by 180 degrees, mirrored left to right, mirrored top to bottom" in words
    assert "blue_share (quality_colour): not findable in these images: they are grey" in words


def test_what_shows_a_rate_is_parts_and_of_images_that_vouch_for_each_other_nothing(learnt):
    of_parts = msgspec.structs.replace(learnt.quality, images=200, parts=50)
    assert "of its 50 parts lie beyond limits found without them: at most " in next(summary_lines(of_parts))
    assert "to show 0.1 % takes 2995 parts" in next(summary_lines(of_parts))
    assert "no rate is shown" in next(summary_lines(learnt.quality, shows_rates=False))


def test_the_page_has_the_reference_and_the_image_nearest_to_each_limit(learnt, tmp_path):
    bank = bank_of([1.0, 2.0, 3.0], quality=learnt.quality)
    bank.tensors.update(learnt.tensors)
    write_quality_page(tmp_path / "page.html", tmp_path / "a.bank", bank)
    text, tags = (tmp_path / "page.html").read_text(), Tags()
    tags.feed(text)
    assert tags.images == 1 + len(learnt.quality.nearest)
    assert "&gt;.png" in text
    assert tags.open == []


def test_a_bank_that_learnt_nothing_says_so(tmp_path):
    write_quality_page(tmp_path / "page.html", tmp_path / "a.bank", bank_of([1.0, 2.0]))
    assert NOT_LEARNT in (tmp_path / "page.html").read_text()
