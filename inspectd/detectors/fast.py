"""From a torch pipeline on the CPU to the fast path, in this process; `bank.fast` does it for banks."""

from __future__ import annotations

from dataclasses import dataclass

from inspectd.detectors.compiled import CompiledPipeline
from inspectd.detectors.export import export, memory_of
from inspectd.detectors.patchcore import PatchCore
from inspectd.detectors.pipeline import Pipeline
from inspectd.processor import Precision, cpu_threads
from inspectd.search.choose import SearchChoice, kinds_to_try, measure


@dataclass(frozen=True)
class Fast:
    """The fast path of a pipeline, and which search it uses; None: it searches nothing."""

    pipeline: CompiledPipeline
    search: SearchChoice | None


def fast(
    pipeline: Pipeline, threads: int = 0, search: str = "auto", precision: Precision = "float32"
) -> Fast:
    """Convert a pipeline that is on the CPU.

    Args:
        pipeline: the reference.
        threads: CPU threads; 0: one per core.
        search: `auto` or a kind as `search.choose.make_search` takes it.
        precision: of the backbone.

    Raises:
        UnconvertibleError: OpenVINO has no rule for something in it.
    """
    exported, memory, detector = export(pipeline), memory_of(pipeline.detector), pipeline.detector
    proposing, choice = None, None
    if memory is not None and isinstance(detector, PatchCore):
        kinds = kinds_to_try(detector.rows) if search == "auto" else [search]
        proposing, choice = measure(
            kinds, memory.bank, exported.patches(), detector.neighbours, cpu_threads(threads),
            spacing=detector.spacing.numpy() if detector.options.local_scale else None,
            any_recall=search != "auto",
        )  # fmt: skip
    region = pipeline.extractor.region
    compiled = CompiledPipeline(
        exported, memory, proposing, region=region, precision=precision, threads=threads
    )
    return Fast(compiled, choice)
