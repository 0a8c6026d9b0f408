"""Reads and tries a model from elsewhere in a process of its own, with limits on its memory and time.

`admitted` starts it; it is `python -m inspectd.backends.openvino.admit REQUEST FOLDER`.
"""

from __future__ import annotations

import math
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import openvino

from inspectd.backends.openvino.foreign import AdmittedModel, ModelRequest, read_foreign
from inspectd.backends.openvino.runtime import Representation, compiled, read_model
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.files import temporary_folder
from inspectd.ipc import child
from inspectd.limits import memory_bytes
from inspectd.text import printable

_FACTS: Final = "facts.json"
_XML: Final = "model.xml"
_ONNX: Final = "model.onnx"
_NOISE: Final = 3
_EVEN: Final = (0.0, 1.0, 255.0)
"""Values of pictures of one: some operators fail at what noise never shows, such as a division by nothing."""
_NO_MEMORY: Final = ("bad_alloc", "MemoryError", "allocate memory")
"""As Python and OpenVINO word it."""


class Admitted(msgspec.Struct, frozen=True):
    """A model that was read and tried: its facts, its network of OpenVINO, and its bytes if it is ONNX."""

    facts: AdmittedModel
    network: Representation
    onnx: bytes | None


def admitted(request: ModelRequest, seconds: float) -> Admitted:
    """Read and try a model, within the limits.

    Args:
        request: the model.
        seconds: most that it may take.

    Raises:
        InputError: it cannot be used, takes more memory or time, or crashes what reads it.
        UnavailableError: a package that reads it is missing.
    """
    with temporary_folder() as folder:
        words = [
            "-P",
            "-m",
            "inspectd.backends.openvino.admit",
            msgspec.json.encode(request).decode(),
            folder,
        ]
        try:
            done = subprocess.run(
                [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"model {request.model}: was not read and tried within {seconds:g} s: expected less, or a "
                "larger --limit-seconds"
            ) from error
        _refuse_failed(request, done.returncode, done.stderr.decode(errors="replace"))
        facts = msgspec.json.decode((Path(folder) / _FACTS).read_bytes(), type=AdmittedModel)
        xml, onnx = Path(folder) / _XML, Path(folder) / _ONNX
        network = xml.read_bytes(), xml.with_suffix(".bin").read_bytes()
        return Admitted(facts, network, onnx.read_bytes() if facts.kind == "onnx" else None)


def _refuse_failed(request: ModelRequest, code: int, said: str) -> None:
    if code == ExitCode.OK:
        return
    last = (said.strip().splitlines() or [""])[-1]
    if code == ExitCode.UNAVAILABLE:
        raise UnavailableError(last)
    if code == ExitCode.BAD_INPUT:
        raise InputError(last)
    if code == ExitCode.FAILED and not any(words in last for words in _NO_MEMORY):
        raise InputError(f"model {request.model}: cannot be used: {printable(last[:300])}")
    ended = f"ended by {signal.Signals(-code).name}" if code < 0 else "out of memory"
    raise InputError(
        f"model {request.model}: what read it was {ended}: it is damaged, or takes more than the "
        f"{request.memory_bytes / 1e9:g} GB of --memory-gb"
    )


def _limit(most_bytes: int) -> None:
    # Not of addresses: libraries reserve many more than they use. What they have taken comes before.
    resource.setrlimit(resource.RLIMIT_DATA, (most_bytes + memory_bytes("VmData"),) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(request: ModelRequest, folder: Path) -> None:
    """Read the model, score pictures with it, and write what is known of it."""
    foreign = read_foreign(request)
    facts = foreign.facts
    openvino.save_model(foreign.model, folder / _XML, compress_to_fp16=False)
    if foreign.onnx is not None:
        (folder / _ONNX).write_bytes(foreign.onnx)
    xml = folder / _XML
    picture_ms = _picture_ms(request, (xml.read_bytes(), xml.with_suffix(".bin").read_bytes()))
    peak_mb = memory_bytes("VmHWM") / 1e6
    facts = msgspec.structs.replace(facts, picture_ms=round(picture_ms, 3), peak_mb=round(peak_mb, 1))
    (folder / _FACTS).write_bytes(msgspec.json.encode(facts))


def _picture_ms(request: ModelRequest, network: Representation) -> float:
    """Time of one picture; every one twice, as the same picture has to give the same."""
    model = compiled(read_model(network), "float32", 0).create_infer_request()
    shape = list(model.get_compiled_model().input(0).shape)
    spent, generator = [], np.random.default_rng(0)
    noise = [generator.random(shape, dtype=np.float32) for _ in range(_NOISE)]
    for picture in [*noise, *(np.full(shape, value, np.float32) for value in _EVEN)]:
        answers: list[list[Any]] = []
        for _ in range(2):
            start = time.perf_counter()
            answers.append([np.array(values) for values in model.infer([picture]).to_tuple()])
            spent.append(time.perf_counter() - start)
        if any(
            not np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
            for one, two in zip(*answers, strict=True)
        ):
            raise InputError(
                f"model {request.model}: gave the same picture two answers: expected the same one always"
            )
    return 1e3 * min(spent, default=math.inf)


def main() -> int:
    """Be the process that reads and tries a model."""
    request, folder = msgspec.json.decode(sys.argv[1], type=ModelRequest), Path(sys.argv[2])
    child.die_with_parent()
    _limit(request.memory_bytes)
    try:
        _try(request, folder)
    except OSError as error:
        raise InputError(
            f"{error.filename or request.model}: cannot be read: {error.strerror or error}"
        ) from error
    return ExitCode.OK


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InspectdError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except (MemoryError, RuntimeError) as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        sys.exit(ExitCode.FAILED)
