"""`inspectd init DIR`: a configuration file that lists every setting with its meaning and default."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from inspectd import config
from inspectd.errors import InputError
from inspectd.files import is_folder, is_there, write_text

FILE_NAME: Final = "inspectd.toml"

_HEAD: Final = """\
# inspectd, one production line. Every setting is listed with its meaning and default; one that is commented
# out is unset, and its value is an example. `inspectd check FILE` reports every problem.
"""
_EXAMPLES: Final[dict[tuple[type, str], Any]] = {
    (config.Recipe, "name"): "product-a",
    (config.Recipe, "bank"): "banks/product-a.safetensors",
    (config.OpenCvCamera, "name"): "top",
    (config.OpenCvCamera, "recipe"): "product-a",
    (config.OpenCvCamera, "source"): 0,
    (config.ImagesCamera, "name"): "replay",
    (config.ImagesCamera, "recipe"): "product-a",
    (config.ImagesCamera, "folder"): "images/product-a",
    (config.GenicamCamera, "name"): "side",
    (config.GenicamCamera, "recipe"): "product-a",
    (config.GenicamCamera, "device"): "serial:40012345",
    (config.SyntheticCamera, "name"): "synthetic",
    (config.SyntheticCamera, "recipe"): "product-a",
    (config.GoldenPart, "name"): "crack-1",
    (config.GoldenPart, "recipe"): "product-a",
    (config.GoldenPart, "expect"): "fail",
    (config.CameraRegion, "name"): "label",
    (config.PixelRectangle, "left"): 640,
    (config.PixelRectangle, "top"): 100,
    (config.PixelRectangle, "width"): 400,
    (config.PixelRectangle, "height"): 300,
}
_UNSET: Final = {"threshold": 5.0, "check_above": 4.0, "frozen_frames": 1, "deadline_ms": 300.0,
                 "latency_ms": 130.0, "exposure_us": 10000.0, "gain_db": 0.0, "settle_ms": 250.0,
                 "width": 1920, "height": 1200, "fps": 30.0, "fourcc": "MJPG",
                 "pixel_format": "Mono8", "trigger_source": "Line1", "trigger_activation": "RisingEdge",
                 "trigger_delay_us": 0.0, "chunks": True, "packet_bytes": 8192,
                 "cti": "/opt/vendor/lib/producer.cti",
                 "features": {"AcquisitionFrameRateEnable": True, "AcquisitionFrameRate": 50.0},
                 "shuffle_seed": 1, "phase": 0.25, "frames": 1000, "fault_file": "faults.toml",
                 "verdicts_tcp": "127.0.0.1:5571", "heatmaps_tcp": "127.0.0.1:5572",
                 "previews_tcp": "127.0.0.1:5575",
                 "sync_tcp": "127.0.0.1:5573", "control_tcp": "127.0.0.1:5574",
                 "calibration": "side.calibration.yml", "empty_folder": "images/empty-belt",
                 "server_key": "server.key", "client_key": "plc1.key_secret",
                 "recipes": {"12": "cells"}, "golden_parts": {"1": "crack-1"},
                 "ca_file": "ca.pem", "certificate": "gateway.pem",
                 "key": "gateway.key", "user": "inspectd", "password_file": "mqtt.password",
                 "users": {"anna": "engineer", "mes": "operator"},
                 "primary_host": "scada", "takt_target_seconds": 2.5,
                 "evidence_dir": "/var/lib/inspectd/line1/evidence",
                 "settings_file": "/etc/inspectd/line1.toml", "secret_file": "proxy.secret",
                 "teach_socket": "/run/inspectd-teach/line1/teach.sock",
                 "client_secret_file": "oidc.secret",
                 "recipes_dir": "/var/lib/inspectd/line1/recipes",
                 "keys_dir": "keys", "tls_certificate": "host.pem", "tls_key": "host.key",
                 "users_file": "metrics.users", "recipe": "label-a",
                 "seed_file": "line1.nk", "credentials_file": "line1.creds",
                 "cameras": ["top"], "score_min": 6.0, "score_max": 20.0}  # fmt: skip

_TABLES_OF_THEIR_OWN: Final = {"parts", "regions"}
"""Arrays of tables, which follow the table that they belong to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("dir", type=Path, help=f"folder to write {FILE_NAME} into; made if it does not exist")


