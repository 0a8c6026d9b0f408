"""What runs on the GPU machine: every finding is one line of JSON in $OUT, and text for people on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

OUT = Path(os.environ.get("OUT") or "/tmp/gpuday-out")
DRY = os.environ.get("GPU_DAY_DRY") == "1"
CUDA = torch.cuda.is_available() and not DRY
DEV = "cuda:0" if CUDA else "cpu"
END = float(os.environ.get("GPU_DAY_END") or time.time() + 560)
PART = os.environ.get("GPU_DAY_PART", "x")
GOALS = {  # what, batch -> (images a second at least, p50 ms at most)
    ("wrn50 fine", 32): (8800.0, None),
    ("wrn50 fine", 1): (None, 1.0),
    ("lite0 fine", 1): (None, 1.0),
    ("lite0 default", 1): (None, 1.0),
}
WRN = {
    "backbone": "wide_resnet50_2",
    "layers": ("layer2", "layer3"),
    "weights": "random",
    "height": 224,
    "width": 224,
    "rows": 16384,
    "dims": 1024,
}
LITE = {
    "backbone": "efficientnet_lite0",
    "layers": ("blocks.2", "blocks.4"),
    "weights": "random",
    "grid": "fine",
    "height": 256,
    "width": 256,
    "rows": 3072,
    "dims": 152,
}
if DRY:
    WRN |= {"backbone": "resnet18", "height": 64, "width": 64, "rows": 300, "dims": 64}
    LITE |= {"height": 64, "width": 64, "rows": 200}


def left() -> float:
    """Seconds this call may still take."""
    return END - time.time()


def put(kind: str, **facts: object) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    facts = {"part": PART, "kind": kind, **facts}
    with (OUT / f"part{PART}.jsonl").open("a") as file:
        file.write(json.dumps(facts, default=str) + "\n")
    print(
        f"  {kind}: "
        + ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}"
            for k, v in facts.items()
            if k not in ("part", "kind")
        ),
        flush=True,
    )


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


def median_ms(work: Callable[[], object], rounds: int = 30, warm: int = 5) -> float:
    """Median milliseconds by device events (by the host's clock off a card)."""
    for _ in range(warm if CUDA else 1):
        work()
    if not CUDA:
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    pairs = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)
    ]
    for a, b in pairs:
        a.record()
        work()
        b.record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in pairs)


def graphed(work: Callable[[], object]) -> Callable[[], object]:
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
    from inspectd.bench.subject import Synthetic
    from inspectd.bench.synthetic import synthetic_pipeline
    from inspectd.model.options import PatchCoreOptions

    options = (
        PatchCoreOptions()
        if recipe == "default"
        else PatchCoreOptions(local_scale=False, position_weight=0.0)
    )
    return synthetic_pipeline(Synthetic(**{**spec, "grid": grid, "options": options}), DEV)


def noise(count: int, height: int = 480, width: int = 640):
    from inspectd.bench.subject import noise_frames

    return noise_frames(count, height, width, DEV)


# ---------------------------------------------------------------- ceilings


