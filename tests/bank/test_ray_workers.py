"""Builds with workers on the nodes of a real Ray cluster, whose nodes are all on this machine."""

import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from ray.cluster_utils import Cluster

import inspectd
from inspectd.bank import ray_workers
from inspectd.bank.build import BankBuilder, build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.collect import collect, filling
from inspectd.bank.file import read_bank
from inspectd.bank.fit import FeaturesHere
from inspectd.bank.images import find_images, named_image
from inspectd.bank.ray_workers import RayCluster, RayShare, RayWorkers, versions
from inspectd.bank.share import ShareOfImages, ShareSpec
from inspectd.cli import main
from inspectd.errors import InputError, UnavailableError

pytestmark = pytest.mark.system

SPEC = BuildSpec(height=64, width=64, coreset=0.2, seed=3)
PACKAGE = Path(inspectd.__file__).parent
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


def before_all(folder: Path) -> str:
    """Where nodes import from: a folder first."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes with a processor each."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a path of pytest's is too long for Ray's sockets
    before = dict(os.environ)
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder}
    # Else each build has processes started that nobody asked for.
    os.environ |= {"RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"}
    os.environ["PYTHONPATH"] = before_all(PACKAGE.parent)
    made = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    made.add_node(**NODE)
    yield made
    made.shutdown()
    os.environ.clear()
    os.environ |= before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many as a worker has on a node with one processor: features are the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images(good_folder: Path, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in find_images(good_folder)[:20]:
        shutil.copy(path, folder)
    return find_images(folder)


@dataclass
class Read:
    """Images as a build has them before its workers begin."""

    builder: BankBuilder
    shares: list[ShareSpec]
    features: torch.Tensor

    def workers(self) -> RayWorkers:
        fit = self.builder.fit_spec
        return RayWorkers(self.shares, self.builder._shape, fit.seed, fit.mask, lambda _: None)


def read(images: list[Path], workers: int, spec: BuildSpec = SPEC) -> Read:
    builder = BankBuilder(replace(spec, workers=workers, ray="127.0.0.1:1"))
    features, groups = builder.room_for(len(images)), []
    fill = filling(features, builder.extractor)

    def take(rows: slice, frames: list[np.ndarray]) -> None:
        fill(rows, frames)
        groups.append(len(frames))

    frames = (named_image(path, 8) for path in images)
    found = collect(frames, len(images), take, lambda _: None, lambda _, frame: frame)
    return Read(builder, builder._shares(found, groups), features)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_bank_is_that_of_one_machine(
    workers: int, cluster: Cluster, images: list[Path], tmp_path: Path
) -> None:
    images = images[:12]  # two of the groups that are extracted together, so two workers of the four
    one = build_bank(images, tmp_path / "one", SPEC, lambda *_: None)
    spec = replace(SPEC, workers=workers, ray=cluster.address)
    found = build_bank(images, tmp_path / "ray", spec, lambda *_: None)
    assert found.radius == pytest.approx(one.radius, rel=1e-5)
    assert found.workers_lost == 0
    expected, bank = read_bank(tmp_path / "one"), read_bank(tmp_path / "ray")
    assert bank.tensors.keys() == expected.tensors.keys()
    for name in ("detector.bank", "detector.spacing", "head.looks", "image_digests"):
        np.testing.assert_array_equal(bank.tensors[name], expected.tensors[name], name)
    # Workers sum in float64 what one machine's means and covariances sum in other orders.
    for name, values in expected.tensors.items():
        np.testing.assert_allclose(bank.tensors[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    assert bank.manifest.threshold == pytest.approx(expected.manifest.threshold, rel=1e-5)
    assert bank.manifest.highest_odd == pytest.approx(expected.manifest.highest_odd, rel=1e-5)
    same = {"threshold": 0, "threshold_with_outliers": None, "outliers": (), "highest_odd": None}
    assert msgspec.structs.replace(bank.manifest, **same) == msgspec.structs.replace(
        expected.manifest, **same
    )


def test_workers_that_are_killed_are_made_anew_and_all_is_the_same(
    cluster: Cluster, images: list[Path]
) -> None:
    mask = np.arange(64).reshape(8, 8) % 3 > 0
    light = replace(SPEC, backbone="resnet18", weights="random")  # its workers need not import timm
    made = read(images, 2, replace(light, height=128, width=128, coreset=0.7, mask=mask))
    fit = made.builder.fit_spec
    some = np.setdiff1d(np.arange(20), [0, 7, 13])
    here = FeaturesHere(made.features)
    taught = np.isin(np.arange(20), [4, 17])
    expected = here.fitted(some, fit, lambda *_: None, taught)
    with torch.inference_mode(), RayCluster(cluster.address), made.workers() as workers:

        def kill(done: int, total: int) -> None:
            if done < total and workers.lost == 0:
                os.kill(workers.parts[0].pid, signal.SIGKILL)

        found = workers.fitted(some, fit, kill, taught)
        assert workers.lost == 1
        assert torch.equal(found.detector.bank, expected.detector.bank)
        for name, tensor in expected.detector.tensors().items():
            torch.testing.assert_close(found.detector.tensors()[name], tensor, rtol=1e-4, atol=1e-5)
        assert np.array_equal(found.row_images, some[expected.row_images])
        os.kill(workers.parts[1].pid, signal.SIGKILL)
        maps = workers.maps(expected.detector, some)
        assert workers.lost == 2
        torch.testing.assert_close(maps, here.maps(expected.detector, some), rtol=1e-5, atol=1e-5)
        assert torch.equal(workers.embeddings(), here.embeddings())
        assert torch.equal(workers.nearest(expected.detector, 3), here.nearest(expected.detector, 3))


def test_a_worker_that_cannot_be_kept_alive_ends_the_build(
    cluster: Cluster, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies:
        """Travels as it is, and has the name of no module that a worker's machine may lack."""

        def __init__(self, *_: object) -> None:
            self.exit = __import__("os")._exit

        def call(self, *_: object) -> None:
            self.exit(1)

    monkeypatch.setattr(ray_workers, "RayShare", Dies)
    made = read(images, 2)
    with RayCluster(cluster.address), pytest.raises(UnavailableError, match="was lost 3 times in a row"):
        made.workers()


