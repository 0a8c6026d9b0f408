"""Opening a line, without its processes: it is whole, or nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import threading
from pathlib import Path

import msgspec
import pytest
from support.ports import free_port

from inspectd.config import Config, ImagesCamera, LineSettings, MetricsSettings, Recipe
from inspectd.errors import UnavailableError
from inspectd.evidence.store import EvidenceStore
from inspectd.service import open_service


def settings(tmp_path: Path, metrics_port: int) -> Config:
    return Config(
        line=LineSettings(runtime_dir=str(tmp_path / "run"), state_dir=str(tmp_path / "state")),
        recipes=(Recipe(name="r", bank="b"),),
        cameras=(ImagesCamera(name="cam", recipe="r", folder="x"),),
        metrics=MetricsSettings(port=metrics_port),
    )


def handlers() -> list[object]:
    return [signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)]


def test_what_was_opened_before_an_error_is_undone(tmp_path: Path) -> None:
    before = handlers()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=str(port)), open_service(settings(tmp_path, port)):
            raise AssertionError("the port is taken")
    assert handlers() == before
    assert not (tmp_path / "run").exists()
    with open_service(settings(tmp_path, 0)):  # neither lock, sockets nor journal are held any more
        assert handlers() != before
        with pytest.raises(UnavailableError, match="another inspectd"), open_service(settings(tmp_path, 0)):
            raise AssertionError("the runtime directory is locked")
    assert handlers() == before
    assert not (tmp_path / "run").exists()


def test_a_state_is_one_lines_although_its_runtime_directory_was_removed(tmp_path: Path) -> None:
    with open_service(settings(tmp_path, 0)):
        shutil.rmtree(tmp_path / "run")
        with (
            pytest.raises(UnavailableError, match="another inspectd uses"),
            open_service(settings(tmp_path, 0)),
        ):
            raise AssertionError("the state directory is locked")


@pytest.mark.parametrize("place", ["sockets", "evidence"])
def test_sockets_or_evidence_may_lie_in_the_state_directory(tmp_path: Path, place: str) -> None:
    config, state = settings(tmp_path, 0), tmp_path / "state"
    if place == "sockets":
        line = msgspec.structs.replace(config.line, runtime_dir=str(state))
        config = msgspec.structs.replace(config, line=line)
    with open_service(config):
        if place == "evidence":
            EvidenceStore(state, 10**6, 0).claim()


def test_a_signal_ends_a_start_that_waits_for_a_file(tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "metrics.pem")  # as a mount that hangs
    before = handlers()
    metrics = MetricsSettings(port=free_port(), tls_certificate=str(pipe), tls_key=str(pipe))
    config = msgspec.structs.replace(settings(tmp_path, 0), metrics=metrics)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(SystemExit) as ended, open_service(config):
        raise AssertionError("nobody writes to the pipe")
    timer.join()
    assert ended.value.code == 0
    assert handlers() == before
    assert not (tmp_path / "run").exists()


def test_what_is_in_a_sockets_place_is_named_and_left(tmp_path: Path) -> None:
    (tmp_path / "run" / "verdicts.sock").mkdir(parents=True)
    with (
        pytest.raises(UnavailableError, match=r"verdicts\.sock: Is a directory"),
        open_service(settings(tmp_path, 0)),
    ):
        raise AssertionError("the socket's place is taken")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["verdicts.sock"]


def test_a_lack_of_descriptors_leaves_nothing_behind(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0)) as some:
        resource.setrlimit(resource.RLIMIT_NOFILE, (some.fileno() + 64, limits[1]))
        fillers = [some.dup()]
        try:
            with contextlib.suppress(OSError):
                while True:
                    fillers.append(some.dup())
            for _ in range(4):
                fillers.pop().close()
                with (
                    pytest.raises(UnavailableError, match="Too many open files"),
                    open_service(settings(tmp_path, 0)),
                ):
                    raise AssertionError("there are not enough descriptors")
                assert not (tmp_path / "run").exists()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for filler in fillers:
                filler.close()
