"""Makes `docs/faults.md` from the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from faults.fault import Fault

_FOUND_OUTSIDE: Final = Path(__file__).with_name("found_outside.md")
"""Written by hand: this suite cannot find out what was tried before it could."""

_HEAD: Final = """\
# Faults

Faults injected into the real daemon, and the results. `make faults` injects each fault the given number of
times at random moments and checks the outcome from outside: it shows parts of known truth to two triggered
cameras, triggers each, reads the bus, and runs the reject gate of `tools/gate_simulator.py`. A **wrong pass**
is a part whose gate opened without a valid, on-time pass based on a frame of that very part from each
camera, by its SHA-256. A **live camera** sends motion JPEG over HTTP, and its picture at each moment is the
part then in front of it. For a fault that lasts, the parts inspected under it are counted. `make test` runs a
short form; this runs one fault alone:

    make faults ARGS='--only daemon-killed --count 20'

This page is written by `make faults`, which leaves what it did not run as it was. A fault not run with its
full count says so.

| Fault | Injected | Held | What must hold |
|---|---|---|---|
"""


_ROW: Final = re.compile(r"\| ([a-z0-9-]+): .* \|( [^|]* \| [^|]*)\| [^|]* \|")
_NOT_RUN: Final = " not run | "


def page(faults: Sequence[Fault], results: Iterable[dict[str, Any]], before: str) -> str:
    """The whole page; of faults without a result, with what it said before."""
    said = {found[1]: found[2] for found in map(_ROW.fullmatch, before.splitlines()) if found}
    details = {text.partition("\n")[0]: f"## {text}" for text in before.split("\n## ")[1:]}
    for result in results:
        said[result["name"]] = _said(result, next(f.full for f in faults if f.name == result["name"]))
        details[result["name"]] = _details(result)
    rows = [
        f"| {fault.name}: {fault.what} |{said.get(fault.name, _NOT_RUN)}| {fault.must_hold} |"
        for fault in faults
    ]
    kept = [details[fault.name].rstrip() + "\n" for fault in faults if fault.name in details]
    return "\n".join([_HEAD + "\n".join(rows), "", *kept, _FOUND_OUTSIDE.read_text()])


def _said(result: dict[str, Any], full: int) -> str:
    injected = f"{result['injected']:,}"
    if result["injected"] < full:
        injected += f" of {full:,}"
    return f" {injected} | {'yes' if result['held'] else '**no**'} "


def _details(result: dict[str, Any]) -> str:
    lines = [f"## {result['name']}", ""]
    lines += [f"- {what}: {figure}" for what, figure in result["figures"].items()]
    lines += [f"- **Did not hold**: {violation}" for violation in map(_short, result["violations"])]
    load = f", load average {result['load']}" if "load" in result else ""
    when = f"{result['utc'][:16].replace('T', ' ')} UTC, {result['seconds']:,.0f} s, seed {result['seed']}"
    return "\n".join([*lines, f"- {when}, inspectd {result['version']}", f"- {result['machine']}{load}", ""])


def _short(violation: str) -> str:
    first = violation.splitlines()[0]
    return first if len(first) <= 200 else first[:200] + "..."
