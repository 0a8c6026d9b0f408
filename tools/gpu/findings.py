"""The findings of all calls as one table."""

from __future__ import annotations

import json
from pathlib import Path

from calls import OUT, words

GOALS = {  # what, batch -> (images a second at least, p50 ms at most)
    ("wrn50 fine", 32): (8800.0, None),
    ("wrn50 fine", 1): (None, 1.0),
    ("lite0 fine", 1): (None, 1.0),
    ("lite0 default", 1): (None, 1.0),
}


def table(folders: list[str] | None = None) -> None:
    lines = [
        json.loads(line)
        for folder in folders or [str(OUT)]
        for file in sorted(Path(folder).rglob("part*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    machine = next((line for line in lines if line["kind"] == "machine"), {})
    products = [
        line["tflops"]
        for line in lines
        if line["kind"] == "ceiling" and line["what"] in ("product fp16", "product bf16")
    ] or [line["product_tflops"] for line in lines if line["kind"] == "bench" and line.get("product_tflops")]
    product = max(products, default=None)
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
        "warned",
        "failed",
        "left out",
    ):
        for line in (line for line in lines if line["kind"] == kind):
            print(f"{kind}: {words(line, ' ')}")
