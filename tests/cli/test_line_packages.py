"""Commands whose packages are missing: one line that names the extra, and no fault of our own hidden."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from inspectd.cli import LINE_PACKAGES
from inspectd.errors import ExitCode

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`inspectd ARGUMENTS` where `module` is not installed."""
    code = "import sys; sys.modules[sys.argv.pop(1)] = None\nfrom inspectd.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", requirement)[0] for requirement in requirements}


def test_the_packages_that_may_be_missing_are_those_of_the_extra() -> None:
    assert set(LINE_PACKAGES.values()) == names(PROJECT["optional-dependencies"]["line"])
    assert names(PROJECT["dependencies"]) == {"msgspec", "pyzmq", "rich"}


def test_a_missing_package_is_one_line() -> None:
    done = without("prometheus_client", "run", "line.toml")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr == (
        "error: `inspectd run` needs prometheus-client, which is not installed here; "
        f"{sys.prefix}/bin/pip install --constraint constraints.txt '.[line]' in this version's source "
        "brings all that it needs\n"
    )


def test_a_gateway_names_the_extra_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "modbus.toml"
    file.write_text("[metrics]\nport = 0\n")
    assert without("prometheus_client", "gateway", "modbus", "--check", "--config", str(file)).returncode == 0
    done = without("prometheus_client", "gateway", "modbus", "--config", str(file))
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr == (
        "error: `inspectd gateway modbus` needs prometheus-client, which is not installed here; "
        f"{sys.prefix}/bin/pip install --constraint constraints.txt '.[modbus]' in this version's source "
        "brings all that it needs\n"
    )
    assert names(PROJECT["optional-dependencies"]["modbus"]) == {"prometheus-client"}
    file.write_text("[metrics]\nport = 0\n")
    done = without("snap7", "gateway", "s7", "--config", str(file))
    assert (done.returncode, "'.[s7]'" in done.stderr) == (ExitCode.UNAVAILABLE, True)


def test_a_package_that_is_missed_only_at_work_is_one_line_too() -> None:
    done = without("torch", "bank", "build", "--images", "nowhere", "--out", "x.safetensors")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.startswith("error: `inspectd bank` needs torch, which is not installed here; ")


def test_a_module_of_our_own_that_is_missing_is_a_visible_fault() -> None:
    done = without("inspectd.service", "run", "line.toml")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
    assert "inspectd[line]" not in done.stderr


def test_recipes_are_read_without_the_extra_and_imported_with_it() -> None:
    done = without("numpy", "recipe", "list", "--config", "nowhere.toml")
    assert (done.returncode, "nowhere.toml: 1 problem" in done.stderr) == (ExitCode.BAD_INPUT, True)
    done = without("numpy", "recipe", "import", "x.toml", "--config", "nowhere.toml")
    assert done.stderr.startswith("error: `inspectd recipe` needs numpy, which is not installed here; ")
