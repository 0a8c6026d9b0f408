"""How fast the card is at best: products, copies, and graphs of small kernels."""

from __future__ import annotations

import contextlib
import platform
import subprocess
import time

import numpy as np
import torch
from calls import put
from gpu_run import CUDA, DEV, graphed, median_ms, step


def machine() -> None:
    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "numpy": np.__version__,
    }
    with contextlib.suppress(ImportError):
        import triton

        facts["triton"] = triton.__version__
    if CUDA:
        p = torch.cuda.get_device_properties(0)
        facts |= {
            "card": p.name,
            "sms": p.multi_processor_count,
            "memory_gb": p.total_memory / 1e9,
            "l2_mb": p.L2_cache_size / 1e6,
            "clock_mhz": getattr(p, "clock_rate", 0) / 1e3,
        }
        from inspectd.backends.cuda.arithmetic import nominal_rate

        facts["nominal_tflops"] = (nominal_rate(p) or 0) / 1e12
        query = "--query-gpu=driver_version,clocks.sm,clocks.max.sm,power.limit,temperature.gpu"
        with contextlib.suppress(OSError):  # a machine may not have it
            facts["smi"] = subprocess.run(
                ["nvidia-smi", query, "--format=csv,noheader"],
                capture_output=True, text=True, check=False, timeout=20,
            ).stdout.strip()  # fmt: skip
    put("machine", **facts)


def ceilings() -> None:
    machine()
    side = 8192 if CUDA else 256
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        with step(f"product {name}"):
            a, b = (torch.randn(side, side, device=DEV, dtype=dtype) for _ in range(2))
            ms = median_ms(lambda a=a, b=b: a @ b, 20)
            put("ceiling", what=f"product {name}", tflops=2 * side**3 / ms / 1e9)
    with step("product fp8"):
        if CUDA:
            a = torch.randn(side, side, device=DEV).to(torch.float8_e4m3fn)
            b = torch.randn(side, side, device=DEV).to(torch.float8_e4m3fn).t()
            one = torch.ones((), device=DEV)
            ms = median_ms(
                lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.float16), 20
            )
            put("ceiling", what="product fp8", tflops=2 * side**3 / ms / 1e9)
    with step("product fp32 without tf32"):
        a, b = (torch.randn(side // 2, side // 2, device=DEV) for _ in range(2))
        ms = median_ms(lambda: a @ b, 10)
        put("ceiling", what="product fp32", tflops=2 * (side // 2) ** 3 / ms / 1e9)
    with step("product of the search's shape"):
        q, m, d = (25088, 16384, 1024) if CUDA else (64, 128, 64)
        a, b = torch.randn(q, d, device=DEV).half(), torch.randn(m, d, device=DEV).half()
        out = torch.empty(min(q, 8192), m, device=DEV, dtype=torch.float16)
        ms = median_ms(lambda: [torch.mm(part, b.T, out=out[: len(part)]) for part in a.split(8192)], 10)
        put("ceiling", what="product of the search's shape, fp16 out", tflops=2 * q * m * d / ms / 1e9, ms=ms)
    with step("copies"):
        x = torch.empty((1 << 30) if CUDA else 1 << 20, dtype=torch.uint8, device=DEV).random_()
        y = torch.empty_like(x)
        put("ceiling", what="device copy", tb_s=2 * x.numel() / median_ms(lambda: y.copy_(x), 20) / 1e9)
        if CUDA:
            host = torch.empty(64 << 20, dtype=torch.uint8).pin_memory()
            dev = torch.empty_like(host, device=DEV)
            put(
                "ceiling",
                what="upload, page-locked",
                gb_s=host.numel() / median_ms(lambda: dev.copy_(host, non_blocking=True)) / 1e6,
            )
            put(
                "ceiling",
                what="copy back, page-locked",
                gb_s=host.numel() / median_ms(lambda: host.copy_(dev, non_blocking=True)) / 1e6,
            )
    with step("a graph of 200 small kernels"):
        if CUDA:
            x = torch.zeros(4096, device=DEV)
            replay = graphed(lambda: [x.add_(1.0) for _ in range(200)])
            ms = median_ms(replay, 50)
            start = time.perf_counter()
            for _ in range(50):
                replay()
            host = (time.perf_counter() - start) / 50
            torch.cuda.synchronize()
            put(
                "ceiling",
                what="graph of 200 small kernels",
                us_a_kernel=1e3 * ms / 200,
                host_us_a_replay=1e6 * host,
            )
