"""Bank files: one safetensors file with a manifest, and a digest over both, so that no damage goes unseen.

Nothing here needs torch: `inspectd check` verifies a bank in milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
import safetensors.numpy
from msgspec import Meta, field
from numpy.typing import NDArray

from inspectd.bank.settings_choice import SettingsChoice
from inspectd.errors import BankError, InputError
from inspectd.files import open_regular, write_bytes
from inspectd.model.options import IMPORTED, BackbonePrecision, HeadOptions, PatchOptions, converted
from inspectd.quality.learnt import LEAST_SIDE, NEAREST, REFERENCES, TINT, LearntQuality

SCHEMA: Final = "inspectd-bank/2"
_EARLIER: Final = "inspectd-bank/1"
"""PatchCore with `local_scale` then divided the nearest row's distance by that row's spacing."""
GOOD_SCORES: Final = "good_scores"
"""Name of the (N,) float64 scores of the bank's own images, each from a fit that left it out."""
IMAGE_DIGESTS: Final = "image_digests"
"""Name of the (N, 32) uint8 sha256 of those images' pixels, in the same order."""
IMAGE_PARTS: Final = "image_parts"
"""Name of the (N,) int64 numbers of the parts that those images show, in the same order; if missing,
each shows another."""
OUTLIER_HEATMAPS: Final = "outlier_heatmaps"
"""Name of the (K, h, w) float32 heatmaps of the manifest's K outliers, each from a fit that left it out."""
NETWORK: Final = ("network.model", "network.weights")
"""Names of the (n,) uint8 bytes of a model of OpenVINO: an `int8` backbone, which its images calibrated, or a
network that was imported."""
ONNX: Final = "network.onnx"
"""Name of the (n,) uint8 bytes of an imported network as ONNX, where they were kept: CUDA needs them."""
LISTS: Final = "detector.lists"
"""Name of PatchCore's (B, L) integers: rows of its memory for each block of places."""
_NOT_SCORED_BY: Final = (GOOD_SCORES, IMAGE_DIGESTS, IMAGE_PARTS, OUTLIER_HEATMAPS, REFERENCES, NEAREST, TINT)

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Count = Annotated[int, Meta(ge=1)]
MOST_INPUT_SIDE: Final = 4096
"""Pixels of a side of what a network is given."""
InputSide = Annotated[int, Meta(ge=1, le=MOST_INPUT_SIDE)]


class Outlier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image of the bank that scores far above its others."""

    name: str
    """Its file's name, or its number in a video or of a camera."""
    sha256: Digest
    """Of its pixels."""
    score: float
    """From the fit that left it out."""
    status: Literal["open", "accepted"] = "open"
    """Accepted: somebody looked and calls it good, so it counts in the threshold."""


class Excluded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image that was in the bank until somebody took it out."""

    name: str
    """Its file's name."""
    sha256: Digest
    """Of its pixels."""
    score: float
    """From the fit of that earlier bank that left it out."""


