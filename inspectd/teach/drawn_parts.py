"""A candidate's threshold by its bank's own images and by good parts that were drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from inspectd.backends.scorer import Scorer
from inspectd.bank.answers import aside_mask
from inspectd.bank.built import Built
from inspectd.bank.file import GOOD_SCORES, IMAGE_PARTS, BankFile, Manifest, write_bank
from inspectd.bank.images import digest_of, named_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.threshold import find_threshold, outliers
from inspectd.errors import InputError
from inspectd.evaluation.line_rules import LineRules
from inspectd.files import temporary_folder
from inspectd.teach.image_lists import ListedImage
from inspectd.teach.place import TeachPlace


def threshold_with(
    place: TeachPlace,
    built: Built,
    manifest: Manifest,
    *,
    drawn: Sequence[Path],
    refused: set[str],
    cases: Mapping[str, str],
    line: LineRules,
    device: str,
) -> tuple[Manifest, list[ListedImage], list[str]]:
    """The manifest with a threshold by the bank's own images and those drawn.

    Args:
        place: keeps the images.
        built: the candidate.
        manifest: of it.
        drawn: images of good parts that were drawn by chance.
        refused: sha256 of the pixels of images that may not set a threshold: the bank's own, taught, golden.
        cases: by the sha256 of pixels: the case whose picture it is, for people. No such image may
            either, whatever was said of it: it may show a bad part, and it was looked at for its score.
        line: which images the line would judge.
        device: `cpu` or `cuda:N`.

    Returns:
        The manifest; the images that helped; notes on those that were left out.

    Raises:
        InputError: an image cannot be read, or the line would judge none.
        UnavailableError: it cannot be kept.
    """
    with temporary_folder() as folder:
        path = Path(folder) / "bank.safetensors"
        write_bank(path, manifest, built.arrays)
        scorer = Scorer.load(path, device)
        scores, helped, left_out, seen = [], [], 0, set(refused)
        skipped, of_cases = dict[str, str](), dict[str, str]()
        own_images, no_measures = OwnImages.of(BankFile(manifest, built.arrays, "")), dict[str, str]()
        for image in drawn:
            name, frame = named_image(image, manifest.bit_depth)
            if isinstance(frame, str):
                raise InputError(f"--drawn: {name}: {frame}")
            digest = digest_of(frame)
            if digest in seen:
                left_out += 1
                continue
            seen.add(digest)
            if digest in cases:
                of_cases[name] = f"is the picture of {cases[digest]}"
                continue
            if (no_measure := own_images.why_no_measure(frame)) is not None:
                no_measures[name] = no_measure
                continue
            if (why := line.why_not_judged(scorer, frame)) is not None:
                skipped[name] = why
                continue
            scores.append(scorer.score([frame])[0].image_score)
            helped.append(ListedImage(digest, place.images.keep_file(image), image.name))
    if skipped and not helped:
        name, why = next(iter(skipped.items()))
        raise InputError(
            f"--drawn: {len(skipped)} images, of which the line would judge none: {name}: {why}; expected "
            "pictures that it does judge"
        )
    own = built.arrays[GOOD_SCORES]
    together = np.concatenate([own, np.array(scores, dtype=np.float64)])
    aside = outliers(together)
    aside[: len(own)] = aside_mask(BankFile(manifest, built.arrays, ""))
    parts = built.arrays.get(IMAGE_PARTS)
    if parts is not None:
        parts = np.concatenate([parts, parts.max() + 1 + np.arange(len(scores))])
    found = find_threshold(together, aside, parts)
    counted = int((~aside[len(own) :]).sum())
    basis = f"{found.basis}; {counted} of these are of parts drawn by chance, by the bank itself"
    notes = (
        [f"{len(skipped)} of the images drawn are none that the line would judge: left out"]
        if skipped
        else []
    )
    notes += [f"skipped: {name}: {why}" for name, why in (skipped | of_cases | no_measures).items()]
    if left_out:
        notes.append(
            f"{left_out} of the images drawn are the bank's own, taught, golden or repeated: left out"
        )
    manifest = msgspec.structs.replace(
        manifest, threshold=found.value, threshold_basis=basis, threshold_with_outliers=found.with_outliers
    )
    return manifest, helped, notes