def ceilings() -> None:
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
        done = subprocess.run(
            [
                "nvidia-smi",
                "--query-gpu=driver_version,clocks.sm,clocks.max.sm,power.limit,temperature.gpu",
                "--format=csv,noheader",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
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


# ---------------------------------------------------------------- first contact


def contact() -> None:
    from inspectd.backends.cuda.pipeline import CudaPipeline

    with step("page-locked rings"):
        rings()
    with step("scores in every batch size, and again"):
        if CUDA:
            pipe = CudaPipeline(pipeline(WRN), 32)
            before = torch.cuda.memory_reserved()
            started = time.perf_counter()
            pipe.warm_up(32)
            put(
                "contact",
                what="graphs",
                before_mb=before / 1e6,
                after_mb=torch.cuda.memory_reserved() / 1e6,
                peak_mb=torch.cuda.max_memory_reserved() / 1e6,
                search=pipe.steps.search,
                seconds=time.perf_counter() - started,
            )
            frames = noise(32)
            scores = {
                n: [pipe.score(frames[i : i + n]) for i in range(0, 32, n)] for n in (1, 2, 4, 8, 16, 32)
            }
            flat = {
                n: np.array([s.image_score for part in parts for s in part]) for n, parts in scores.items()
            }
            worst = {n: float(np.abs(flat[n] / flat[1] - 1).max()) for n in flat}
            again = [np.array([s.image_score for s in pipe.score(frames)]) for _ in range(10)]
            put(
                "contact",
                what="scores by batch size",
                worst_relative=worst,
                replays_alike=all((a == again[0]).all() for a in again),
            )
    with step("memory runs short, and comes back", 40):
        if CUDA:
            short_of_memory(CudaPipeline)


def rings() -> None:
    """Uploads from a ring before and after it is page-locked, and a lock that fails."""
    from inspectd.backends.cuda.pinned import PinnedRings
    from inspectd.ipc.ring import FrameRing

    if not CUDA:
        return
    writer = FrameRing.create(1, 4, 3 << 20)
    reader = FrameRing.attach(os.dup(writer.fd))
    address, _ = reader.address()
    view = np.frombuffer((__import__("ctypes").c_uint8 * (3 << 20)).from_address(address), np.uint8)
    before = median_ms(lambda: torch.as_tensor(view).to(DEV, non_blocking=True), 20)
    pinned = PinnedRings("cuda:0")
    pinned.add(reader)
    after = median_ms(lambda: torch.as_tensor(view).to(DEV, non_blocking=True), 20)
    again = PinnedRings("cuda:0")
    again.add(reader)  # it is locked already: this fails
    try:
        stale = float((torch.ones(8, device=DEV) + 1).sum()) != 16.0
    except RuntimeError as error:
        stale = str(error).splitlines()[0]
    put(
        "contact",
        what="ring page-locked",
        upload_ms_before=before,
        upload_ms_after=after,
        next_kernel_fails=stale,
    )
    pinned.remove(reader)


def short_of_memory(pipeline_class: Any) -> None:
    """What little memory makes of batches, and that they grow again."""
    found: dict[str, str] = {}
    _, total = torch.cuda.mem_get_info()
    frames = noise(32)
    try:
        for megabytes in (16, 64, 256, 1024):
            torch.cuda.empty_cache()
            now = [0.0]
            pipe = pipeline_class(pipeline(WRN), 32, clock=lambda now=now: now[0])
            want = [one.image_score for one in pipe.score(frames[:1])]
            torch.cuda.set_per_process_memory_fraction(
                (torch.cuda.memory_reserved() + megabytes * 1e6) / total
            )
            try:
                got = [one.image_score for one in pipe.begin(frames)()]
                said = f"batches of {pipe.most}, first off by {abs(got[0] / want[0] - 1):.1e}"
            except Exception as error:  # noqa: BLE001
                said = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
            for _ in range(8):
                now[0] += 1e4
                pipe.begin(frames)()
            found[f"{megabytes} MB"] = f"{said}; later batches of {pipe.most}"
            del pipe
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    put("contact", what="memory runs short", **found)


# ---------------------------------------------------------------- real parts


def accuracy() -> None:
    """Scores of real cells by every path against float32 on the CPU, in standard deviations of good parts."""
    from inspectd.backends.cuda.pipeline import CudaPipeline
    from inspectd.backends.reference import reference_pipeline
    from inspectd.bank.file import read_bank
    from inspectd.bank.images import read_image

    root = Path(os.environ.get("GPU_DAY_CELLS") or ".gpuday/one")
    if not (root / "cells.bank").is_file():
        put("left out", what="accuracy", reason=f"no {root}/cells.bank: prepare makes it")
        return
    good, defective = cells_of(root)
    images = [read_image(path) for path in good[_TRAIN:] + defective]
    kinds = [True] * len(good[_TRAIN:]) + [False] * len(defective)
    on_cpu = reference_pipeline(root / "cells.bank", read_bank(root / "cells.bank"), torch.device("cpu"))
    want = scores_of(on_cpu, images)
    spread = float(np.std(want[np.array(kinds)]))
    bank = read_bank(root / "cells.bank")
    kinds_of_search = ("auto", "exact-float8", "exact-fused", "exact-float16", "flat")
    for kind in ("torch, float32", *kinds_of_search) if CUDA else ():
        with step(f"accuracy {kind}", 15) as go:
            if not go:
                continue
            scorer = reference_pipeline(root / "cells.bank", bank, torch.device(DEV))
            if kind in kinds_of_search:
                scorer = CudaPipeline(scorer, search=kind)
            got = scores_of(scorer, images)
            off = np.abs(got - want) / spread
            threshold = bank.manifest.threshold
            put(
                "accuracy", way=kind, images=len(want), median=float(np.median(off)),
                p99=float(np.percentile(off, 99)), worst=float(off.max()),
                verdicts_that_differ=int(((got > threshold) != (want > threshold)).sum()),
                search=getattr(getattr(scorer, "steps", None), "search", "exact"),
            )  # fmt: skip


def scores_of(scorer: Any, images: list[Any]) -> np.ndarray:
    return np.array(
        [one.image_score for i in range(0, len(images), 8) for one in scorer.score(images[i : i + 8])]
    )


_TRAIN = 66


def cells_of(root: Path) -> tuple[list[Path], list[Path]]:
    """The good and the defective cells that were carried."""
    data = root / "elpv_dataset" / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
    there = [(data / name, float(share)) for name, share, _ in rows if (data / name).is_file()]
    return sorted(p for p, share in there if share == 0.0), sorted(p for p, share in there if share == 1.0)


def cells(root: str, target: str) -> None:
    """Copy the cells a bank is built from to a folder."""
    good, _ = cells_of(Path(root))
    for path in good[:_TRAIN]:
        shutil.copy(path, target)


# ---------------------------------------------------------------- official benches


def run_to_end(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=max(30, left()),
        stdin=subprocess.DEVNULL,
    )


def benches() -> None:
    wrn = [
        "--backbone",
        "wide_resnet50_2",
        "--layers",
        "layer2,layer3",
        "--size",
        "224",
        "--bank",
        "16384,1024",
        "--weights",
        "random",
    ]
    lite = ["--backbone", "efficientnet_lite0", "--weights", "random"]
    runs = [
        ("wrn50 fine", [*wrn, "--grid", "fine"], "1,2,4,8,16,32", 1.5),
        (
            "lite0 fine",
            [*lite, "--layers", "blocks.2,blocks.4", "--grid", "fine", "--bank", "3072,152"],
            "1,8,32",
            1.5,
        ),
        ("lite0 default", lite, "1,8,32", 1.0),
        ("wrn50 coarse", [*wrn, "--grid", "coarse"], "1,32", 1.0),
        ("wrn50 fine, torch float32", [*wrn, "--grid", "fine", "--backend", "torch"], "1,32", 1.0),
        ("wrn50 fine, faiss", [*wrn, "--grid", "fine", "--search", "flat"], "1,32", 1.0),
        ("wrn50 fine, published recipe", [*wrn, "--grid", "fine", "--recipe", "published"], "1,32", 1.0),
        (
            "lite0 fine, torch float32",
            [
                *lite,
                "--layers",
                "blocks.2,blocks.4",
                "--grid",
                "fine",
                "--bank",
                "3072,152",
                "--backend",
                "torch",
            ],
            "1,32",
            1.0,
        ),
        ("wrn50 fine, 2448x2048 frames", [*wrn, "--grid", "fine", "--frame", "2048x2448"], "1,32", 1.0),
    ]
    if DRY:
        runs = [
            (
                "lite0 default",
                [
                    "--backbone",
                    "resnet18",
                    "--size",
                    "64",
                    "--bank",
                    "200,64",
                    "--frame",
                    "64x64",
                    "--device",
                    "cpu",
                    "--backend",
                    "torch",
                ],
                "1,2",
                0.2,
            )
        ]
    chosen = os.environ.get("GPU_DAY_BENCHES", "").split(";")
    for name, words, batches, seconds in runs:
        if chosen != [""] and name not in chosen:
            continue
        with step(f"bench {name}", 55 if CUDA else 0) as go:
            if not go:
                continue
            command = [
                sys.executable,
                "-m",
                "inspectd",
                "bench",
                *words,
                "--batches",
                batches,
                "--seconds",
                str(seconds),
                "--json",
            ]
            done = run_to_end(command)
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


# ---------------------------------------------------------------- where the time goes


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


def service() -> None:
    with step("the daemon, 4 cameras, batches of 32", 100) as go:
        if not go or not CUDA:
            return
        command = [
            sys.executable,
            "-m",
            "inspectd",
            "bench",
            "--backbone",
            "wide_resnet50_2",
            "--layers",
            "layer2,layer3",
            "--grid",
            "fine",
            "--size",
            "224",
            "--bank",
            "16384,1024",
            "--weights",
            "random",
            "--service",
            "--max-batch",
            "32",
            "--load",
            "full,0.5",
            "--seconds",
            "5",
            "--json",
        ]
        done = run_to_end(command)
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


def taken() -> None:
    """Another process takes the card's memory, and goes: batches shrink, and grow again."""
    from inspectd.backends.cuda.pipeline import CudaPipeline

    if not CUDA:
        return
    with step("memory taken by another process", 30):
        now = [0.0]
        pipe = CudaPipeline(pipeline(WRN), 32, clock=lambda: now[0])
        frames = noise(32)
        pipe.score(frames[:1])
        torch.cuda.empty_cache()
        take = (
            "import torch; free = torch.cuda.mem_get_info()[0]; "
            "held = torch.empty(free - (100 << 20), dtype=torch.uint8, device='cuda'); "
            "print('taken', flush=True); input()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", take], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        said = other.stdout.readline().strip()
        free = torch.cuda.mem_get_info()[0]
        scored = len(pipe.begin(frames)())
        small = pipe.most
        other.communicate("\n")
        for _ in range(8):
            now[0] += 1e4
            pipe.begin(frames)()
        put(
            "contact", what="memory taken by another process", other=said, free_mb=free / 1e6, scored=scored,
            batches=small, batches_afterwards=pipe.most,
        )  # fmt: skip


def killed() -> None:
    """The daemon's scoring process is killed under load: how long until it scores again, and what is lost."""
    from PIL import Image

    from inspectd.bench.subject import Synthetic, write_synthetic

    if not (CUDA or DRY):
        return
    with step("scoring killed under load", 100) as go:
        if not go:
            return
        folder = OUT / "killed"
        (folder / "good").mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(noise(8)):
            Image.fromarray(np.asarray(frame)).save(folder / "good" / f"{number}.bmp")
        write_synthetic(folder / "r.bank", Synthetic(**LITE))
        command = [
            sys.executable, "tools/measure_pool.py", str(folder / "good"), "--bank", str(folder / "r.bank"),
            "--parts", "deaths", "--devices", DEV, "--rate", "300" if CUDA else "10",
            "--kills", "5" if CUDA else "2", "--every", "12" if CUDA else "6",
        ]  # fmt: skip
        done = run_to_end(command)
        shutil.rmtree(folder)
        kind = "failed" if done.returncode else "contact"
        put(kind, what="scoring killed under load", said=(done.stdout or done.stderr).strip()[-1500:])


def sustained() -> None:
    """Batches of 32, two in flight, as long as there is time: rate and memory from minute to minute."""
    from inspectd.backends.cuda.pipeline import CudaPipeline

    if not CUDA:
        return
    with step("sustained load", 40):
        pipe = CudaPipeline(pipeline(WRN), 32)
        pipe.warm_up(32)
        while left() > 25:
            rate = overlapped(pipe, 32, min(20.0, left() - 20))
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
            put(
                "sustained", images_s=rate, device_mb=torch.cuda.memory_allocated() / 1e6,
                reserved_mb=torch.cuda.memory_reserved() / 1e6, resident_mb=resident / 1e6,
            )  # fmt: skip


def tests() -> None:
    """Every file with tests that need a card, each in a process of its own: a poisoned context ends there."""
    from concurrent.futures import ThreadPoolExecutor

    files = subprocess.run(
        ["grep", "-rlE", "pytest.mark.gpu|marks=pytest.mark.gpu", "tests", "--include=test_*.py"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if DRY:
        put("tests", files=files)
        return

    def one(name: str) -> None:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            "-q",
            "-W",
            "default",
            "-p",
            "no:cacheprovider",
            "-rf",
            "--timeout",
            "150",
            name,
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=max(30, min(240, left())),
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            put("tests", file=name, result="no answer in time")
            return
        with (OUT / "pytest.txt").open("a") as file:
            file.write(done.stdout + done.stderr)
        lines = done.stdout.strip().splitlines()
        put(
            "tests",
            file=name,
            result=lines[-1] if lines else done.stderr[-300:],
            failed=[line[:200] for line in lines if line.startswith(("FAILED", "ERROR "))],
        )

    with step("tests"), ThreadPoolExecutor(4) as pool:
        list(pool.map(one, sorted(files, key=lambda name: "test_scorer" not in name)))


def tiny() -> None:
    """For compute-sanitizer: a few batches through every kernel at an awkward size."""
    from inspectd.backends.cuda.half import HalvedPipeline

    steps = HalvedPipeline(
        pipeline({**WRN, "backbone": "resnet18", "height": 72, "width": 56, "rows": 301, "dims": 90})
    )
    steps.step_by_step(noise(3, 77, 91), lambda: None)
    sync()
    print("no fault seen; search", steps.search)


# ---------------------------------------------------------------- one table


def table(folders: list[str] | None = None) -> None:
    lines = [
        json.loads(line)
        for folder in folders or [str(OUT)]
        for file in sorted(Path(folder).rglob("part*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    machine = next((line for line in lines if line["kind"] == "machine"), {})
    product = max(
        (
            line["tflops"]
            for line in lines
            if line["kind"] == "ceiling" and line["what"] in ("product fp16", "product bf16")
        ),
        default=None,
    )
    print(
        f"\n{machine.get('card')}, torch {machine.get('torch')}, triton {machine.get('triton')}; product "
        f"measured {product and round(product)} TFLOP/s, nominal {round(machine.get('nominal_tflops') or 0)}"
    )
    titles = ("batch", "p50 ms", "p99 ms", "images/s", "TFLOP/s", "of product", "of nominal")
    head = f"{'what':34} " + " ".join(f"{title:>10}" for title in titles) + "  goal"
    print(head + "\n" + "-" * len(head))
    for line in (line for line in lines if line["kind"] == "bench"):
        used = line["images_s"] * (line.get("gflop") or 0) / 1e3
        rate, latency = GOALS.get((line["what"], line["batch"]), (None, None))
        goal = "" if rate is None else f"{'met' if line['images_s'] >= rate else 'MISSED'} (>= {rate:g}/s)"
        goal += (
            "" if latency is None else f"{'met' if line['p50'] <= latency else 'MISSED'} (<= {latency:g} ms)"
        )
        share = f"{used / product:.1%}" if product and used else "-"
        nominal = machine.get("nominal_tflops") or 0
        limit = f"{used / nominal:.1%}" if nominal and used else "-"
        print(
            f"{line['what']:34} {line['batch']:10} {line['p50']:10.3f} {line['p99']:10.3f} "
            f"{line['images_s']:10.1f} {used:10.1f} {share:>10} {limit:>10}  {goal}"
        )
    gflop = {line["what"]: line.get("gflop") for line in lines if line["kind"] == "bench"}
    for line in (line for line in lines if line["kind"] == "floor"):
        used = (gflop.get(line["what"]) or 0) * line["batch"] / line["replay_ms"]
        share = f"{used / product:.1%}" if product and used else "-"
        graph, two = "  graph alone, " + line["what"], "  two under way, " + line["what"]
        print(
            f"{graph:34} {line['batch']:10} {line['replay_ms']:10.3f} {'':10} "
            f"{1e3 * line['batch'] / line['replay_ms']:10.1f} {used:10.1f} {share:>10}"
        )
        print(
            f"{two:34} {line['batch']:10} {line['call_ms']:10.3f} {'':10} {line['overlapped_images_s']:10.1f}"
            f"   (frames: host {line['fit_host_ms']:.2f}, device {line['fit_device_ms']:.2f}; "
            f"begin {line['begin_host_ms']:.2f}, collect {line['collect_host_ms']:.2f} ms)"
        )
    for kind in (
        "contact",
        "accuracy",
        "stages",
        "sparse",
        "sustained",
        "kernels",
        "daemon",
        "tests",
        "failed",
        "left out",
    ):
        for line in (line for line in lines if line["kind"] == kind):
            print(
                f"{kind}: "
                + ", ".join(
                    f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}"
                    for k, v in line.items()
                    if k not in ("part", "kind")
                )
            )


STEPS = {
    "ceilings": ceilings,
    "contact": contact,
    "accuracy": accuracy,
    "tests": tests,
    "benches": benches,
    "profile": profile,
    "stages": stages,
    "service": service,
    "taken": taken,
    "killed": killed,
    "sustained": sustained,
    "tiny": tiny,
    "table": table,
}


def main() -> None:
    first, *rest = sys.argv[1:]
    if first == "cells":
        cells(*rest)
    elif first == "table":
        table(rest)
    else:
        for word in (first, *rest):
            STEPS[word]()


if __name__ == "__main__":
    main()
