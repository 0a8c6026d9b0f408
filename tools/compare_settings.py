"""Holds the settings of `inspectd bank build --tune auto` against fixed ones, on labelled images.

    python tools/compare_settings.py --set cells GOOD DATA --set tiles GOOD DATA --tiles TILES [--out FILE]

GOOD is a folder of good images to build from, DATA labelled images as for `inspectd bank evaluate`. TILES is
a folder laid out like MVTec AD, with masks: two more sets are made of its images (`tools/made_sets.py`). On
each set three banks are built: by the default settings, by the published recipe (Roth et al., as anomalib
has it), and by the settings that are chosen, which sees GOOD alone. Prints two tables in Markdown: image
AUROC, defects found and good images rejected at the threshold of the build, and times; and what was tried.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from made_sets import make_sets

from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.images import find_images
from inspectd.bank.progress import Progress
from inspectd.bank.settings_choice import DEFAULT, SettingsChoice
from inspectd.cli.bank_common import Steps
from inspectd.evaluation.choose_settings import choose_settings
from inspectd.evaluation.dataset import GOOD, LabelledImage, read_dataset
from inspectd.evaluation.evaluate import BankReport, evaluate
from inspectd.files import write_text
from inspectd.model.options import HeadOptions, PatchOptions

PUBLISHED = BuildSpec(
    options={"local_scale": False, "position_weight": 0.0, "reweight": True},
    head=HeadOptions(standardise=False, smoothing=0.0, top=1, similar_images=0),
    patches=PatchOptions(grid="fine", compression=1.0),
    layers=("blocks.2", "blocks.4"),
    coreset=0.01,
)
_FIGURES = (
    "| set (build; test) | settings | image AUROC | found | good rejected | one image | choose + build |",
    "|---" * 7 + "|",
)
_TRIALS = ("| set | settings | AUROC, synthetic | gain, 95 % interval | found | |", "|---" * 6 + "|")


@dataclass(frozen=True)
class LabelledSet:
    """Images to build from and images to judge by."""

    name: str
    good: list[Path]
    test: list[LabelledImage]


@dataclass(frozen=True)
class Measured:
    """One bank on one set; `choose_s` is the time of choosing its settings."""

    settings: str
    report: BankReport
    choose_s: float
    build_s: float


def measured(
    settings: str, spec: BuildSpec, data: LabelledSet, choose_s: float, progress: Progress
) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        bank, start = Path(folder) / "x.bank", time.perf_counter()
        build_bank(data.good, bank, spec, progress)
        build_s = time.perf_counter() - start
        return Measured(settings, evaluate(bank, data.test, "cpu", progress).report, choose_s, build_s)


def compare(data: LabelledSet, minutes: float, steps: Steps) -> tuple[list[Measured], SettingsChoice]:
    def progress(step: str, done: int, total: int) -> None:
        steps(f"{data.name}: {step}", done, total)

    start = time.perf_counter()
    chosen = choose_settings(BuildSpec(), (), data.good, device="cpu", minutes=minutes, progress=progress)
    choose_s, choice = time.perf_counter() - start, chosen.spec.settings_choice
    assert choice is not None
    default = measured(DEFAULT, BuildSpec(), data, 0.0, progress)
    published = measured("published recipe", PUBLISHED, data, 0.0, progress)
    name = f"chosen: {choice.chosen}"
    if choice.chosen == DEFAULT:
        return [default, published, replace(default, settings=name, choose_s=choose_s)], choice
    return [default, published, measured(name, chosen.spec, data, choose_s, progress)], choice


def table_of(data: LabelledSet, rows: list[Measured]) -> list[str]:
    good = sum(image.label == GOOD for image in data.test)
    images = f"{data.name} ({len(data.good)}; {good} + {len(data.test) - good})"
    lines = []
    for row in rows:
        report = row.report
        ms = f"{report.latency_ms['p50']:.0f} ms"
        seconds = f"{row.choose_s:.0f} + {row.build_s:.0f} s"
        lines.append(
            f"| {images} | {row.settings} | {report.image_auroc:.4f} | {1 - report.escape_rate:.1%} "
            f"| {report.false_reject_rate:.1%} | {ms} | {seconds} |"
        )
    return lines


def trials_of(name: str, choice: SettingsChoice) -> list[str]:
    lines = []
    for trial in choice.trials:
        gain = "" if trial.gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*trial.gain)
        auroc = "" if trial.auroc is None else f"{trial.auroc:.3f}"
        found = "" if trial.found is None else f"{trial.found:.0%}"
        lines.append(f"| {name} | {trial.name} | {auroc} | {gain} | {found} | {trial.outcome} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", nargs=3, action="append", default=[], metavar=("NAME", "GOOD", "DATA"))
    parser.add_argument("--tiles", type=Path, help="make two more sets of these images")
    parser.add_argument("--made", default="parts,texture", help="which of them; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the sets that are made; default: %(default)s")
    parser.add_argument("--minutes", type=float, default=10.0, help="to choose in; default: %(default)g")
    parser.add_argument("--out", type=Path, help="write the tables there too")
    arguments = parser.parse_args()
    text = ""
    with tempfile.TemporaryDirectory() as folder, Steps() as steps:
        sets = [(name, Path(good), Path(data)) for name, good, data in arguments.set]
        if arguments.tiles is not None:
            make_sets(arguments.tiles, Path(folder), arguments.seed, steps)
            made = (Path(folder) / name for name in arguments.made.split(","))
            sets += [(root.name, root / "train/good", root) for root in made]
        figures, trials = [], []
        for name, good, data in sets:
            labelled = LabelledSet(name, find_images(good), read_dataset(data).images)
            rows, choice = compare(labelled, arguments.minutes, steps)
            figures += table_of(labelled, rows)
            trials += trials_of(name, choice)
            text = "\n".join([*_FIGURES, *figures, "", *_TRIALS, *trials, ""])
            if arguments.out is not None:
                write_text(arguments.out, text)
    print(text)


if __name__ == "__main__":
    main()
