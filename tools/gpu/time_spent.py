"""Where the time of a batch goes, and how long the rate holds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from calls import LITE, OUT, WRN, left, put
from gpu_run import CUDA, median_ms, noise, pipeline, step, sync

_INTERVAL_SECONDS, _INTERVALS = 20.0, 16
"""Of sustained load; the rest of a call is for where the time goes."""


def profile() -> None:
    from inspectd.backends.cuda.pipeline import CudaPipeline

    for name, spec in (("wrn50 fine", WRN), ("lite0 fine", LITE)):
        with step(f"profile {name}", 30) as go:
            if not go:
                continue
            if not CUDA:
                steps = __import__("inspectd.backends.cuda.half", fromlist=["x"]).HalvedPipeline(
                    pipeline(spec)
                )
                steps.step_by_step(noise(1, 64, 64), lambda: None)
                continue
            pipe = CudaPipeline(pipeline(spec), 32)
            pipe.warm_up(32)
            for batch in (1, 32):
                frames = noise(batch)
                pipe.score(frames)
                with torch.inference_mode():
                    recorded = pipe._graph(batch)
                    replay = median_ms(recorded.graph.replay, 50)
                    fit_device = median_ms(lambda f=frames: pipe.steps.images(f), 10)
                    sync()
                    spent = []
                    for _ in range(20):
                        start = time.perf_counter()
                        pipe.steps.images(frames)
                        spent.append(time.perf_counter() - start)
                        sync()
                whole, hosts, collects = [], [], []
                for _ in range(50):
                    start = time.perf_counter()
                    collect = pipe.begin(frames)
                    hosts.append(time.perf_counter() - start)
                    collect()
                    whole.append(time.perf_counter() - start)
                    start = time.perf_counter()
                    collect()
                    collects.append(time.perf_counter() - start)
                rate = overlapped(pipe, batch)
                put(
                    "floor",
                    what=name,
                    batch=batch,
                    replay_ms=replay,
                    fit_device_ms=fit_device,
                    fit_host_ms=1e3 * statistics.median(spent),
                    begin_host_ms=1e3 * statistics.median(hosts),
                    collect_host_ms=1e3 * statistics.median(collects),
                    call_ms=1e3 * statistics.median(whole),
                    overlapped_images_s=rate,
                )
                kernels(name, batch, recorded.graph.replay)
            frames = noise(1)
            sparse = []
            for _ in range(25):
                time.sleep(0.1)
                start = time.perf_counter()
                pipe.score(frames)
                sparse.append(1e3 * (time.perf_counter() - start))
            put("sparse", what=name, pause_ms=100, p50=statistics.median(sparse), worst=max(sparse))


def overlapped(pipe: Any, batch: int, seconds: float = 1.5) -> float:
    """Images a second with two batches under way, as the scoring process has them."""
    frames = noise(max(32, batch))[:batch]
    waiting, done, end = [], 0, time.perf_counter() + seconds
    start = time.perf_counter()
    while time.perf_counter() < end:
        waiting.append(pipe.begin(frames))
        if len(waiting) == 2:
            done += len(waiting.pop(0)())
    for collect in waiting:
        done += len(collect())
    return done / (time.perf_counter() - start)


def kernels(name: str, batch: int, replay: Callable[[], object]) -> None:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with profiled(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(5):
            replay()
        sync()
    rows = sorted(
        ((e.key, e.count / 5, getattr(e, "self_device_time_total", 0) / 5) for e in found.key_averages()),
        key=lambda r: -r[2],
    )
    rows = [r for r in rows if r[2] > 0]
    text = "\n".join(f"{us:10.1f} us {count:6.1f}  {key[:150]}" for key, count, us in rows)
    (OUT / f"kernels-{name.replace(' ', '-')}-{batch}.txt").write_text(text)
    print("\n".join(text.splitlines()[:12]), flush=True)
    groups = {
        "convolution": ("conv", "xmma", "cudnn", "sm90_", "sm80_", "implicit", "gemm", "cutlass"),
        "search": ("tile_minima", "measure_again", "prepare"),
        "selection": ("topk", "gatherTopK", "sort", "radix"),
        "pass": ("elementwise", "vectorized", "Cat", "reduce", "index", "gather"),
    }
    sums = dict.fromkeys([*groups, "other"], 0.0)
    for key, _, us in rows:
        sums[
            next((g for g, words in groups.items() if any(w.lower() in key.lower() for w in words)), "other")
        ] += us
    put(
        "kernels",
        what=name,
        batch=batch,
        number=sum(r[1] for r in rows),
        busy_us=sum(r[2] for r in rows),
        **{f"{g}_us": v for g, v in sums.items()},
    )


def stages() -> None:
    """Each step and each kind of search of a batch of 32, by the product's own figures."""
    from inspectd.backends.cuda.pipeline import CudaPipeline
    from inspectd.backends.cuda.stages import inside

    for name, spec in (("wrn50 fine", WRN), ("lite0 fine", LITE)):
        with step(f"stages {name}", 20) as go:
            if go and CUDA:
                put("stages", what=name, batch=32, **inside(CudaPipeline(pipeline(spec), 32), noise(32)))


def sustained() -> None:
    """Batches of 32, two in flight, for some minutes: rate and memory, and how much that grows."""
    from inspectd.backends.cuda.pipeline import CudaPipeline

    if not CUDA:
        return
    with step("sustained load", 40):
        pipe = CudaPipeline(pipeline(WRN), 32)
        pipe.warm_up(32)
        overlapped(pipe, 32, 5.0)  # what the first seconds take is no growth
        began, images, first = time.perf_counter(), 0.0, memory_mb()
        for seconds in [_INTERVAL_SECONDS] * _INTERVALS:
            if left() < seconds + 15:
                break
            rate = overlapped(pipe, 32, seconds)
            images += rate * seconds
            put("sustained", images_s=rate, **memory_mb())
        more = {f"{name}_more": value - first[name] for name, value in memory_mb().items()}
        minutes = (time.perf_counter() - began) / 60
        put("contact", what="growth under load", minutes=minutes, images=images, **more)


def memory_mb() -> dict[str, float]:
    """Torch's, all of the card by its driver, as libraries take some of it past torch, and the host's."""
    free, there = torch.cuda.mem_get_info()
    return {
        "device_mb": torch.cuda.memory_allocated() / 1e6,
        "reserved_mb": torch.cuda.memory_reserved() / 1e6,
        "taken_mb": (there - free) / 1e6,
        "resident_mb": int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6,
    }
