"""A benchmark's figures as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def scoring_text(result: Mapping[str, Any]) -> str:
    """The report of `inspectd bench`, of its JSON values."""
    return "\n".join(
        [*_heading(result), "", *_stage_table(result), *_inside(result), *_memory(result), *_missing(result)]
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column is flush left, the others right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def _heading(result: Mapping[str, Any]) -> Iterator[str]:
    machine, subject, frames = result["machine"], result["subject"], result["frames"]
    height, width = subject["input"]
    yield (
        f"{subject['detector']}, {subject['rows']} x {subject['dims']} ({subject['bank']}), "
        f"{subject['backbone']} {'+'.join(subject['layers'])} ({subject['weights']} weights), "
        f"input {height}x{width}"
    )
    yield f"by {subject['backend']} in {subject['precision']}, search {subject['search'] or '-'}"
    yield f"frames: {frames['count']} of {frames['source']}, the first {frames['height']}x{frames['width']}"
    where = machine["card"] or f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores"
    yield f"{where}; torch {machine['torch']}, python {machine['python']}, {machine['date']}"


def _stage_table(result: Mapping[str, Any]) -> list[str]:
    stages = list(dict.fromkeys(name for of in result["stages_ms_by_batch"].values() for name in of))
    rows = [
        [
            batch,
            *(f"{result['stages_ms_by_batch'][batch].get(stage, 0.0):.2f}" for stage in stages),
            f"{latency['p50']:.2f}",
            f"{latency['p99']:.2f}",
            f"{result['images_per_second'][batch]:.1f}",
            *_share(result, batch),
        ]
        for batch, latency in result["latency_ms_by_batch"].items()
    ]
    share = ["of limit"] if "arithmetic" in result else []
    header = ["batch", *(f"{stage} ms" for stage in stages), "p50 ms", "p99 ms", "images/s", *share]
    return table(header, rows)


def _share(result: Mapping[str, Any], batch: str) -> list[str]:
    return [f"{result['arithmetic']['share'][batch]:.1%}"] if "arithmetic" in result else []


def _inside(result: Mapping[str, Any]) -> Iterator[str]:
    """Times of the smallest batch by CUDA events; nothing on other devices."""
    if "search_ms" not in result:
        return
    batch = next(iter(result["latency_ms_by_batch"]))
    yield ""
    yield f"on the device, a batch of {batch}, one step after the other:"
    yield "  " + ", ".join(f"{stage} {spent:.3f} ms" for stage, spent in result["stages_ms"].items())
    for kind, spent in result["search_ms"].items():
        yield f"  search {kind}: " + (spent if isinstance(spent, str) else f"{spent:.3f} ms")


def _memory(result: Mapping[str, Any]) -> Iterator[str]:
    device = f", {result['peak_device_mb']:.0f} MB on the device" if "peak_device_mb" in result else ""
    yield ""
    yield f"peak memory: {result['peak_rss_mb']:.0f} MB{device}"
    if "arithmetic" in result:
        limit = result["arithmetic"]
        yield (
            f"arithmetic: {limit['gflop_per_image']:.2f} GFLOP an image; limit {limit['limit_tflops']:.0f} "
            f"TFLOP/s ({limit['limit_basis']})"
        )


def _missing(result: Mapping[str, Any]) -> Iterator[str]:
    for package, consequence in result["missing"].items():
        yield f"not installed: {package}: {consequence}"
