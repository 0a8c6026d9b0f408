"""Imports the models that `tools/export_anomalib.py` made, and holds their scores against anomalib's own.

    python tools/check_imported.py EXPORTS GOOD [--out FOLDER] [--only NAME]

GOOD is a folder of images of good parts. Of every family both forms, ONNX and OpenVINO IR, are imported, and
the
pictures beside them are scored by the fast path and the reference. Prints a table in Markdown: the largest
difference from anomalib's scores as a share of them. With --data the banks are then compared on those images
(`inspectd bank compare`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from inspectd import cli
from inspectd.backends.openvino.admit import admitted
from inspectd.backends.openvino.foreign import ModelRequest
from inspectd.backends.openvino.imported import extractor_of, wrapped
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.file import read_bank
from inspectd.bank.images import read_image
from inspectd.files import write_text
from inspectd.model.options import ImportedOptions

FILES = {"onnx": ("model.onnx", "--weights", "model.onnx.data"), "openvino": ("model.xml",)}


def imported(folder: Path, kind: str, good: Path, bank: Path, judge: str) -> bool:
    """Whether it could be imported: a model that was hardly trained may fail nothing, and is then refused."""
    model, *others = FILES[kind]
    words = ["bank", "import", folder / model, "--images", good, "--out", bank, "--name", folder.name]
    if others and (folder / others[1]).exists():
        words += [others[0], folder / others[1]]
    return cli.main([str(word) for word in [*words, "--judge", judge]]) == 0


def difference_of_network(folder: Path, kind: str) -> float:
    """As `differences`, by the network with its preprocessing alone."""
    model, *others = FILES[kind]
    weights = str(folder / others[1]) if others and (folder / others[1]).exists() else None
    request = ModelRequest(model=str(folder / model), weights=weights, memory_bytes=4_000_000_000)
    found = admitted(request, 600)
    options = ImportedOptions(score_output=found.facts.score_output)
    size = (found.facts.height, found.facts.width)
    network = wrapped(found.network, options, size)
    extractor = extractor_of(
        network, name=folder.name, weights="", sha256="", outputs=options.outputs, size=size, region=None,
        precision="float32",
    )  # fmt: skip
    shares: list[float] = []
    for name, expected in json.loads((folder / "scores.json").read_text(encoding="utf-8")).items():
        frame = read_image(folder / "pictures" / name)
        assert frame is not None
        score = float(extractor([frame]).max())
        shares.append(abs(score - expected["score"]) / abs(expected["score"]))
    return max(shares)


def differences(folder: Path, bank: Path) -> dict[str, float]:
    """The largest difference from anomalib's scores as a share of them, by backend."""
    told = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    found = {}
    for backend in ("openvino", "torch"):
        scorer = Scorer.load(bank, "cpu", ScoringOptions(backend=backend))
        shares = []
        # The reference computes the same network, so that some of the pictures show it.
        for name, expected in list(told.items())[:: 1 if backend == "openvino" else 8]:
            frame = read_image(folder / "pictures" / name)
            assert frame is not None
            score = scorer.score([frame])[0].image_score
            shares.append(abs(score - expected["score"]) / abs(expected["score"]))
        found[backend] = max(shares)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("exports", type=Path)
    parser.add_argument("good", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--out", type=Path, help="keep the banks in this folder")
    parser.add_argument("--judge", default="score", help="as of `bank import`; default: %(default)s")
    parser.add_argument("--table", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    lines = ["| model | from | OpenVINO | reference | bank |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        out = arguments.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        for folder in sorted(path.parent for path in arguments.exports.glob("*/scores.json")):
            if arguments.only and folder.name not in arguments.only:
                continue
            for kind in FILES:
                bank = out / f"{folder.name}_{kind}.bank"
                if imported(folder, kind, arguments.good, bank, arguments.judge):
                    found = differences(folder, bank)
                    size = f"{bank.stat().st_size / 1e6:.0f} MB, {read_bank(bank).sha256[:8]}"
                else:
                    found = dict.fromkeys(("openvino", "torch"), difference_of_network(folder, kind))
                    size = "refused, the network alone"
                lines.append(
                    f"| {folder.name} | {kind} | {found['openvino']:.1e} | {found['torch']:.1e} | {size} |"
                )
                if arguments.table is not None:
                    write_text(arguments.table, "\n".join([*lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
