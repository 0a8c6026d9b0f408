"""Opening a line, without its processes: it is whole, or nothing of it is left."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from inspectd.config import Config, ImagesCamera, LineSettings, MetricsSettings, Recipe
from inspectd.errors import UnavailableError
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
