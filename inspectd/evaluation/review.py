"""A self-contained HTML page of what a person decides about a bank: images unlike the rest, and a budget."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.answers import SHORT, aside_mask
from inspectd.bank.file import GOOD_SCORES, OUTLIER_HEATMAPS, BankFile
from inspectd.bank.images import NamedFrame, digest_of
from inspectd.evaluation.budgets import (
    FOUND_MEANS,
    UNLIKE_HEADINGS,
    Choice,
    UnlikeTheRest,
    choice_of,
    table_of,
    unlike_cells,
)
from inspectd.evaluation.page import beside_heatmap, facts, gallery, page, table, thumbnail
from inspectd.evaluation.plots import escape, good_scores_svg
from inspectd.files import write_text
from inspectd.pictures.region import Region, cropped

MOST_PICTURES: Final = 60
_QUALITY: Final = (cv2.IMWRITE_JPEG_QUALITY, 90)

Pictures = dict[str, bytes]
"""Small copies of images, JPEG, by the sha256 of their pixels."""


def keep_pictures(
    frames: Iterable[NamedFrame],
    pictures: Pictures,
    region: Region | None,
    wanted: Collection[str] | None = None,
) -> Iterator[NamedFrame]:
    """The same frames; small copies of the region of those wanted (None: all) are put into `pictures`."""
    for name, frame in frames:
        if not isinstance(frame, str):
            sha256 = digest_of(frame)
            if wanted is None or sha256 in wanted:
                small = thumbnail(frame if region is None else cropped(frame, region))
                pictures[sha256] = cv2.imencode(".jpg", small, _QUALITY)[1].tobytes()
        yield name, frame


def write_review(
    out: Path,
    path: Path,
    bank: BankFile,
    pictures: Pictures,
    images: Path | None,
    *,
    choice: Choice | None = None,
) -> None:
    """Write the page; it refers to nothing outside itself.

    Args:
        out: the page's file.
        path: the bank's, for the commands on the page.
        bank: its content.
        pictures: of its images unlike the rest, as far as there are any.
        images: the folder they came from, for the commands; None: not known.
        choice: its thresholds with more than its file tells of them; None: as `choice_of` the bank.

    Raises:
        UnavailableError: the file cannot be written.
    """
    write_text(
        out, page(f"Review of {path.name}", _body(path, bank, pictures, images, choice or choice_of(bank)))
    )


def _body(
    path: Path, bank: BankFile, pictures: Pictures, images: Path | None, choice: Choice
) -> Iterator[str]:
    manifest, unlike = bank.manifest, choice.unlike_the_rest
    scores = bank.tensors[GOOD_SCORES]
    yield f"<p class='note'>{escape(manifest.detector)} on {escape(manifest.backbone)}, {manifest.images} "
    yield f"images of good parts, bank sha256 {bank.sha256[:16]}</p>"
    yield from facts(
        [
            ("threshold in force", f"{manifest.threshold:.4g}"),
            ("good images that count", str(choice.good_images)),
            ("unlike the rest, not answered", str(len(manifest.unanswered))),
            ("unlike the rest, accepted", str(sum(image.status == "accepted" for image in unlike))),
            ("taken out earlier", str(len(manifest.excluded))),
        ]
    )
    yield f"<p class='note'>Threshold: {escape(manifest.threshold_basis)}</p>"
    yield from _images_unlike_the_rest(path, bank, unlike, pictures, images)
    yield "<h2>Thresholds to choose from</h2>"
    yield "<p>For each budget of false rejects: the threshold, how many of the good images score above it, "
    yield "and the false-reject rate that this shows with 95 % confidence, for parts made like these images. "
    yield f"<code>inspectd bank calibrate {escape(shlex.quote(str(path)))} --false-reject-rate RATE</code> "
    yield "sets a threshold that shows the rate you ask for, if there are images enough.</p>"
    headings, *rows = table_of(choice.budgets, choice.good_images)
    yield from table(headings, rows)
    if any(row.synthetic_found is not None for row in choice.budgets):
        yield f"<p class='note'>{FOUND_MEANS}.</p>"
    yield "<h2>Scores of the good images</h2><div class='plots one'><div>"
    yield good_scores_svg(
        scores[~aside_mask(bank)], np.array([image.score for image in unlike]), manifest.threshold
    )
    yield "</div></div>"
    if manifest.excluded:
        yield "<h2>Images taken out earlier</h2>"
        yield from table(
            ("image", "sha256", "score then"),
            ((gone.name, gone.sha256[:SHORT], f"{gone.score:.3f}") for gone in manifest.excluded),
        )


def _images_unlike_the_rest(
    path: Path, bank: BankFile, unlike: list[UnlikeTheRest], pictures: Pictures, images: Path | None
) -> Iterator[str]:
    heatmaps = bank.tensors.get(OUTLIER_HEATMAPS)
    by_sha256 = {}
    if heatmaps is not None:
        by_sha256 = {o.sha256: h for o, h in zip(bank.manifest.outliers, heatmaps, strict=True)}
    ordered = sorted(unlike, key=lambda image: (image.status != "open", -image.score))
    threshold = bank.manifest.threshold
    figures = [
        (_pictures(image.sha256, pictures, by_sha256, threshold), _caption(image, path, images))
        for image in ordered[:MOST_PICTURES]
    ]
    if unlike:
        yield "<p>Images unlike the rest score far above the other good images, so they do not count in the "
        yield "threshold until somebody has looked at them. If one shows a good part, accept it: parts like "
        yield "it are rejected otherwise. If it shows a defect, take it out, or the bank may pass other "
        yield "defects of its kind.</p>"
    yield from gallery("Images unlike the rest", figures, len(unlike), wide=True)
    if unlike and not by_sha256:
        yield "<p class='note'>This bank is of an earlier version and holds no heatmaps of them.</p>"
    if rest := ordered[MOST_PICTURES:]:
        yield f"<p class='note'>And {len(rest)} more:</p>"
        yield from table(UNLIKE_HEADINGS, map(unlike_cells, rest))


def _pictures(
    sha256: str, pictures: Pictures, heatmaps: Mapping[str, NDArray[np.float32]], threshold: float
) -> NDArray[np.uint8] | None:
    """The image beside its heatmap, or alone where there is none; None: it is not there."""
    encoded, heatmap = pictures.get(sha256), heatmaps.get(sha256)
    if encoded is None:
        return None
    small = np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)
    return small if heatmap is None else beside_heatmap(small, heatmap, threshold)


def _caption(image: UnlikeTheRest, path: Path, images: Path | None) -> str:
    bank = shlex.quote(str(path))
    folder = "DIR" if images is None else shlex.quote(str(images))
    without = f"{image.threshold_without:.4g}"
    lines = [
        f"<b>{escape(image.name)}</b> &middot; {image.status}",
        f"score {image.score:.4g}; threshold with it {image.threshold_with:.4g}, without {without}",
    ]
    if image.status == "open":
        lines.append(f"good: <code>{escape(f'inspectd bank accept {bank} {image.sha256[:SHORT]}')}</code>")
    command = f"inspectd bank exclude {bank} {image.sha256[:SHORT]} --images {folder}"
    lines.append(f"a defect: <code>{escape(command)}</code>")
    return "<br>".join(lines)
