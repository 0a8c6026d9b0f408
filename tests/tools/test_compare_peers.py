"""Ours and a peer's scoring in turn: a stand-in peer with known figures, our real benchmark."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from compare_peers import peer_times
from support.pictures import write_images

from inspectd.bank.file import read_manifest

pytestmark = pytest.mark.system

TOOL = Path(__file__).parents[2] / "tools" / "compare_peers.py"
OURS = [
    "--backbone",
    "resnet18",
    "--layers",
    "layer2,layer3",
    "--size",
    "64",
    "--dims",
    "32",
    "--seconds",
    "0.2",
]
PEER = "import json; print('hello'); print(json.dumps({'peer': 'slow', 'rows': {rows}, 'torch_ms': 1e6}))"


@pytest.fixture
def data(tmp_path):
    write_images(tmp_path / "test" / "good", ["1.png", "2.png"])
    return tmp_path


def run(*arguments):
    return subprocess.run(
        [sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


def test_a_size_of_bank_has_its_times_and_ratios(data):
    peer = f'{sys.executable} -c "{PEER}"'
    done = run(data, "--peer", peer, "--rows", "64", "--runs", "1", "--json", *OURS)
    assert done.returncode == 0, done.stderr
    (bank,) = json.loads(done.stdout)["banks"]
    assert bank["rows"] == 64
    ours, slow = bank["ours_ms"], bank["peers"]["slow torch_ms"]
    assert slow["ms"] == {"median": 1e6, "least": 1e6, "most": 1e6}
    assert slow["ratio"]["least"] == pytest.approx(1e6 / ours["most"], rel=1e-3)
    assert slow["ratio"]["most"] == pytest.approx(1e6 / ours["least"], rel=1e-3)


def test_a_bank_file_is_measured_as_it_is(data, bank_file):
    peer = f'{sys.executable} -c "{PEER}"'
    done = run(data, "--peer", peer, "--bank", bank_file, "--runs", "1", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(bank_file)
    assert f"bank {manifest.rows} rows: ours" in done.stdout
    assert "(exact-" in done.stdout


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        ("import sys; sys.exit('no such model')", "no such model"),
        ("print('not JSON')", "expected 0 and a JSON object"),
        ("print('{\"auroc\": 1}')", "no key ending in _ms"),
    ],
)
def test_a_peer_that_gives_no_times_is_named(data, peer, said):
    script = data / "peer.py"
    script.write_text(peer)
    with pytest.raises(SystemExit, match=said):
        peer_times(f"{sys.executable} {script}", Namespace(data=data, size=64), 64)


def test_a_folder_without_test_images_is_named(tmp_path):
    done = run(tmp_path, "--peer", "true")
    assert done.returncode == 2
    assert "expected a folder with train/good" in done.stderr
