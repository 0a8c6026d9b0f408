"""Converts a bank to the fast path: here, or `python -m inspectd.backends.openvino.convert BANK FOLDER`."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.openvino.pipeline import Exported
from inspectd.bank.file import BankFile, read_bank
from inspectd.errors import BankError, ExitCode, InspectdError, UnavailableError
from inspectd.files import temporary_folder
from inspectd.ipc import child
from inspectd.log import event
from inspectd.model.options import IMPORTED

_log: Final = logging.getLogger("inspectd.bank")
_CONVERSION_SECONDS: Final = 300.0
_UNCONVERTIBLE: Final = 9
"""Exit code of the conversion's process where OpenVINO lacks a rule."""


def converted(path: Path, bank: BankFile, cache: ModelCache) -> Exported | None:
    """The models of a bank, made now and kept in the cache; None where OpenVINO lacks a rule for it.

    Raises:
        BankError: the bank or its weights cannot be used.
        UnavailableError: it takes another process longer than this one waits.
    """
    if "torch" in sys.modules:
        models = _convert(path, bank)
        if models is not None:
            cache.keep_models(bank.scoring_sha256, models)
        return models
    # torch takes hundreds of megabytes that nothing gives back: let another process load it, once.
    event(_log, logging.INFO, "bank_converting", bank=str(path))
    with temporary_folder() as folder:
        command = [sys.executable, "-P", "-m", "inspectd.backends.openvino.convert", str(path), folder]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_CONVERSION_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(
                f"bank {path}: was not converted for this processor within {_CONVERSION_SECONDS:g} s, "
                "expected less: is the host busy with other work? Try again, or load it once where nothing "
                "else runs (`inspectd check FILE`); the result is kept"
            ) from error
        if done.returncode == _UNCONVERTIBLE:
            return None
        if done.returncode != ExitCode.OK:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise BankError(
                said[-1] if path.name in said[-1] else f"bank {path}: cannot be converted: {said[-1]}"
            )
        models = ModelCache(Path(folder)).models(bank.scoring_sha256)
    if models is None:
        raise BankError(f"bank {path}: changed while it was being loaded; try again")
    cache.keep_models(bank.scoring_sha256, models)
    return models


def _convert(path: Path, bank: BankFile) -> Exported | None:
    import torch  # noqa: PLC0415 - hundreds of megabytes, which a scoring process does without

    from inspectd.backends.openvino.export import UnconvertibleError, export  # noqa: PLC0415 - as above
    from inspectd.backends.openvino.imported import extractor_of_bank, network_of_bank  # noqa: PLC0415 - as above
    from inspectd.backends.openvino.precisions import network_of  # noqa: PLC0415 - as above
    from inspectd.backends.reference import reference_pipeline  # noqa: PLC0415 - as above

    is_imported = bank.manifest.detector == IMPORTED
    imported = extractor_of_bank(path, bank) if is_imported else None
    network = network_of_bank(path, bank) if is_imported else network_of(bank)
    try:
        return export(reference_pipeline(path, bank, torch.device("cpu"), imported), network)
    except UnconvertibleError:
        return None


def main() -> int:
    """Write the models of the bank into a cache folder."""
    parser = argparse.ArgumentParser(
        prog="inspectd.backends.openvino.convert", description="Convert a bank for the CPU."
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    child.die_with_parent()
    bank = read_bank(arguments.bank)
    models = _convert(arguments.bank, bank)
    if models is None:
        return _UNCONVERTIBLE
    ModelCache(arguments.folder).keep_models(bank.scoring_sha256, models)
    return ExitCode.OK


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InspectdError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