class Taught(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A good image added to the bank's own by people: it gives a PatchCore rows, and nothing else."""

    name: str
    """Its file's name."""
    sha256: Digest
    """Of its pixels."""
    score: float
    """From a fit that left it out."""
    unlike_the_rest: bool
    """Whether that lies as far above the scores of the bank's own images as an outlier's does."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Description of a bank, enough to score with it exactly as it was built."""

    detector: str
    options: dict[str, Any]
    """The detector's own settings."""
    head: HeadOptions
    """Settings of its head."""
    patch_options: PatchOptions = field(name="patches_of")
    """Settings of its features."""
    backbone: str
    weights: str
    """`packaged`, `download`, or the weights file's name."""
    weights_sha256: Digest
    layers: Annotated[tuple[str, ...], Meta(min_length=1)]
    precision: BackbonePrecision = "float32"
    """Of the backbone when the bank was made; it is scored with in this one alone. An imported one in `int8`
    was rounded by its maker."""
    input_height: InputSide
    input_width: InputSide
    images: Count
    """Good images it was fitted on, without those that were taught."""
    image_sizes: tuple[tuple[Count, Count], ...] = ()
    """Every (height, width) those images have, in order; empty: not recorded, by an earlier version."""
    bit_depth: Annotated[int, Meta(ge=8, le=16)] = 8
    """Bits a channel of those images; of more than 8 the upper 8 were used (`pictures.depth`)."""
    patches: Count
    """Patches those images and the taught ones gave."""
    rows: Count
    dims: Count
    coreset_ratio: float | None
    seed: int
    threshold: float
    """Scores above it are defects."""
    threshold_basis: str
    """Origin of the threshold, for people."""
    outliers: tuple[Outlier, ...] = field(default=(), name="unlike_the_rest")
    """Images that score far above the others; none in banks from before they were recorded."""
    outliers_count: bool = False
    """All of them are accepted. Of banks from before each had a status; `read_bank` gives them one."""
    threshold_with_outliers: float | None = None
    """The threshold if they counted; None: there are none, or they do."""
    highest_odd: float | None = None
    """The highest score of pictures unlike good parts (noise, black, a good image that was spoilt), by a fit
    that left images out: nothing fails by a threshold that is no lower. None: none is finite, or it is not
    recorded."""
    excluded: tuple[Excluded, ...] = ()
    """Images taken out of it, the first one first."""
    taught: tuple[Taught, ...] = ()
    """Images added to it later because the line rejected them: not drawn by chance as its own were."""
    settings_choice: SettingsChoice | None = None
    """How its settings were chosen for its images; None: they were not."""
    foreground: bool = False
    """Whether the places that are judged were learnt of its images, as those that show the part."""
    calibrated: bool | None = None
    """Whether `bank calibrate` set the threshold; None: not recorded, by an earlier version."""
    quality: LearntQuality | None = None
    """How its images were taken, and what frames have to be like; None: not learnt."""
    alike: int | msgspec.UnsetType = msgspec.UNSET
    """Images that seem to show no further part, though nobody said which part each shows: so many that no
    rate of false rejects is shown by its good scores. Unset: they are few, or parts were named."""
    schema: str = SCHEMA

    @property
    def shows_rates(self) -> bool:
        """Whether its good scores show rates of false rejects: those of pictures of one part do not."""
        return self.alike is msgspec.UNSET

    @property
    def is_calibrated(self) -> bool:
        """Whether somebody set the threshold for a stated rate; else it is the default rule's."""
        if self.calibrated is None:
            return self.threshold_basis.startswith("rate ")  # as earlier versions worded it
        return self.calibrated

    @property
    def unanswered(self) -> list[str]:
        """Names of the images unlike the rest that nobody has accepted yet."""
        return [image.name for image in self.outliers if image.status == "open"]


_METADATA: Final = "__metadata__"
_LONGEST_HEADER: Final = 100_000_000
"""Bytes; safetensors' own limit."""
_KEY: Final = "inspectd"
"""One metadata entry only: the order in which safetensors writes several differs from run to run."""

Tensors = Mapping[str, NDArray[Any]]


_DTYPES: Final = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
    "BOOL": "|b1",
}
"""Of safetensors, as numpy names them."""
_LOOKED_AT: Final = 1 << 20
"""Values at once: what is known of each takes memory too."""


class _Label(msgspec.Struct, frozen=True):
    manifest: msgspec.Raw
    sha256: str


class _Place(msgspec.Struct, frozen=True):
    """A tensor by a safetensors header."""

    dtype: str
    shape: tuple[Annotated[int, Meta(ge=0)], ...]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class BankFile:
    """A bank as it lies in its file, verified.

    Attributes:
        manifest: description of the bank.
        tensors: memory of its detector and its head, by name.
        sha256: digest over manifest and tensors; names the bank wherever a verdict is published.
    """

    manifest: Manifest
    tensors: dict[str, NDArray[Any]]
    sha256: str

    @cached_property
    def scoring_sha256(self) -> str:
        """Digest of all that a frame's scores depend on once it is aligned, where its bank has that done.

        Banks that differ in their threshold alone share it, or in what they learnt of how images were taken.
        """
        manifest = msgspec.structs.replace(
            self.manifest, threshold=0.0, threshold_basis="", outliers=(), outliers_count=False,
            threshold_with_outliers=None, highest_odd=None, excluded=(), taught=(), settings_choice=None,
            calibrated=None, quality=None, alike=msgspec.UNSET,
        )  # fmt: skip
        tensors = {name: self.tensors[name] for name in self.tensors if name not in _NOT_SCORED_BY}
        return _digest(msgspec.json.encode(manifest, order="deterministic"), tensors)


