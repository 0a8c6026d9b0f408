"""What the CUDA path does on the card: rings, batches, and memory that runs short."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from calls import WRN, put
from gpu_run import CUDA, DEV, median_ms, noise, pipeline, step, sync


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
    view = np.frombuffer((ctypes.c_uint8 * (3 << 20)).from_address(address), np.uint8)
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


def taken() -> None:
    """Another process takes the card's memory, and goes: batches shrink, and grow again."""
    from inspectd.backends.cuda.pipeline import CudaPipeline

    if not CUDA:
        return
    with step("memory taken by another process", 30):
        now = [0.0]
        pipe = CudaPipeline(pipeline(WRN), 32, clock=lambda: now[0])
        frames = noise(32)
        (want,) = pipe.score(frames[:1])
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
        if other.stdout.readline().strip() != "taken":
            raise RuntimeError("the other process took nothing: the log says why")
        free = torch.cuda.mem_get_info()[0]
        answers = pipe.begin(frames)()
        small = pipe.most
        other.communicate("\n")
        for _ in range(8):
            now[0] += 1e4
            pipe.begin(frames)()
        put(
            "contact", what="memory taken by another process", free_mb=free / 1e6,
            scored=len(answers), first_off=abs(answers[0].image_score / want.image_score - 1),
            batches=small, batches_afterwards=pipe.most,
        )  # fmt: skip


def tiny() -> None:
    """For compute-sanitizer: a few batches through every kernel at an awkward size."""
    from inspectd.backends.cuda.half import HalvedPipeline

    steps = HalvedPipeline(
        pipeline({**WRN, "backbone": "resnet18", "height": 72, "width": 56, "rows": 301, "dims": 90})
    )
    steps.step_by_step(noise(3, 77, 91), lambda: None)
    sync()
    print("no fault seen; search", steps.search)
