"""An imported network with what brings frames to it, as the model that every other bank's backbone is too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset1
from openvino import opset13 as op
from torch import nn

from inspectd.backends.openvino.export import saved
from inspectd.backends.openvino.operators import refuse_growing, refuse_unfit
from inspectd.backends.openvino.precisions import OpenVinoExtractor
from inspectd.backends.openvino.runtime import Representation, computes_in, read_model
from inspectd.bank.file import NETWORK, BankFile
from inspectd.errors import BankError, InputError
from inspectd.model.backbones import Backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import BackbonePrecision, ImportedOptions, PatchOptions, options_of
from inspectd.pictures.region import Region

MOST_PLACES: Final = 64
"""Along a side of a map; a larger one is brought down to it, each place the highest of its own."""
_GREY: Final = (0.114, 0.587, 0.299)
"""Of blue, green and red; ITU-R BT.601, as OpenCV has it."""


def wrapped(network: Representation, options: ImportedOptions, size: tuple[int, int]) -> Representation:
    """A network with its preprocessing: (1, H, W, 3) uint8 BGR -> features (1, h, w, 1 or 2) float32.

    The features are the map and the score at every place, as `model.imported.Imported` takes them. NaN and
    infinity anywhere in an output make all of them NaN.

    Args:
        network: of OpenVINO, with fixed shapes.
        options: how it takes pictures and which outputs count.
        size: height and width of its input, in pixels.

    Raises:
        RuntimeError: the network does not fit the rest.
        ValueError: it has no such output.
    """
    model = read_model(network)
    frames = op.parameter([1, *size, 3], np.uint8, name="frames")
    taken = model.inputs[0]
    values = op.convert(_normalised(frames, options), taken.get_element_type().get_type_name())
    for target in taken.get_target_inputs():
        target.replace_source_output(values.output(0))
    outputs = [_values(model, name, options) for name in options.outputs]
    levels = [_level(output) for output in outputs]
    _, _, height, width = levels[0].get_output_shape(0)
    levels[1:] = [op.tile(level, _constant([1, 1, height, width])) for level in levels[1:]]
    features = op.transpose(
        op.concat(levels, axis=1) if len(levels) > 1 else levels[0], _constant([0, 2, 3, 1])
    )
    # Maxima over places may lose NaN, so it is looked for before.
    finite = [
        op.reduce_logical_and(op.is_finite(one), _constant([0, 1, 2, 3]), keep_dims=True) for one in outputs
    ]
    is_whole = op.logical_and(finite[0], finite[-1])
    features = op.select(is_whole, features, op.constant(np.array(np.nan, np.float32)))
    return saved(openvino.Model([features], [frames], "extract"))


def extractor_of_bank(path: Path, bank: BankFile) -> FeatureExtractor:
    """What makes the features of an imported bank, on the CPU.

    Raises:
        BankError: its network cannot be used, or this processor lacks its precision.
    """
    manifest = bank.manifest
    if not computes_in(manifest.precision):
        raise BankError(
            f"bank {path}: its model was rounded to 8 bits, in which this processor does not compute; "
            "import the model as it was before that"
        )
    size = (manifest.input_height, manifest.input_width)
    return extractor_of(
        network_of_bank(path, bank), name=manifest.backbone, weights=manifest.weights,
        sha256=manifest.weights_sha256, outputs=manifest.layers, size=size,
        region=manifest.patch_options.region, precision=manifest.precision,
    )  # fmt: skip


def network_of_bank(path: Path, bank: BankFile) -> Representation:
    """The `wrapped` network of an imported bank.

    Raises:
        BankError: it cannot be used.
    """
    manifest = bank.manifest
    xml, weights = (bank.tensors[name].tobytes() for name in NETWORK)
    try:
        network = read_model((xml, weights))
        refuse_unfit(path, network)
        refuse_growing(path, network)
        options = options_of(manifest.detector, manifest.options)
        assert isinstance(options, ImportedOptions)
        return wrapped((xml, weights), options, (manifest.input_height, manifest.input_width))
    except (InputError, RuntimeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise BankError(f"bank {path}: its model cannot be used: {said}; import it again") from error


def extractor_of(
    network: Representation,
    *,
    name: str,
    weights: str,
    sha256: str,
    outputs: tuple[str, ...],
    size: tuple[int, int],
    region: Region | None,
    precision: BackbonePrecision,
) -> OpenVinoExtractor:
    """What makes features by a `wrapped` network.

    Args:
        network: of `wrapped`.
        name: of the model, for people.
        weights: the file it came from, for people.
        sha256: of the model.
        outputs: names of those that are used.
        size: height and width of its input, in pixels.
        region: the part of every frame that is scored; None: all.
        precision: of its arithmetic.
    """
    nothing = Backbone(name, outputs, weights, sha256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), nn.Identity())
    patches = PatchOptions(region=region, compression=1.0)
    frame = FeatureExtractor(nothing, *size, torch.device("cpu"), patches)
    return OpenVinoExtractor(frame, network, precision)


def _normalised(frames: Any, options: ImportedOptions) -> Any:
    """Frames (1, H, W, 3) uint8 BGR as the network takes them, float32."""
    values = op.convert(frames, "f32")
    if options.colours == "grey":
        weights = op.constant(np.array(_GREY, np.float32).reshape(1, 1, 1, 3))
        values = op.reduce_sum(op.multiply(values, weights), _constant([3]), keep_dims=True)
    elif options.colours == "rgb":
        values = op.gather(values, _constant([2, 1, 0]), _constant(3))
    mean, deviation = (np.array(each, np.float32) for each in (options.mean, options.deviation))
    factor = (1 / (np.float32(options.scale) * deviation)).astype(np.float32)
    values = op.subtract(
        op.multiply(values, op.constant(factor)), op.constant((mean / deviation).astype(np.float32))
    )
    return op.transpose(values, _constant([0, 3, 1, 2])) if options.channels == "first" else values


def _values(model: Any, name: str, options: ImportedOptions) -> Any:
    """An output as (1, 1, h, w) float32, one place where it is a score."""
    found = [one for one in model.outputs if name in one.get_names() or _is_called(one, name)]
    if not found:
        raise ValueError(f"has no output {name!r}")
    output = found[0]
    sides = [side for side in output.get_shape() if side != 1] or [1, 1]
    values = op.reshape(output.get_node().input_value(0), _constant([1, 1, *sides]), special_zero=False)
    values = op.convert(values, "f32")
    return op.negative(values) if options.is_lower_worse else values


def _is_called(output: Any, name: str) -> bool:
    return not output.get_names() and output.get_node().get_friendly_name() == name


def _level(values: Any) -> Any:
    """A map (1, 1, h, w) with at most `MOST_PLACES` along a side."""
    _, _, height, width = values.get_output_shape(0)
    step = -(-max(height, width) // MOST_PLACES)
    if step == 1:
        return values
    sides = [step, step]
    # The later kinds give the places of the maxima as well.
    return opset1.max_pool(values, sides, [0, 0], [0, 0], sides, rounding_type="ceil")


def _constant(values: int | list[int]) -> NDArray[np.int64] | Any:
    return op.constant(np.array(values, dtype=np.int64))
