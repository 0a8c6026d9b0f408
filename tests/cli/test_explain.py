"""`inspectd explain` on evidence made from a score, and on what is none. The daemon's own: tests/evidence."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from support.daemon import camera_table, settings

from inspectd import cli
from inspectd.backends.scorer import Scorer
from inspectd.bank.images import find_images, read_image
from inspectd.evidence.pictures import encode_frame, encode_heatmap, read_frame
from inspectd.evidence.record import EvidenceRecord, read_record
from inspectd.page.history.evidence import KeptEvidence
from inspectd.page.history.explaining import Explainer
from tests.evidence.test_store import verdict


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs `inspectd explain` with the given words."""

    def run(*words: object) -> Done:
        code = cli.main(["explain", *map(str, words)])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def evidence(tmp_path: Path, bank_file: Path, good_folder: Path) -> Path:
    """A part that passed, as the evidence process keeps it."""
    pixels = read_image(find_images(good_folder)[0])
    assert pixels is not None
    scorer = Scorer.load(bank_file, "cpu")
    (score,) = scorer.score([pixels])
    judged = msgspec.structs.replace(
        verdict(1),
        score=score.image_score,
        threshold=scorer.info.threshold,
        bank_sha256=scorer.info.sha256,
        frame_sha256=hashlib.sha256(pixels.data).hexdigest(),
        software="0.0.9",
    )
    data, picture = encode_heatmap(score.heatmap)
    folder = tmp_path / "evidence"
    folder.mkdir()
    (folder / "frame.png").write_bytes(encode_frame(pixels))
    (folder / "heatmap.png").write_bytes(data)
    record = EvidenceRecord(judged, {}, *pixels.shape[:2], picture)
    (folder / "evidence.json").write_bytes(msgspec.json.encode(record))
    return folder


def test_the_same_score_comes_out_and_what_differs_is_shown(explain, evidence, bank_file, tmp_path):
    done = explain(evidence / "evidence.json", "--bank", bank_file, "--out", tmp_path / "picture.png")
    assert done.returncode == 0, done.stderr
    assert "the same score" in done.stdout
    (software,) = [line for line in done.stdout.splitlines() if "software" in line]
    assert "0.0.9" in software
    assert "differs" in software
    assert read_frame(tmp_path / "picture.png").shape[1] == 970
    changed = evidence / "evidence.json"
    record = msgspec.json.decode(changed.read_bytes(), type=EvidenceRecord)
    other = msgspec.structs.replace(
        record.verdict, score=record.verdict.score + 0.01 * record.verdict.threshold
    )
    changed.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, verdict=other)))
    done = explain(evidence, "--bank", bank_file)
    assert done.returncode == 1
    assert "a different score" in done.stdout
    assert explain(evidence, "--bank", bank_file, "--tolerance", "0.02").returncode == 0
    unscored = msgspec.structs.replace(record.verdict, score=None, threshold=None, bank_sha256=None)
    changed.write_bytes(msgspec.json.encode(msgspec.structs.replace(record, verdict=unscored)))
    done = explain(evidence, "--bank", bank_file)
    assert done.returncode == 0
    assert "had no score" in done.stdout


def test_the_page_is_given_what_is_compared_and_no_path(evidence, bank_file, good_folder, tmp_path):
    line = tmp_path / "line.toml"
    line.write_text(settings(bank_file, camera_table("cam", good_folder)))
    told = asyncio.run(Explainer(line).explain(KeptEvidence(evidence, read_record(evidence))))
    assert told["result"] == "same"
    assert [row["what"] for row in told["rows"]] == [
        "score", "threshold", "evaluation", "heatmap", "bank", "software",
    ]  # fmt: skip
    assert [row["what"] for row in told["rows"] if row["differs"]] == ["software"]
    assert not [row for row in told["rows"] if "/" in row["then"] + row["now"]]
    assert told["picture_png_base64"]


def test_what_is_no_evidence_is_said_so(explain, evidence, bank_file, tmp_path):
    def refused(*words: object) -> str:
        done = explain(*words, "--bank", bank_file)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "evidence.json: cannot be read: No such file" in refused(tmp_path / "nowhere")
    (evidence / "frame.png").write_bytes(b"cut short")
    assert "frame.png: is not a picture in a supported format" in refused(evidence)
    (evidence / "evidence.json").write_text('{"schema": "evidence/1"}')
    assert "evidence.json: is not evidence of this version" in refused(evidence)
    (evidence / "evidence.json").write_text('{"more": ' + "[" * 5000 + "]" * 5000 + "}")
    assert "evidence.json: is not evidence of this version" in refused(evidence)
    with pytest.raises(SystemExit, match="2"):  # neither a bank nor a line to find it
        explain(evidence)
