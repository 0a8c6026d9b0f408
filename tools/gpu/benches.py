"""What starts processes alone: the official benches, each a run of `inspectd bench`, and the whole daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from calls import DRY, LITE, OUT, WORK, WRN, put, run_to_end, step

_WRN = "--backbone wide_resnet50_2 --layers layer2,layer3 --size 224 --bank 16384,1024 --weights random"
_LITE = "--backbone efficientnet_lite0 --weights random"
_LITE_FINE = f"{_LITE} --layers blocks.2,blocks.4 --grid fine --bank 3072,152"
_BANK = "BANK"
"""Stands for a synthetic bank of wide_resnet50_2, fine grid, made once: all of these search the same."""
_FIRST = [  # what, words of `inspectd bench`, batches, seconds; what is worth most comes first
    ("wrn50 fine", _BANK, "1,8,32", 1.5),
    ("wrn50 fine, torch float32", f"{_BANK} --backend torch", "1,32", 1.0),
    ("wrn50 fine, faiss", f"{_BANK} --search flat", "1,32", 1.0),
    ("lite0 fine", _LITE_FINE, "1,8,32", 1.5),
    ("wrn50 fine, 2448x2048 frames", f"{_BANK} --frame 2048x2448", "1,32", 1.0),
]
_MORE = [
    ("lite0 default", _LITE, "1,8,32", 1.0),
    ("wrn50 fine, published recipe", f"{_WRN} --grid fine --recipe published", "1,32", 1.0),
    ("wrn50 coarse", f"{_WRN} --grid coarse", "1,32", 1.0),
    ("lite0 fine, torch float32", f"{_LITE_FINE} --backend torch", "1,32", 1.0),
]
_DRY_RUN = ("wrn50 fine", f"{_BANK} --frame 64x64", "1,2", 0.2)
_SERVICE = f"{_WRN} --grid fine --service --max-batch 32 --load full,0.5 --seconds 5 --json"
_DEVICE = "cpu" if DRY else "cuda:0"
"""By name: `auto` would measure the CPU where the card cannot be used."""
_BENCH_SECONDS = 120.0
"""So long did none take; the first of all compiles every kernel."""


def bench(words: str, seconds: float = _BENCH_SECONDS) -> subprocess.CompletedProcess[str]:
    return run_to_end(
        [sys.executable, "-m", "inspectd", "bench", "--device", _DEVICE, *words.split()], seconds
    )


def benches() -> None:
    bank = WORK / "wrn50-fine.bank"
    with step("a bank for the benches"):
        make_bank(bank, {**WRN, "grid": "fine"})
    runs([_DRY_RUN] if DRY else _FIRST, bank)


def make_bank(path: Path, spec: dict[str, object]) -> None:
    """Write a synthetic bank: what `inspectd bench` does each time that it is given none."""
    words = [str(path), json.dumps(spec), "cpu", "torch"]
    done = run_to_end([sys.executable, "-m", "inspectd.bench.synthetic", *words], _BENCH_SECONDS)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])


def more_benches() -> None:
    runs(_MORE)


def runs(chosen: list[tuple[str, str, str, float]], bank: Path | None = None) -> None:
    for name, words, batches, seconds in chosen:
        with step(f"bench {name}", 0 if DRY else 45) as go:
            if not go:
                continue
            began = time.monotonic()
            done = bench(f"{words.replace(_BANK, str(bank))} --batches {batches} --seconds {seconds} --json")
            said(f"bench {name}", done)
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
                took_s=time.monotonic() - began,
            )


def said(what: str, done: subprocess.CompletedProcess[str]) -> None:
    """Put down a command's warnings: where a kernel could not be used, the figures are of something else."""
    for line in done.stderr.splitlines():
        if " warning " in line or " error " in line:
            put("warned", what=what, said=line[:400])


def service() -> None:
    done = bench(_SERVICE, 280)
    said("the daemon", done)
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
            first_verdict_s=run["first_verdict_seconds"],
        )


def killed() -> None:
    """The daemon's scoring process is killed under load: how long until it scores again, and what is lost."""
    from PIL import Image

    from inspectd.bench.subject import noise_frames

    folder = WORK / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "good").mkdir(parents=True)
    for number, frame in enumerate(noise_frames(8, 480, 640, "cpu")):
        Image.fromarray(frame).save(folder / "good" / f"{number}.bmp")
    make_bank(folder / "r.bank", LITE)
    command = [
        sys.executable, "tools/measure_pool.py", str(folder / "good"), "--bank", str(folder / "r.bank"),
        "--parts", "deaths", "--devices", _DEVICE, "--rate", "10" if DRY else "300",
        "--kills", "2" if DRY else "3", "--every", "6" if DRY else "25",
    ]  # fmt: skip
    done = run_to_end(command, 240)
    kind = "failed" if done.returncode else "contact"
    put(kind, what="scoring killed under load", said=(done.stdout or done.stderr).strip()[-1500:])