def test_a_file_that_differs_on_a_worker_is_named(images: list[Path]) -> None:
    worker = RayShare(versions(), msgspec.msgpack.encode(read(images, 1).shares[0]), 1)
    shutil.copy(images[3], images[17])
    said = (
        f"--ray: on {socket.gethostname()}: {images[17]}: holds another picture than where the bank is "
        "built, expected the same files at the same paths on each machine"
    )
    assert worker.call("extract", 20, 20) == ("refused", said)
    assert worker.call("embeddings", 20, np.arange(20)) == ("refused", said)
    images[17].unlink()
    kind, said = RayShare(versions(), worker._spec, 1).call("extract", 20, 20)
    assert kind == "refused"
    assert f"{images[17]}: " in said
    assert "; expected the same files at the same paths on each machine" in said


def test_other_versions_on_a_worker_are_refused(
    cluster: Cluster, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "inspectd"
    other.mkdir(parents=True)
    for part in PACKAGE.iterdir():
        (other / part.name).symlink_to(part)
    (other / "__init__.py").unlink()
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # Ray lets workers import from the folder a build is started in
    made = read(images, 1)
    # With most processors, it is where the only worker goes.
    node = cluster.add_node(**NODE | {"num_cpus": 2}, env_vars={"PYTHONPATH": before_all(other.parent)})
    try:
        with (
            RayCluster(cluster.address),
            pytest.raises(InputError, match=r"has inspectd 0\.0\.1 and torch .*, expected inspectd 0\.1\.0 "),
        ):
            made.workers()
    finally:
        cluster.remove_node(node)


def test_other_weights_are_refused(images: list[Path]) -> None:
    spec = msgspec.structs.replace(read(images, 1).shares[0], weights_sha256="0" * 64)
    with pytest.raises(InputError, match="expected 000000000000 as where the bank is built"):
        ShareOfImages(spec)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("plant", "--ray: got plant, expected HOST:PORT of the cluster's head"),
        ("127.0.0.1:1", "--ray: 127.0.0.1:1: Connection refused; expected the head of a Ray cluster there"),
    ],
)
def test_where_no_cluster_is_that_is_said(address: str, said: str) -> None:
    with pytest.raises((InputError, UnavailableError), match=said):
        RayCluster(address)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (BuildSpec(ray="a:1", detector="padim"), "--ray: got it with --detector padim"),
        (BuildSpec(ray="a:1", foreground=True), "--ray: got it with --foreground"),
        (BuildSpec(ray="a:1", precision="int8"), "--ray: got it with --precision int8"),
    ],
)
def test_what_its_workers_do_not_do_is_refused(spec: BuildSpec, said: str) -> None:
    with pytest.raises(InputError, match=said):
        BankBuilder(spec)


def test_memory_is_that_of_a_share() -> None:
    spec = BuildSpec(ray="a:1", workers=8, memory_gb=8)
    said = BankBuilder(spec).estimate(100_000)
    assert "at most 3.0 GB of memory for each of 8 workers and 3.2 GB here, of 8 GB allowed" in said
    with pytest.raises(InputError, match=r"1000000 images of 256 patches need 25.7 GB here, 8.0 GB are"):
        BankBuilder(spec).estimate(1_000_000)


def test_a_command_without_ray_says_what_to_install(
    good_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "inspectd.bank.ray_workers")
    out = ["--out", str(tmp_path / "x.bank"), "--ray", "127.0.0.1:6379"]
    assert main(["bank", "build", "--images", str(good_folder), *out]) == 3
    assert "pip install --constraint constraints.txt '.[ray]'" in capsys.readouterr().err
    assert main(["bank", "build", "--video", "x.mp4", *out]) == 2
    assert "--ray: expected it with --images" in capsys.readouterr().err
