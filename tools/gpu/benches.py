"""The official benches, each as a run of `inspectd bench`."""

from __future__ import annotations

import json
import os
import sys

from gpu_run import CUDA, DRY, OUT, put, run_to_end, step


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
