"""The figures of a whole daemon under load: put together, and as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from inspectd.bench.report import table

FULL: Final = "full"
_JOBS: Final = ("main", "scoring", "capture", "publish", "evidence")

Values = Mapping[str, Any]


def put_together(
    runs: Sequence[Values], alone: Sequence[Values], cameras: int, max_batch: int
) -> dict[str, Any]:
    """All figures of one benchmark as JSON values.

    `rate` is the most verdicts a second any load reached, `drops` counts those of the loads below full, and
    `latency_ms` is of the lightest load.

    Args:
        runs: results of each load.
        alone: results of scoring alone, before and after; their mean counts.
        cameras: their number.
        max_batch: most frames scored together.
    """
    rates = {
        batch: _mean([each["images_per_second"][batch] for each in alone])
        for batch in alone[0]["images_per_second"]
    }
    single_ms = {key: _mean([each["single_ms"][key] for each in alone]) for key in alone[0]["single_ms"]}
    lightest = min(runs, key=lambda run: float(run["offered"]))
    return {
        "kind": "service",
        "machine": alone[0]["machine"],
        "subject": alone[0]["subject"],
        "cameras": cameras,
        "max_batch": max_batch,
        "rate": max(run["rate"] for run in runs),
        "drops": sum(run["drops"] for run in runs if run["load"] != FULL),
        "latency_ms": lightest["latency_ms"],
        "scoring_alone": {"images_per_second": rates, "single_ms": single_ms},
        "runs": [{**run, "of_alone": round(run["rate"] / rates[str(max_batch)], 4)} for run in runs],
    }


def service_text(result: Values) -> str:
    """The figures of `put_together` for people."""
    return "\n".join([*_heading(result), "", *_loads(result), "", *_ways(result), "", *_statements(result)])


def _heading(result: Values) -> Iterator[str]:
    alone, machine, subject = result["scoring_alone"], result["machine"], result["subject"]
    batch = str(result["max_batch"])
    yield (
        f"{result['cameras']} cameras, {subject['detector']} {subject['rows']} x {subject['dims']}, "
        f"{subject['backbone']}, batches of {batch} at most"
    )
    yield (
        f"{machine['card'] or machine['processor']}, {machine['cores']} cores; torch {machine['torch']}, "
        f"{machine['date']}"
    )
    yield (
        f"scoring alone: {alone['images_per_second'][batch]:.1f} images/s in batches of {batch}; "
        f"one image {alone['single_ms']['p50']:.2f} ms, p99 {alone['single_ms']['p99']:.2f} ms"
    )
    yield "The cameras replay decoded frames from memory, evenly in turn."


def _loads(result: Values) -> list[str]:
    """Results of each load, and the share of a core each kind of process used."""
    header = ["load", "offered/s", "verdicts/s", "of alone", "drops", "p50 ms", "p99 ms", *_JOBS]
    rows = [
        [
            str(run["load"]),
            f"{run['offered']:.1f}",
            f"{run['rate']:.1f}",
            f"{run['of_alone']:.1%}",
            str(run["drops"]),
            *_latency(run),
            *(f"{run['cpu_share'].get(job, 0.0):.1%}" for job in _JOBS),
        ]
        for run in result["runs"]
    ]
    return table(header, rows)


def _latency(run: Values) -> list[str]:
    latency = run["latency_ms"]
    return [f"{latency['p50']:.2f}", f"{latency['p99']:.2f}"] if latency else ["-", "-"]


def _ways(result: Values) -> list[str]:
    """Mean times of the stages between capture and verdict, a row for each load."""
    stages = list(dict.fromkeys(stage for run in result["runs"] for stage in run["stages_ms"]))
    rows = [
        [str(run["load"]), *(f"{run['stages_ms'].get(stage, 0.0):.2f}" for stage in stages)]
        for run in result["runs"]
    ]
    return table(["mean ms", *stages], rows)


def _statements(result: Values) -> Iterator[str]:
    for run in result["runs"]:
        if not run["latency_ms"]:
            continue
        ratio = run["latency_ms"]["p99"] / result["scoring_alone"]["single_ms"]["p50"]
        yield (
            f"load {run['load']}: p99 is {ratio:.2f} times one image alone; "
            f"{1000 * run['main_cpu_share'] / run['rate']:.2f} ms of the main process a verdict; "
            f"first verdict {run['first_verdict_seconds']} s after the start; "
            f"scoring's peak memory {run['peak_rss_mb'].get('scoring', 0):.0f} MB"
        )


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3)