def main(arguments: argparse.Namespace) -> int:
    """Write the example; an existing file is not overwritten.

    Raises:
        InputError: the file exists, or its folder is none.
        UnavailableError: it cannot be written.
    """
    file = write_example(arguments.dir, FILE_NAME, example())
    print(f"wrote {file}\n\nNext:")
    print(f"  inspectd bank build --images GOOD_IMAGES --out {arguments.dir}/banks/product-a.safetensors")
    print(f"  edit {file}: name your cameras\n  inspectd check {file}\n  inspectd run {file}")
    return 0


def write_example(folder: Path, name: str, text: str) -> Path:
    """Write an example that is not there yet, and its folder; the file.

    Raises:
        InputError: the file exists, or its folder is none.
        UnavailableError: it cannot be written.
    """
    file = folder / name
    if is_there(folder) and not is_folder(folder):
        raise InputError(f"{folder}: is a file, expected a folder; name another one")
    if is_there(file):
        raise InputError(f"{file}: already exists, not overwritten; name another folder")
    write_text(file, text)
    return file


def example() -> str:
    """The commented example, from the settings' own declarations."""
    parts = [_HEAD]
    for field in msgspec.structs.fields(config.Config):
        if field.name == "recipes":
            parts.append(as_table("[[recipes]]", config.Recipe))
        elif field.name == "cameras":
            first, *others = get_args(config.Camera)
            regions = _as_comment(as_table("[[cameras.regions]]", config.CameraRegion))
            parts += [_camera(first), regions, *(_as_comment(_camera(kind)) for kind in others)]
        else:
            parts.append(as_table(f"[{field.name}]", type(field.default)))
        if field.name == "golden":
            parts.append(_as_comment(as_table("[[golden.parts]]", config.GoldenPart)))
    return "\n".join(parts)


def _camera(kind: type[config.CameraBase]) -> str:
    table = as_table("[[cameras]]", kind)
    return table.replace("[[cameras]]\n", f'[[cameras]]\nkind = "{kind.__struct_config__.tag}"\n', 1)


def _as_comment(text: str) -> str:
    """So that the example is one working line, with one camera."""
    return "".join(f"#{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def as_tables(head: str, default: config.Settings, names: Iterable[str]) -> str:
    """The commented example of a program's file: its first lines, and these tables of its settings."""
    return "\n".join([head, *(as_table(f"[{name}]", type(getattr(default, name))) for name in names)])


def as_table(header: str, kind: type[config.Settings]) -> str:
    """A table of settings as commented TOML, from their own declarations."""
    doc = (kind.__doc__ or "").splitlines()[0]
    return "\n".join([f"# {doc}", header, *_settings(kind, ""), ""])


def _settings(kind: type[config.Settings], prefix: str) -> Iterator[str]:
    types, hints = get_type_hints(kind), get_type_hints(kind, include_extras=True)
    required_first = sorted(msgspec.structs.fields(kind), key=lambda field: not field.required)
    for field in required_first:
        table = types[field.name]
        if isinstance(table, type) and issubclass(table, config.Settings):
            yield from _settings(table, f"{prefix}{field.name}.")
            continue
        if field.name in _TABLES_OF_THEIR_OWN:
            continue
        yield f"# {_description(hints[field.name])}"
        value = _EXAMPLES.get((kind, field.name), field.default)
        if value is None:
            yield f"# {prefix}{field.name} = {_toml(_UNSET[field.name])}"
        else:
            yield f"{prefix}{field.name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(inner)}' for key, inner in value.items())} }}"
    return json.dumps(value)


def _description(hint: Any) -> str:
    texts: list[str] = [meta.description for meta in hint.__metadata__ if meta.description]
    return texts[-1]
