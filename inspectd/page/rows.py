"""A verdict as the browser gets it. Pure."""

from __future__ import annotations

from inspectd.client import PartVerdict, Reason, Verdict
from inspectd.page.told import ToldRow


def row_of(item: Verdict | PartVerdict, recipe: str | None = None) -> ToldRow:
    """A verdict as one row.

    Args:
        item: the verdict.
        recipe: of a part that of its views; None: not known.
    """
    view = item if isinstance(item, Verdict) else None
    captured_ns = view.captured_utc_ns if view else None
    return {
        "epoch": item.epoch,
        "seq": item.seq,
        "kind": "frame" if view else "part",
        "camera": view.camera if view else None,
        "region": view.region if view else None,
        "verdict": item.evaluation,
        "reason": item.reason,
        "detail": None,
        "part_id": item.part_id,
        "trigger_id": item.trigger_id,
        "recipe": view.recipe if view else recipe,
        "recipe_version": view.recipe_version if view else None,
        "bank": view.bank_sha256[:16] if view and view.bank_sha256 else None,
        "score": view.score if view else None,
        "threshold": view.threshold if view else None,
        "captured_ms": None if captured_ns is None else captured_ns // 1_000_000,
        "decided_ms": item.decided_utc_ns // 1_000_000,
        "latency_ms": item.latency_ms,
        "late": item.late,
        "golden": item.reason is Reason.GOLDEN,
        "simulated": view is not None and (view.source is not None or view.label is not None),
        "second_look": item.second_look,
        "evidence": "unknown",
    }
