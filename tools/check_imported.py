"""Imports the models that `tools/export_anomalib.py` made, and holds their scores against anomalib's own.

    python tools/check_imported.py EXPORTS GOOD [--out FOLDER] [--only NAME] [--form FORM] [--daemon]

GOOD is a folder of images of good parts. Of every family both forms, ONNX and OpenVINO IR, are imported, and
the pictures beside them are scored by the fast path and the reference. Prints a table in Markdown: the
largest difference from anomalib's scores as a share of them. With --daemon a line judges those pictures too,
and its verdicts are held against the scores of `inspectd bank evaluate`. A bank that is in FOLDER already is
used.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from inspectd import cli
from inspectd.backends.openvino.admit import admitted
from inspectd.backends.openvino.foreign import ModelRequest
from inspectd.backends.openvino.imported import extractor_of, wrapped
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.file import read_bank
from inspectd.bank.images import read_image
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.client import LiveReader, Verdict
from inspectd.evaluation.dataset import LabelledImage
from inspectd.evaluation.evaluate import evaluate
from inspectd.files import write_text
from inspectd.model.options import ImportedOptions

SECONDS_TO_START = 300.0
SECONDS_WITHOUT_VERDICT = 60.0
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


def difference_of_daemon(folder: Path, bank: Path) -> str:
    """What a line's verdicts on the pictures are, and how far from the scores of `bank evaluate`."""
    told = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    images = [
        LabelledImage(folder / "pictures" / name, Path(picture["file"]).parent.name)
        for name, picture in told.items()
    ]
    judgement = evaluate(bank, images, "cpu", lambda *_: None)
    evaluated = {item.image.path.name: item.score for item in judgement.judged}
    # Slow enough that scoring, which shares the processor with the line, keeps up.
    rate = min(5.0, 600 / judgement.report.latency_ms["p50"])
    verdicts = verdicts_of_line(bank, folder / "pictures", rate, len(images))
    shares = [
        abs(verdict.score - evaluated[name]) / abs(evaluated[name])
        for name, verdict in verdicts.items()
        if verdict.score is not None
    ]
    wrong = sum(
        verdict.evaluation != ("pass" if evaluated[name] <= judgement.report.threshold else "fail")
        for name, verdict in verdicts.items()
    )
    reasons = sorted({verdict.reason for verdict in verdicts.values() if verdict.evaluation == "undecidable"})
    scored = f"{len(shares)} of {len(images)} scored, {wrong} judged otherwise, {max(shares, default=0):.1e}"
    return " ".join([scored, *reasons])


def verdicts_of_line(bank: Path, pictures: Path, rate: float, count: int) -> dict[str, Verdict]:
    """Verdicts of `inspectd run` on a folder of so many pictures, by their names."""
    with tempfile.TemporaryDirectory() as name:
        line = Path(name)
        (line / "line.toml").write_text(f"""\
[line]
deadline_ms = 60000
runtime_dir = "{line}/run"
state_dir = "{line}/state"
[[recipes]]
name = "imported"
bank = {json.dumps(str(bank.resolve()))}
accept_threshold = true
any_size = true
[[cameras]]
kind = "images"
name = "pictures"
recipe = "imported"
folder = {json.dumps(str(pictures.resolve()))}
fps = {rate}
slots = 32
loop = false
[scoring]
stall_timeout_ms = 60000
[evidence]
enabled = false
[metrics]
port = 0
""")
        reader = LiveReader(f"ipc://{line}/run/verdicts.sock")
        found: dict[str, Verdict] = {}
        with DaemonProcess(line / "line.toml", line / "log") as daemon:
            deadline = time.monotonic() + SECONDS_TO_START
            while len(found) < count and time.monotonic() < deadline:
                message = reader.receive(0.2)
                if isinstance(message, Verdict):
                    found[Path(message.source or "").name] = message
                    deadline = time.monotonic() + SECONDS_WITHOUT_VERDICT
                if daemon.poll() is not None:
                    sys.exit(daemon.log_tail())
        reader.close()
        if any(verdict.evaluation == "undecidable" for verdict in found.values()):
            print((line / "log").read_text(encoding="utf-8"), file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("exports", type=Path)
    parser.add_argument("good", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--form", action="append", default=[], choices=list(FILES))
    parser.add_argument("--daemon", action="store_true", help="have a line judge the pictures too")
    parser.add_argument("--out", type=Path, help="keep the banks in this folder")
    parser.add_argument("--judge", default="score", help="as of `bank import`; default: %(default)s")
    parser.add_argument("--table", type=Path, help="write the table there too")
    arguments = parser.parse_args()
    lines = ["| model | from | OpenVINO | reference | bank | line |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        out = arguments.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        for folder in sorted(path.parent for path in arguments.exports.glob("*/scores.json")):
            if arguments.only and folder.name not in arguments.only:
                continue
            for kind in arguments.form or FILES:
                bank, line = out / f"{folder.name}_{kind}.bank", "not asked"
                if bank.exists() or imported(folder, kind, arguments.good, bank, arguments.judge):
                    found = differences(folder, bank)
                    size = f"{bank.stat().st_size / 1e6:.0f} MB, {read_bank(bank).sha256[:8]}"
                    if arguments.daemon:
                        line = difference_of_daemon(folder, bank)
                else:
                    found = dict.fromkeys(("openvino", "torch"), difference_of_network(folder, kind))
                    size, line = "refused, the network alone", "none"
                shares = f"{found['openvino']:.1e} | {found['torch']:.1e}"
                lines.append(f"| {folder.name} | {kind} | {shares} | {size} | {line} |")
                if arguments.table is not None:
                    write_text(arguments.table, "\n".join([*lines, ""]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
