"""Measures what a bank's limits of light, place and detail find, and what alignment is worth.

    python tools/measure_quality.py --set cells GOOD DATA --set tiles GOOD DATA [--auroc] [--out FILE]

GOOD is a folder of good images to learn from, DATA labelled images as for `inspectd bank evaluate`. Prints
tables in Markdown. One of faults made in DATA's good images, step by step: the share that is found, by the
reason that is given. One of false alarms: good and defective images of DATA as they are, beyond limits. With
`--auroc` two banks are built of each set, one of them aligned, and judge DATA as it is and displaced by 10
pixels and 3 degrees: image AUROC, and the share that is undecidable. There a margin of 8 % is left out, as
otherwise edges of the picture, which a displacement has to make up, would decide.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from inspectd.backends.scorer import Scorer
from inspectd.bank.build import BankBuilder
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.images import find_images, named_image, read_image
from inspectd.evaluation.calibrate import shown_rate
from inspectd.evaluation.dataset import GOOD, LabelledImage, read_dataset
from inspectd.evaluation.metrics import image_metrics
from inspectd.files import write_text
from inspectd.model.options import PatchOptions
from inspectd.quality.align import learn_aligned
from inspectd.quality.check import FrameCheck
from inspectd.quality.learn import Learnt, QualityLearner
from inspectd.quality.trials import Pixels, blurred, brighter, displaced, half_missing
from inspectd.scoring.worker import find
from inspectd.wire import Reason

_MOST: Final = 150
"""Images that each fault is made in."""
_REGION: Final = (0.08, 0.08, 0.84, 0.84)
"""That AUROC is measured of: what a displaced part brings into it was seen outside it before."""
_JUDGED: Final = 200
"""Good and defective images each that AUROC is measured of."""
_CAUSES: Final = [reason for reason in Reason if reason.startswith("quality_")]


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """A frame after JPEG of this quality, 1 to 100."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)


