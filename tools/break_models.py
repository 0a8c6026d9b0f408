"""Reads broken, hostile and foreign model files as `inspectd bank import` does, and says what came of each.

    python tools/break_models.py [--count 300] [--seed 0] [--model FILE [--weights FILE]]... [--out FILE]

Each is made of a small model, or of those given: bytes changed, cut or put in, shapes that no memory holds,
loops,
networks within operators, operators that nobody knows, weights elsewhere, and files that are no models at
all. Every
one is read within limits of memory and time. It fails where one does anything but be refused with a reason
or be admitted, or where a limit does not hold.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from onnx import TensorProto, helper, numpy_helper
from rich.progress import track

from inspectd.backends.openvino.admit import admitted
from inspectd.backends.openvino.foreign import ModelRequest
from inspectd.errors import InputError, InspectdError

MEMORY_BYTES = 600_000_000
SECONDS = 20.0
SIDE = 32

Generator = np.random.Generator


def small_model() -> Any:
    kernel = numpy_helper.from_array(np.full((1, 3, 3, 3), 1 / 27, np.float32), "kernel")
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["around"], pads=[1, 1, 1, 1]),
        helper.make_node("Abs", ["around"], ["map"]),
        helper.make_node("ReduceMax", ["map"], ["score"], axes=[1, 2, 3], keepdims=0),
    ]
    pictures = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    told = [
        helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, SIDE, SIDE]),
        helper.make_tensor_value_info("score", TensorProto.FLOAT, [1]),
    ]
    graph = helper.make_graph(nodes, "small", [pictures], told, [kernel])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def changed_bytes(data: bytes, generator: Generator) -> bytes:
    """A file with bytes changed, cut off, put in or repeated."""
    raw = bytearray(data)
    kind = generator.integers(5)
    at = int(generator.integers(max(1, len(raw))))
    if kind == 0:
        for place in generator.integers(len(raw), size=int(generator.integers(1, 20))):
            raw[place] = int(generator.integers(256))
    elif kind == 1:
        del raw[at:]
    elif kind == 2:
        raw[at:at] = generator.bytes(int(generator.integers(1, 200)))
    elif kind == 3:
        raw[at : at + int(generator.integers(1, 100))] = b""
    else:
        raw[at:at] = raw[: int(generator.integers(1, 400))]
    return bytes(raw)


def with_huge_shapes(generator: Generator) -> bytes:
    model, sides = small_model(), [2**20, 2**31, 2**33, 2**40, 2**62, -5, 0]
    side = int(generator.choice(sides))
    kind = generator.integers(3)
    if kind == 0:
        model.graph.input[0].type.tensor_type.shape.dim[int(generator.integers(4))].dim_value = side
    elif kind == 1:
        model.graph.initializer[0].dims[int(generator.integers(4))] = side
    else:
        model.graph.initializer.append(numpy_helper.from_array(np.array([side], np.int64), "shape"))
        model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["huge"]))
        model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0))
        model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, []))
    return bytes(model.SerializeToString())


def with_loop(generator: Generator) -> bytes:
    """A loop that never ends, or as many within each other."""
    values = (("i", TensorProto.INT64), ("c", TensorProto.BOOL))
    given = [helper.make_tensor_value_info(name, kind, []) for name, kind in values]
    told = [helper.make_tensor_value_info("d", TensorProto.BOOL, [])]
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", given, told)
    for _ in range(int(generator.integers(1, 30))):
        nodes = [
            helper.make_node("Loop", ["", "c"], [], body=body),
            helper.make_node("Identity", ["c"], ["d"]),
        ]
        body = helper.make_graph(nodes, "body", given, told)
    model = small_model()
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**62, np.int64), "times"))
    model.graph.node.append(helper.make_node("Loop", ["times", ""], [], body=body))
    return bytes(model.SerializeToString())


def with_weights_elsewhere(generator: Generator) -> bytes:
    places = [
        "/etc/passwd",
        "../../../etc/shadow",
        "/dev/zero",
        "/proc/self/mem",
        "w.data",
        "",
        "a/b/c",
        "file:///x",
    ]
    model = small_model()
    kernel = model.graph.initializer[0]
    kernel.data_location = TensorProto.EXTERNAL
    numbers = ["0", "-1", "9" * 30, "x", str(2**62)]
    for key, value in (
        ("location", str(generator.choice(places))), ("offset", str(generator.choice(numbers))),
        ("length", str(generator.choice(numbers))),
    ):  # fmt: skip
        kernel.external_data.add(key=key, value=value)
    if generator.integers(2):
        kernel.ClearField("raw_data")
    return bytes(model.SerializeToString())


def with_operator(generator: Generator) -> bytes:
    kinds = [
        ("Wobble", "com.acme"), ("Wobble", ""), ("PyOp", "ai.onnx.contrib"), ("ATen", "org.pytorch.aten"),
        ("RandomUniform", ""), ("RandomNormalLike", ""), ("Multinomial", ""), ("\x1b[2J\n", "x" * 5000),
    ]  # fmt: skip
    name, domain = kinds[int(generator.integers(len(kinds)))]
    model = small_model()
    model.graph.node.append(helper.make_node(name, ["map"], ["more"], domain=domain))
    model.graph.output.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, None))
    if domain and generator.integers(2):
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return bytes(model.SerializeToString())


def with_a_circle(generator: Generator) -> bytes:
    model = small_model()
    model.graph.node[int(generator.integers(3))].input[0] = str(
        generator.choice(["map", "score", "nothing", ""])
    )
    return bytes(model.SerializeToString())


def no_model(generator: Generator) -> bytes:
    kinds = [
        b"", b"\x80\x04\x95", b"PK\x03\x04", b"<?xml version='1.0'?><net/>", generator.bytes(5000),
        b"\x0a" * 9000, b"\x0b" * 100_000,
    ]  # fmt: skip
    return kinds[int(generator.integers(len(kinds)))]


_MAKERS: tuple[Callable[[Generator], bytes], ...] = (
    with_huge_shapes, with_loop, with_weights_elsewhere, with_operator, with_a_circle, no_model,
)  # fmt: skip


def changed_xml(xml: str, generator: Generator) -> str:
    """OpenVINO IR with numbers, names or parts of it changed."""
    kind = generator.integers(5)
    if kind == 0:
        entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(9))
        return xml.replace("<net", f"<!DOCTYPE net [{entities}]><net", 1).replace('name="', 'name="&e8;', 1)
    if kind == 1:
        return xml.replace("<dim>32</dim>", f"<dim>{generator.choice([2**62, -1, 0, 2**33])}</dim>")
    if kind == 2:
        return xml.replace(
            'type="Convolution"', f'type="{generator.choice(["Wobble", "Loop", "ReadValue", ""])}"'
        )
    if kind == 3:
        return xml.replace('offset="', f'offset="{generator.choice([9, 10**12, -7])}', 1)
    return xml.replace('size="', f'size="{generator.choice([9, 10**12, -7])}', 1)


def broken_models(
    folder: Path, count: int, seed: int, sources: tuple[tuple[Path, Path | None], ...] = ()
) -> Iterator[tuple[Path, Path | None]]:
    """Write so many, one after another under the same names; each with the file of its weights."""
    generator = np.random.default_rng(seed)
    whole, xml = folder / "whole.onnx", folder / "whole.xml"
    whole.write_bytes(small_model().SerializeToString())
    openvino.save_model(openvino.convert_model(whole), xml, compress_to_fp16=False)
    given = [(whole, None), (xml, xml.with_suffix(".bin")), *sources]
    for number in range(count):
        source, weights = given[int(generator.integers(len(given)))]
        kept, broken = folder / "weights.bin", folder / f"broken{source.suffix}"
        if weights is not None:
            shutil.copy(weights, kept)
            kept = kept.rename(folder / weights.name) if source.suffix == ".onnx" else kept
        if number % 3 == 0:
            broken = folder / "broken.onnx"
            broken.write_bytes(_MAKERS[int(generator.integers(len(_MAKERS)))](generator))
        elif source.suffix == ".xml" and number % 3 == 1:
            broken.write_text(changed_xml(source.read_text(), generator))
        else:
            broken.write_bytes(changed_bytes(source.read_bytes(), generator))
        yield broken, kept if weights is not None and broken.suffix == source.suffix else None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--model", type=Path, action="append", default=[], help="break this one too")
    parser.add_argument(
        "--weights", type=Path, action="append", default=[], help="of the models, in their order"
    )
    parser.add_argument("--out", type=Path, help="write one line for each there")
    arguments = parser.parse_args()
    sources = tuple(zip(arguments.model, arguments.weights, strict=True))
    outcomes: Counter[str] = Counter()
    lines, slowest, largest = [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as name:
        models = broken_models(Path(name), arguments.count, arguments.seed, sources)
        for path, weights in track(models, total=arguments.count):
            request = ModelRequest(
                model=str(path), weights=None if weights is None else str(weights), memory_bytes=MEMORY_BYTES
            )
            start = time.monotonic()
            try:
                facts = admitted(request, SECONDS).facts
                outcome, largest = "admitted", max(largest, facts.peak_mb)
                lines.append(f"admitted: {facts.height}x{facts.width}, {facts.peak_mb:.0f} MB")
            except InputError as error:
                outcome = "refused"
                lines.append(f"refused: {error}")
            except InspectdError as error:
                outcome = f"{type(error).__name__}: {error}"
                lines.append(outcome)
            slowest = max(slowest, time.monotonic() - start)
            outcomes[outcome] += 1
    if arguments.out is not None:
        arguments.out.write_text("\n".join([*lines, ""]))
    for outcome, number in outcomes.most_common():
        print(f"{number} {outcome}")
    ended = sum("what read it was ended" in line for line in lines)
    print(
        f"of the refused, {ended} ended what read them; slowest {slowest:.1f} s, largest admitted "
        f"{largest:.0f} MB"
    )
    if set(outcomes) - {"admitted", "refused"} or slowest > SECONDS + 5:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
