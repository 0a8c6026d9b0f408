"""Runs our scoring and other programs' in turn on the same images, and prints how many times faster ours is.

Usage:
    compare_peers.py DATA --peer 'PYTHON peer.py {data} --size {size} --random-bank {rows} --limit 32'

DATA is a folder with train/good and test/*. A peer is a command whose last line of output is a JSON object;
each of its keys that ends in `_ms` is the time of one image in milliseconds. `{data}`, `{size}` and `{rows}`
in it stand for the folder, the side of the input in pixels and the rows of the bank.

Ours is the median of single images, host frame in, score and heatmap out, with resizing and normalising. It
scores as PatchCore was published with synthetic banks of those rows, or with the banks that --bank names,
built with `--option local_scale=false --option position_weight=0` for the same. A synthetic bank has no lists
of rows by place and is searched whole; a large real one is not.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any


def last_json(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = done.stdout.strip().splitlines()
    try:
        result = json.loads(lines[-1]) if not done.returncode and lines else None
    except ValueError:
        result = None
    if not isinstance(result, dict):
        sys.exit(
            f"error: {shlex.join(command)}: exit code {done.returncode}, expected 0 and a JSON object on the "
            f"last line of its output; it said:\n{(done.stderr or done.stdout).strip()[-2000:]}"
        )
    return result


def ours(arguments: argparse.Namespace, bank: list[str]) -> dict[str, Any]:
    """Result of `inspectd bench` for a bank, which a few words of its command name."""
    command = [
        sys.executable, "-m", "inspectd", "bench", *bank, "--json", "--batches", "1",
        "--images", str(arguments.data / "test"), "--seconds", str(arguments.seconds),
        *shlex.split(arguments.bench),
    ]  # fmt: skip
    return last_json(command)


def banks(arguments: argparse.Namespace) -> list[list[str]]:
    """The banks that were asked for, each as words of `inspectd bench`."""
    if arguments.bank:
        return [[str(path)] for path in arguments.bank]
    synthetic = [
        "--backbone", arguments.backbone, "--layers", arguments.layers, "--grid", arguments.grid,
        "--size", str(arguments.size), "--recipe", "published",
    ]  # fmt: skip
    return [[*synthetic, "--bank", f"{rows},{arguments.dims}"] for rows in arguments.rows.split(",")]


def peer_times(template: str, arguments: argparse.Namespace, rows: int) -> dict[str, float]:
    fields = {"{data}": str(arguments.data), "{size}": str(arguments.size), "{rows}": str(rows)}
    words = shlex.split(template)
    for field, value in fields.items():
        words = [word.replace(field, value) for word in words]
    result = last_json(words)
    times = {key: float(value) for key, value in result.items() if key.endswith("_ms")}
    if not times:
        sys.exit(f"error: {shlex.join(words)}: its JSON has no key ending in _ms, only {', '.join(result)}")
    name = str(result.get("peer", Path(words[0]).name))
    return {f"{name} {key}": value for key, value in times.items()}


def compare(arguments: argparse.Namespace, bank: list[str]) -> dict[str, Any]:
    rows, subject = 0, {}
    our_times: list[float] = []
    times: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    for turn in range(arguments.runs):
        for template in arguments.peer:
            print(f"bank {bank[-1]}, run {turn + 1} of {arguments.runs}", file=sys.stderr, flush=True)
            measured = ours(arguments, bank)
            subject = measured["subject"]
            rows = subject["rows"]
            our_times.append(float(measured["single_ms"]["p50"]))
            for key, value in peer_times(template, arguments, rows).items():
                times.setdefault(key, []).append(value)
                # Against our run just before it: what else the machine does changes from minute to minute.
                ratios.setdefault(key, []).append(value / our_times[-1])
    return {
        "rows": rows,
        "search": subject["search"],
        "ours_ms": spread(our_times),
        "peers": {key: {"ms": spread(times[key]), "ratio": spread(ratios[key])} for key in times},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def text(result: dict[str, Any]) -> str:
    def said(of: dict[str, float]) -> str:
        return f"{of['median']:.2f} ({of['least']:.2f} to {of['most']:.2f})"

    lines = [f"bank {result['rows']} rows: ours {said(result['ours_ms'])} ms ({result['search']})"]
    for key, of in result["peers"].items():
        lines.append(f"  {key}: {said(of['ms'])}; ours is {said(of['ratio'])} times as fast")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with train/good and test/*")
    parser.add_argument("--peer", action="append", required=True, metavar="COMMAND", help="may be repeated")
    parser.add_argument(
        "--bank", action="append", type=Path, metavar="FILE",
        help="a bank of DATA, may be repeated; left out: synthetic ones, which the next options describe",
    )  # fmt: skip
    parser.add_argument(
        "--rows", default="3072,30720", metavar="N,N", help="rows of the banks (default %(default)s)"
    )
    parser.add_argument("--dims", type=int, default=152)
    parser.add_argument("--size", type=int, default=256, help="side of the input in pixels")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--layers", default="blocks.2,blocks.4")
    parser.add_argument("--grid", default="fine", choices=["coarse", "fine"])
    parser.add_argument(
        "--bench", default="", metavar="OPTIONS", help="more options for our `inspectd bench`"
    )
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of our runs")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    if not (arguments.data / "test").is_dir():
        parser.error(f"{arguments.data}: expected a folder with train/good and test/*")
    results = [compare(arguments, bank) for bank in banks(arguments)]
    print(json.dumps({"banks": results}) if arguments.json else "\n".join(text(result) for result in results))


if __name__ == "__main__":
    main()
