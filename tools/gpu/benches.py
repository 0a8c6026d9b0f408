"""The official benches, each as a run of `inspectd bench`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from gpu_run import CUDA, DRY, OUT, put, run_to_end, step

_WRN = "--backbone wide_resnet50_2 --layers layer2,layer3 --size 224 --bank 16384,1024 --weights random"
_LITE = "--backbone efficientnet_lite0 --weights random"
_LITE_FINE = f"{_LITE} --layers blocks.2,blocks.4 --grid fine --bank 3072,152"
_RUNS = [  # what, words of `inspectd bench`, batches, seconds
    ("wrn50 fine", f"{_WRN} --grid fine", "1,2,4,8,16,32", 1.5),
    ("lite0 fine", _LITE_FINE, "1,8,32", 1.5),
    ("lite0 default", _LITE, "1,8,32", 1.0),
    ("wrn50 coarse", f"{_WRN} --grid coarse", "1,32", 1.0),
    ("wrn50 fine, torch float32", f"{_WRN} --grid fine --backend torch", "1,32", 1.0),
    ("wrn50 fine, faiss", f"{_WRN} --grid fine --search flat", "1,32", 1.0),
    ("wrn50 fine, published recipe", f"{_WRN} --grid fine --recipe published", "1,32", 1.0),
    ("lite0 fine, torch float32", f"{_LITE_FINE} --backend torch", "1,32", 1.0),
    ("wrn50 fine, 2448x2048 frames", f"{_WRN} --grid fine --frame 2048x2448", "1,32", 1.0),
]
_DRY_RUNS = [
    (
        "lite0 default",
        "--backbone resnet18 --size 64 --bank 200,64 --frame 64x64 --device cpu",
        "1,2",
        0.2,
    ),
]
_SERVICE = f"{_WRN} --grid fine --service --max-batch 32 --load full,0.5 --seconds 5 --json"


def bench(words: str) -> subprocess.CompletedProcess[str]:
    return run_to_end([sys.executable, "-m", "inspectd", "bench", *words.split()])


def benches() -> None:
    chosen = os.environ.get("GPU_DAY_BENCHES", "").split(";")
    for name, words, batches, seconds in _DRY_RUNS if DRY else _RUNS:
        if chosen != [""] and name not in chosen:
            continue
        with step(f"bench {name}", 55 if CUDA else 0) as go:
            if not go:
                continue
            done = bench(f"{words} --batches {batches} --seconds {seconds} --json")
            if done.returncode:
                put("failed", what=f"bench {name}", error=done.stderr.strip()[-800:])
                continue
            result = json.loads(done.stdout.splitlines()[-1])
            with (OUT / "benches.jsonl").open("a") as file:
                file.write(json.dumps({"what": name, **result}) + "\n")
            arithmetic = result.get("arithmetic", {})
            for batch, latency in result["latency_ms_by_batch"].items():
                put(
                    "bench",
                    what=name,
                    batch=int(batch),
                    p50=latency["p50"],
                    p99=latency["p99"],
                    images_s=result["images_per_second"][batch],
                    stages=result["stages_ms_by_batch"][batch],
                    gflop=arithmetic.get("gflop_per_image"),
                    product_tflops=arithmetic.get("product_tflops"),
                    limit_tflops=arithmetic.get("limit_tflops"),
                    share=arithmetic.get("share", {}).get(batch),
                    search=result["subject"]["search"],
                )
            put(
                "inside",
                what=name,
                stages_ms=result["stages_ms"],
                search_ms=result.get("search_ms"),
                device_mb=result.get("peak_device_mb"),
            )


def service() -> None:
    with step("the daemon, 4 cameras, batches of 32", 100) as go:
        if not go or not CUDA:
            return
        done = bench(_SERVICE)
        if done.returncode:
            put("failed", what="the daemon", error=done.stderr.strip()[-800:])
            return
        result = json.loads(done.stdout.splitlines()[-1])
        for run in result["runs"]:
            put(
                "daemon",
                load=run["load"],
                verdicts_s=run["rate"],
                of_alone=run["of_alone"],
                drops=run["drops"],
                latency=run["latency_ms"],
                cpu=run["cpu_share"],
            )