def write_bank(path: Path, manifest: Manifest, tensors: Tensors) -> str:
    """Write a bank; the file appears whole or not at all, and what is written can be read.

    Returns:
        The bank's sha256.

    Raises:
        BankError: it is none that could be read again; nothing is written.
        UnavailableError: the file cannot be written.
    """
    try:
        _check_content(path, _manifest(path, msgspec.Raw(_text(manifest))), tensors)
    except BankError as error:
        raise BankError(f"nothing is written, as it could not be read again: {error}") from error
    sha256, data = bank_bytes(manifest, tensors)
    write_bytes(path, data)
    return sha256


def replace_bank(path: Path, bank: BankFile, manifest: Manifest, tensors: Tensors) -> str:
    """Write a bank in the place of the one that it was worked out from, and of no other.

    Args:
        path: the file.
        bank: what it held then.
        manifest: of the bank to write.
        tensors: the same.

    Returns:
        As `write_bank`.

    Raises:
        InputError: the file was changed meanwhile; it stays as it is.
        BankError: as `write_bank`, or the file cannot be read any more.
        UnavailableError: as `write_bank`.
    """
    if read_bank(path).sha256 != bank.sha256:
        raise InputError(f"bank {path}: was changed meanwhile; nothing was written, try again")
    return write_bank(path, manifest, tensors)


def bank_bytes(manifest: Manifest, tensors: Tensors) -> tuple[str, bytes]:
    """The sha256 and the content of a bank's file, whether it can be read again or not."""
    text = _text(manifest)
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    label = _Label(msgspec.Raw(text), _digest(text, arrays))
    return label.sha256, safetensors.numpy.save(arrays, {_KEY: msgspec.json.encode(label).decode()})


def _text(manifest: Manifest) -> bytes:
    return msgspec.json.encode(manifest, order="deterministic")


