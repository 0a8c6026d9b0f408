"""`inspectd bench` as it is run: with little installed, on a bank file, on the whole daemon."""

import json
import subprocess
import sys

import pytest
from support.bare import Bare

from inspectd.cli import main
from inspectd.cli.numbers import numbers, size
from inspectd.errors import InputError

pytestmark = pytest.mark.system

SMALL = ["--backbone", "resnet18", "--size", "64", "--bank", "256,32", "--frame", "48x64", "--seconds", "0.2"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return Bare(tmp_path_factory.mktemp("bare") / "packages")


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "inspectd", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def test_a_machine_with_little_installed_measures_and_names_what_it_lacks(bare):
    done = bare.run("bench", *SMALL, "--batches", "1,2", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert 0 < result["single_ms"]["p50"] <= result["single_ms"]["p99"]
    assert sum(result["stages_ms"].values()) == pytest.approx(result["single_ms"]["p50"], rel=0.5)
    assert set(result["images_per_second"]) == {"1", "2"}
    assert result["peak_rss_mb"] > 50
    assert result["subject"]["bank"] == "synthetic"
    assert result["machine"].keys() >= {"processor", "cores", "torch", "device", "card", "date"}
    assert {"timm", "openvino", "faiss", "simplejpeg", "prometheus_client"} <= set(result["missing"])
    for option, said in (("--service", "prometheus_client"), ("--images=.", "simplejpeg")):
        refused = bare.run("bench", *SMALL[2:], option)  # without timm it takes another backbone by itself
        assert refused.returncode == 3
        assert "Traceback" not in refused.stderr
        assert said in refused.stderr


def test_a_bank_file_is_measured_on_the_images_given(bank_file, good_folder):
    done = bench(bank_file, "--images", good_folder, "--batches", "1,3", "--seconds", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["subject"]["bank"] == str(bank_file)
    assert result["frames"] == {"count": 8, "height": 300, "width": 300, "source": str(good_folder)}


def test_the_daemon_is_measured_beside_scoring_alone_with_frames_of_any_size(bank_file):
    done = bench(
        bank_file,
        "--service",
        "--frame",
        "200x320",
        "--cameras",
        "2",
        "--rate",
        "20",
        "--seconds",
        "1",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["rate"] == pytest.approx(20, rel=0.3)
    assert result["drops"] == 0
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"]
    (run,) = result["runs"]
    assert 0 < run["main_cpu_share"] < 1
    assert run["peak_rss_mb"].keys() >= {"main", "scoring", "capture"}
    assert result["scoring_alone"]["images_per_second"].keys() == {"1", "8"}


def test_a_synthetic_bank_goes_through_the_daemon(tmp_path):
    done = bench("--service", *SMALL[:8], "--cameras", "1", "--load", "0.1", "--seconds", "0.5")
    assert done.returncode == 0, done.stderr
    assert "p99 is" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--batches", "1,zero"], "--batches: got '1,zero'"),
        (["--bank", "3000"], "--bank: got '3000'"),
        (["--size", "256x"], "--size: got '256x'"),
        (["--frame", "1x1", *SMALL[:6]], "--frame: got '1x1'"),
        (["some.bank", "--backbone", "resnet18"], "leave one out"),
        (["nowhere.safetensors"], "nowhere.safetensors: cannot be read"),
        (["--backbone", "resnet1"], "unknown backbone 'resnet1'"),
        (["--images", "nowhere", *SMALL[:6]], "nowhere"),
        (["--service", "--load", "half"], "--load: got 'half'"),
        (["--service", "--rate", "0"], "--rate: got 0"),
    ],
)
def test_bad_options_are_named(arguments, said, capsys):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_numbers_and_sizes():
    assert numbers("--batches", "1, 2,32") == [1, 2, 32]
    assert size("--size", "256") == (256, 256)
    assert size("--size", "192X320") == (192, 320)
    with pytest.raises(InputError, match="expected 256 or HEIGHTxWIDTH"):
        size("--size", "1x2x3")