def damaged_jpeg(pixels: Pixels) -> Pixels:
    """A frame decoded from a JPEG of which 20 bytes in the midst are others."""
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
    data, chance = data.copy().ravel(), np.random.default_rng(len(data))
    where = chance.integers(len(data) // 3, 2 * len(data) // 3, 20)
    data[where] = chance.integers(0, 255, 20)
    made = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.zeros_like(pixels) if made is None else np.asarray(made, dtype=np.uint8)


def repeated_rows(pixels: Pixels) -> Pixels:
    """A frame whose lower half repeats the last row that came, as some decoders leave it."""
    cut = pixels.copy()
    cut[len(cut) // 2 :] = cut[len(cut) // 2]
    return cut


def noisy(pixels: Pixels, deviation: float) -> Pixels:
    """A frame with noise of so many grey levels."""
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape[:2])
    return np.clip(pixels + noise.reshape(*pixels.shape[:2], 1), 0, 255).astype(np.uint8)


def faults() -> Iterator[tuple[str, Callable[[Pixels], Pixels]]]:
    """Every fault, step by step."""
    for times in (0.7, 0.5, 0.3, 0.1):
        yield f"dark: light x {times}", lambda p, t=times: brighter(p, t)  # type: ignore[misc]
    for times in (1.3, 1.6, 2.0, 3.0):
        yield f"bright: light x {times}", lambda p, t=times: brighter(p, t)  # type: ignore[misc]
    for sigma in (1, 2, 3, 5, 8):
        yield f"blur: sigma {sigma} px", lambda p, s=sigma: blurred(p, s)  # type: ignore[misc]
        if sigma in (3, 5):
            yield f"blur: sigma {sigma} px, then noise of 2", lambda p, s=sigma: noisy(blurred(p, s), 2.0)  # type: ignore[misc]
    for px in (3, 5, 10, 20, 40, 80):
        yield f"shift: {px} px right and down", lambda p, d=px: displaced(p, d, d, 0.0)  # type: ignore[misc]
    for degrees in (0.5, 1, 2, 3, 5, 10, 20):
        yield f"rotation: {degrees} degrees", lambda p, d=degrees: displaced(p, 0.0, 0.0, d)  # type: ignore[misc]
    yield "turned by 90 degrees", lambda p: cv2.resize(np.rot90(p).copy(), (p.shape[1], p.shape[0]))
    yield "turned by 180 degrees", lambda p: p[::-1, ::-1].copy()
    yield "mirrored", lambda p: p[:, ::-1].copy()
    for quality in (50, 20, 10, 5):
        yield f"JPEG of quality {quality}", lambda p, q=quality: jpeg(p, q)  # type: ignore[misc]
    yield "JPEG with damaged bytes", damaged_jpeg
    yield "half frame: lower half grey", half_missing
    yield "half frame: lower half black", lambda p: np.vstack([p[: len(p) // 2], 0 * p[len(p) // 2 :]])
    yield "half frame: lower half repeats a row", repeated_rows
    yield "blue and red exchanged", lambda p: p[..., ::-1].copy()


def learnt_of(good: list[Path], *, aligned: bool = False) -> Learnt:
    """What the images tell."""
    learner = QualityLearner(aligned=aligned)
    for path in good:
        pixels = read_image(path)
        if pixels is not None:
            learner.add(path.name, pixels)
    learnt = learner.learn()
    if learnt is None:
        raise SystemExit(f"{good[0].parent}: too few images")
    return learnt


def reasons(check: FrameCheck, frames: list[Pixels]) -> list[Reason | None]:
    """The reason that each frame would be undecidable for; None: it would be judged."""
    return [find(check, frame, frozenset()).flaw for frame in frames]


def found_table(name: str, check: FrameCheck, frames: list[Pixels]) -> Iterator[str]:
    """Share of each fault that is found, by reason."""
    yield f"| {name}: fault | found | " + " | ".join(each.removeprefix("quality_") for each in _CAUSES) + " |"
    yield "|---" * (2 + len(_CAUSES)) + "|"
    for fault, make in faults():
        flaws = Counter(reasons(check, [make(frame) for frame in frames]))
        shares = [flaws[cause] / len(frames) for cause in _CAUSES]
        cells = " | ".join("" if share == 0 else f"{share:.0%}" for share in shares)
        yield f"| {fault} | {sum(shares):.0%} | {cells} |"


def alarm_rows(name: str, check: FrameCheck, images: list[LabelledImage]) -> Iterator[str]:
    """Good and defective images as they are that lie beyond limits, with Clopper and Pearson's bound."""
    for kind in ("good", "defective"):
        chosen = [image for image in images if (image.label == GOOD) == (kind == "good")]
        frames = (read_image(image.path) for image in chosen)
        flaws = [flaw for frame in frames if frame is not None for flaw in reasons(check, [frame])]
        if flaws:
            count = sum(flaw is not None for flaw in flaws)
            causes = ", ".join(f"{c.removeprefix('quality_')} {n}" for c, n in Counter(flaws).items() if c)
            row = f"{count} of {len(flaws)} | {count / len(flaws):.2%} | {shown_rate(len(flaws), count):.2%}"
            yield f"| {name}, {kind} | {row} | {causes} |"


def auroc_rows(name: str, good: list[Path], images: list[LabelledImage]) -> Iterator[str]:
    """Image AUROC as it is and displaced, aligned and not; frames that are undecidable left out."""
    ways = (
        ("as they are", 0.0, 0.0),
        ("by 10 px", 10.0, 0.0),
        ("by 3 degrees", 0.0, 3.0),
        ("by 10 px and 3 degrees", 10.0, 3.0),
    )
    halves = [[i for i in images if (i.label == GOOD) == is_good] for is_good in (True, False)]
    images = [image for half in halves for image in half[:: max(1, len(half) // _JUDGED)][:_JUDGED]]
    for is_aligned in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            bank = Path(folder) / "b.bank"
            builder = BankBuilder(BuildSpec(patches=PatchOptions(region=_REGION)))
            named = (named_image(path, 8) for path in good)
            aligned = learn_aligned(named, _REGION) if is_aligned else None
            if is_aligned and aligned is None:
                yield f"| {name} | on | cannot be aligned | | |"
                return
            frames = (named_image(path, 8) for path in good)
            builder.write(builder.fit(frames, len(good), lambda *_: None, aligned), bank)
            scorer = Scorer.load(bank, "cpu")
        for words, px, degrees in ways:
            defective, scores, flaws = [], [], 0
            for number, image in enumerate(images):
                pixels = read_image(image.path)
                if pixels is None:
                    continue
                if px or degrees:
                    pixels = _displaced(pixels, number, px, degrees)
                flaws += find(scorer.check, pixels, frozenset()).flaw is not None
                defective.append(image.label != GOOD)
                scores.append(scorer.score([pixels])[0].image_score)
            auroc = image_metrics(np.array(defective), np.array(scores)).image_auroc
            way = "on" if is_aligned else "off"
            yield f"| {name} | {way} | {words} | {auroc:.3f} | {flaws / len(scores):.0%} |"


def _displaced(pixels: Pixels, number: int, px: float, degrees: float) -> Pixels:
    """A frame displaced so far, in another direction for each number."""
    angle = 2.399963 * number  # the golden angle: every direction alike
    turned = degrees if number % 2 else -degrees
    return displaced(pixels, px * np.cos(angle), px * np.sin(angle), turned)


def cost_ms(check: FrameCheck, frame: Pixels) -> float:
    """The least milliseconds that measuring a frame takes."""
    spent = []
    for _ in range(50):
        began = time.perf_counter()
        check.measure(frame)
        spent.append(1e3 * (time.perf_counter() - began))
    return min(spent)


def main() -> None:
    """Measure every set and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", nargs=3, action="append", required=True, metavar=("NAME", "GOOD", "DATA"))
    parser.add_argument("--auroc", action="store_true", help="build banks as well, which takes minutes")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tables here too")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    alarms = []
    for name, good_folder, data in arguments.set:
        good, images = find_images(Path(good_folder)), read_dataset(Path(data)).images
        learnt = learnt_of(good)
        check = FrameCheck(learnt.quality, learnt.tensors)
        clean = [image for image in images if image.label == GOOD]
        chosen = clean[:: max(1, len(clean) // _MOST)][:_MOST]
        frames = [frame for image in chosen if (frame := read_image(image.path)) is not None]
        height, width = frames[0].shape[:2]
        say(f"\n{name}: {len(good)} images learnt, faults made in {len(frames)} others; "
            f"{cost_ms(check, frames[0]):.2f} ms a frame of {width}x{height}\n")  # fmt: skip
        for row in found_table(name, check, frames):
            say(row)
        alarms += list(alarm_rows(name, check, images))
    say("\n| images as they are | beyond limits | share | at most (95 %) | by cause |\n|---|---|---|---|---|")
    for row in alarms:
        say(row)
    if arguments.auroc:
        say("\n| set | aligned | displaced | image AUROC | undecidable |\n|---|---|---|---|---|")
        for name, good_folder, data in arguments.set:
            for row in auroc_rows(name, find_images(Path(good_folder)), read_dataset(Path(data)).images):
                say(row)
    if arguments.out is not None:
        write_text(arguments.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