def read_bank(path: Path, *, is_ours: bool = False) -> BankFile:
    """Read a bank and verify it.

    Args:
        path: the file.
        is_ours: nobody else writes it as long as this is used: so it need not be held in memory, and what the
            kernel has of it there goes where memory is short. Its tensors cannot be written to.

    Raises:
        BankError: it is missing, no file, too large, unreadable, cut short, altered, of another version, or
            what it holds does not fit together.
    """
    try:
        with _open(path) as file:
            header = _header(path, file)
            label = _label(path, header)
            manifest = _manifest(path, label.manifest)
            tensors = _tensors(file, header, is_mapped=is_ours)
    except OSError as error:
        raise BankError(f"bank {path}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise BankError(f"bank {path}: does not fit in this machine's free memory") from error
    except (KeyError, ValueError) as error:
        raise BankError(f"bank {path}: is damaged: {error}; build it again or restore a copy") from error
    sha256 = _digest(bytes(label.manifest), tensors)
    if sha256 != label.sha256:
        raise BankError(
            f"bank {path}: its content was altered: sha256 is {sha256[:12]}..., the file says "
            f"{label.sha256[:12]!r}...; build it again or restore a copy"
        )
    _check_content(path, manifest, tensors)
    return BankFile(manifest, tensors, sha256)


def good_scores(path: Path, bank: BankFile) -> NDArray[np.float64]:
    """The scores (N,) of a bank's own images, each from a fit that left it out.

    Raises:
        BankError: it holds none.
    """
    if GOOD_SCORES not in bank.tensors:
        raise BankError(f"bank {path}: does not hold the scores of its own images; build it again")
    return bank.tensors[GOOD_SCORES]


def read_manifest(path: Path) -> Manifest:
    """Verify a bank file and return its manifest.

    Raises:
        BankError: as `read_bank`.
    """
    return read_bank(path).manifest


def _open(path: Path) -> BufferedReader:
    """See `open_regular`.

    Raises:
        BankError: it is no regular file.
        OSError: it cannot be opened.
    """
    try:
        return open_regular(path)
    except InputError as error:
        raise BankError(
            f"bank {path}: is not a regular file, expected one made by `inspectd bank build`"
        ) from error


def _header(path: Path, file: BufferedReader) -> dict[str, Any]:
    """The safetensors header: 8 bytes of length, then JSON, which gives the length of the data.

    Nothing else is read before the file's length is checked against its header and against this machine's
    memory: a sparse file is larger than any disk.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
        raise BankError(f"bank {path}: is not a bank file, or was cut short ({size} bytes)")
    try:
        header: dict[str, Any] = json.loads(file.read(length))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != _METADATA]
        expected = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise BankError(f"bank {path}: is not a bank file, or was cut short ({error})") from error
    if size != expected:
        raise BankError(
            f"bank {path}: is not a bank file, or was cut short ({size} bytes, expected {expected})"
        )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise BankError(
            f"bank {path}: takes {size / 1e9:.1f} GB, this machine has {memory / 1e9:.1f} GB of memory; "
            "build it with a smaller --coreset"
        )
    return header


def _tensors(file: BufferedReader, header: dict[str, Any], *, is_mapped: bool) -> dict[str, NDArray[Any]]:
    """What lies behind a header, up to which the file was read; each tensor once in memory, or not at all.

    Raises:
        ValueError: the header is not of what lies there.
        KeyError: a tensor's kind is none of numpy's.
        OSError: it cannot be read.
    """
    places = msgspec.convert(
        {name: place for name, place in header.items() if name != _METADATA}, dict[str, _Place]
    )
    end = start = file.tell()
    whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if is_mapped else None
    tensors: dict[str, NDArray[Any]] = {}
    for name, place in sorted(places.items(), key=lambda item: item[1].data_offsets):
        dtype, count = np.dtype(_DTYPES[place.dtype]), math.prod(place.shape)
        here = start + place.data_offsets[0], start + place.data_offsets[1]
        if here != (end, end + count * dtype.itemsize):
            raise ValueError(f"{name[:100]!r} does not lie where its header says")
        if whole is None:
            array = np.empty(place.shape, dtype)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
                raise ValueError("it was cut short")
        else:
            array = np.frombuffer(whole, dtype, count, end).reshape(place.shape)
        tensors[name] = array
        end = here[1]
    return tensors


def _label(path: Path, header: dict[str, Any]) -> _Label:
    """Our entry in a safetensors header."""
    metadata = header.get(_METADATA)
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise BankError(
            f"bank {path}: has no inspectd manifest, expected a file made by `inspectd bank build`"
        )
    try:
        return msgspec.json.decode(text, type=_Label)
    except (ValueError, RecursionError) as error:
        raise BankError(f"bank {path}: its manifest is damaged: {error}") from error


def _manifest(path: Path, text: msgspec.Raw) -> Manifest:
    try:
        values = msgspec.json.decode(text)
        schema = values.get("schema")
    except (ValueError, AttributeError, RecursionError) as error:
        raise BankError(f"bank {path}: its manifest is damaged: {error}") from error
    if schema not in (SCHEMA, _EARLIER):
        raise BankError(f"bank {path}: has schema {schema!r}, this version reads {SCHEMA!r}; build it again")
    try:
        manifest = converted(values, Manifest, f"bank {path}: its manifest is damaged")
    except InputError as error:
        raise BankError(str(error)) from error
    scaled = manifest.detector == "patchcore" and manifest.options.get("local_scale", True)
    if schema == _EARLIER and scaled:
        raise BankError(
            f"bank {path}: was built by an earlier version, which measured distances relative to the bank's "
            "spacing (local_scale) by another rule: its threshold does not fit the scores of this version; "
            "build it again"
        )
    if not manifest.outliers_count:
        return manifest
    accepted = tuple(msgspec.structs.replace(image, status="accepted") for image in manifest.outliers)
    return msgspec.structs.replace(manifest, outliers=accepted, outliers_count=False)


def _check_content(path: Path, manifest: Manifest, tensors: Tensors) -> None:
    """Refuse what does not fit the manifest; what banks of earlier versions lack may be missing."""
    if not (all(map(_is_finite, tensors.values())) and math.isfinite(manifest.threshold)):
        raise BankError(f"bank {path}: holds values that are not finite; build it again")
    expected = {
        GOOD_SCORES: (np.float64, (manifest.images,), 1),
        IMAGE_DIGESTS: (np.uint8, (manifest.images, 32), 2),
        IMAGE_PARTS: (np.int64, (manifest.images,), 1),
        OUTLIER_HEATMAPS: (np.float32, (len(manifest.outliers),), 3),
    }
    for name, (dtype, shape, dimensions) in expected.items():
        array = tensors.get(name)
        if array is None:
            continue
        fits = array.dtype == dtype and array.ndim == dimensions and array.shape[: len(shape)] == shape
        if not (fits and all(array.shape[1:])):
            raise BankError(
                f"bank {path}: its {name} are {array.dtype} {list(array.shape)}, which does not fit its "
                f"{manifest.images} images and {len(manifest.outliers)} unlike the rest; build it again"
            )
    if IMAGE_PARTS in tensors and IMAGE_DIGESTS not in tensors:
        raise BankError(f"bank {path}: holds parts of its images but not their digests; build it again")
    if IMAGE_DIGESTS in tensors and GOOD_SCORES not in tensors:
        raise BankError(f"bank {path}: holds digests of its images but not their scores; build it again")
    held = [name for name in NETWORK if name in tensors and tensors[name].dtype == np.uint8]
    has_network = manifest.precision == "int8" or manifest.detector == IMPORTED
    if len(held) != (len(NETWORK) if has_network else 0):
        raise BankError(
            f"bank {path}: holds {held or 'no network'}, which does not fit its precision "
            f"{manifest.precision} and detector {manifest.detector}; build it again"
        )
    _check_quality(path, manifest, tensors)
    lists = tensors.get(LISTS)
    if lists is None:
        return
    is_table = lists.ndim == 2 and lists.size and np.issubdtype(lists.dtype, np.integer)
    if not (is_table and lists.min() >= 0 and lists.max() < manifest.rows):
        raise BankError(f"bank {path}: its lists of rows do not fit the bank; build it again")


def _is_finite(array: NDArray[Any]) -> bool:
    values = array.reshape(-1)
    return all(
        np.isfinite(values[first : first + _LOOKED_AT]).all() for first in range(0, values.size, _LOOKED_AT)
    )


def _check_quality(path: Path, manifest: Manifest, tensors: Tensors) -> None:
    """Refuse pictures of good images that do not fit what the manifest says of them."""
    learnt = manifest.quality
    references, nearest = tensors.get(REFERENCES), tensors.get(NEAREST)
    fits = learnt is not None or (references is None and nearest is None)
    tint = tensors.get(TINT)
    if tint is not None:
        fits &= learnt is not None and tint.dtype == np.float32 and tint.ndim == 2 and bool(tint.any())
    if references is not None:
        fits &= references.dtype == np.uint8 and references.ndim == 3 and references.size > 0
        fits &= min(references.shape) > 0 and min(references.shape[1:]) >= LEAST_SIDE
    if learnt is not None:
        needs_reference = learnt.aligned or "likeness" in learnt.limits
        fits &= references is not None or not needs_reference
        shape = () if nearest is None else nearest.shape
        fits &= (len(shape) == 4 and shape[3] == 3) if learnt.nearest else not shape
        fits &= (shape[0] if shape else 0) == len(learnt.nearest)
        fits &= nearest is None or nearest.dtype == np.uint8
    if not fits:
        raise BankError(f"bank {path}: its pictures of good images do not fit its manifest; build it again")


def _digest(manifest: bytes, tensors: Tensors) -> str:
    sha = hashlib.sha256(manifest)
    for name in sorted(tensors):
        array = tensors[name]
        sha.update(f"\0{name}:{array.dtype.str}:{array.shape}\0".encode(errors="surrogatepass"))
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
