"""Workers of a build on the machines of a Ray cluster; each makes and keeps the features of its share.

Ray pickles what it sends: who reaches a port of a cluster runs code on all of its machines. Only arrays and
plain values are sent here.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import (
    ActorUnschedulableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import inspectd
from inspectd.bank.coreset import Candidates, Centres
from inspectd.bank.fit import FitSpec, Fitted, Step, coreset_size, patchcore_of
from inspectd.bank.made_anew import MOST_LOSSES, PartMadeAnew, PartsMadeAnew, WorkerLostError
from inspectd.bank.share import ShareOfImages, ShareSpec
from inspectd.errors import InputError, InspectdError, UnavailableError
from inspectd.model.detectors import Detector
from inspectd.model.options import PaDiMOptions, PatchCoreOptions
from inspectd.model.padim import PaDiM, reduction_of
from inspectd.model.patchcore import PatchCore

_ANSWERS_SECONDS: Final = 5.0
_EXPECTED: Final = (
    "expected the head of a Ray cluster there (`ray start --head`), of which this machine is a node as well "
    "(`ray start --address`), with the same Ray and Python"
)
_IMAGES_AT_ONCE: Final = 1024
"""Of one answer with something of each image."""
_EXTRACTED_AT_ONCE: Final = 64

_LOST: Final = (
    RayActorError,
    NodeDiedError,
    OutOfMemoryError,
    WorkerCrashedError,
    ActorUnschedulableError,
)


class RayShare:
    """What runs in a worker's process: a `ShareOfImages` that is made when it is first asked.

    Args:
        versions: of inspectd and torch where the bank is built.
        spec: a `ShareSpec` in msgpack.
        threads: of its arithmetic.
    """

    def __init__(self, versions: dict[str, str], spec: bytes, threads: int) -> None:
        self._versions = versions
        self._spec = spec
        self._share: ShareOfImages | None = None
        torch.set_num_threads(threads)

    def pid(self) -> int:
        """Of its process."""
        return os.getpid()

    def call(self, name: str, extracted: int, *arguments: Any) -> tuple[str, Any]:
        """Have so many images extracted, then ask the share; `answer` and that, or `refused` and why."""
        host = socket.gethostname()
        if (own := versions()) != self._versions:
            return "refused", (
                f"--ray: {host} has {_named(own)}, expected {_named(self._versions)} as where the bank is "
                "built: features would differ; install the same on each machine, and start Ray there again"
            )
        try:
            with torch.inference_mode():
                if self._share is None:
                    self._share = ShareOfImages(msgspec.msgpack.decode(self._spec, type=ShareSpec))
                self._share.extract(extracted)
                return "answer", getattr(self._share, name)(*arguments)
        except InspectdError as error:
            return "refused", f"--ray: on {host}: {error}"


def versions() -> dict[str, str]:
    """What features depend on, beside the processor."""
    return {"inspectd": inspectd.__version__, "torch": str(torch.__version__)}


def _named(found: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in found.items())


def refuse_unreachable(address: str) -> None:
    """Refuse where nothing answers at HOST:PORT; what answers is seen by `RayCluster`.

    Raises:
        InputError: that is no address.
        UnavailableError: nothing answers.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"--ray: got {address}, expected HOST:PORT of the cluster's head")
    try:
        socket.create_connection((host, int(port)), _ANSWERS_SECONDS).close()
    except OSError as error:
        raise UnavailableError(f"--ray: {address}: {error.strerror or error}; {_EXPECTED}") from error


class RayCluster:
    """A connection to a Ray cluster that is there; use it as a context manager.

    Args:
        address: HOST:PORT of its head; this machine is one of its nodes.

    Raises:
        InputError: that is no address.
        UnavailableError: no cluster is there, or none that this machine is a node of.
    """

    def __init__(self, address: str) -> None:
        refuse_unreachable(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            first = str(error).strip().partition("\n")[0]
            raise UnavailableError(f"--ray: {address}: {first}; {_EXPECTED}") from error
        finally:
            signal.signal(signal.SIGTERM, handler)  # Ray's own would end the build without a word

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()


class RayWorkers(PartsMadeAnew["RayPart"]):
    """The features of a build's images, in shares, each with a worker; see `bank.fit.Features`.

    Use it as a context manager, with a `RayCluster` around it.

    Args:
        specs: the shares, one behind the other.
        shape: h, w and D of an image's features.
        seed: of every random choice.
        mask: (h, w) bool, the places whose patches count; None: all.
        step: called with the number of images that are extracted.

    Raises:
        InputError: a worker cannot have the same features as this machine would.
        UnavailableError: a worker was lost again and again, or failed.
    """

    def __init__(
        self,
        specs: Sequence[ShareSpec],
        shape: tuple[int, int, int],
        seed: int,
        mask: torch.Tensor | None,
        step: Callable[[int], None],
    ) -> None:
        each = shape[0] * shape[1] if mask is None else int(mask.sum())
        super().__init__(sum(len(spec.paths) for spec in specs), each, seed)
        self._shape = shape
        places = _Places(len(specs))
        try:
            for spec in specs:
                self.parts.append(RayPart(spec, each, places))
            self._extract(step)
        except InspectdError:
            self.close()
            raise

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """See `Features`."""
        return (self._images, *self._shape)

    def fitted(
        self,
        images: NDArray[np.int64] | None,
        spec: FitSpec,
        step: Step,
        taught: NDArray[np.bool_] | None = None,
    ) -> Fitted:
        """See `Features.fitted`; of PatchCore alone."""
        if not isinstance(spec.options, PatchCoreOptions):
            raise TypeError(f"no workers for options of type {type(spec.options).__name__}")
        own = np.arange(self._images) if images is None else images
        count = coreset_size(spec.coreset, len(own) * self._each)
        start = time.perf_counter()
        coreset = self.choose(own, count, lambda done: step(done, count))
        seconds = time.perf_counter() - start
        drawn = own if taught is None else own[~taught[own]]
        positions = self._positions(drawn) if spec.options.position_weight else None
        return patchcore_of(coreset, spec.options, positions, self._each, seconds)

    def maps(self, detector: Detector, images: NDArray[np.int64]) -> torch.Tensor:
        """See `Features.maps`."""
        return self._of_images("maps", images, *_sent(detector))

    def embeddings(self) -> torch.Tensor:
        """See `Features.embeddings`."""
        return self._of_images("embeddings", np.arange(self._images))

    def nearest(self, detector: PatchCore, every: int) -> torch.Tensor:
        """See `Features.nearest`."""
        return self._of_images("nearest", np.arange(self._images)[::every], *_sent(detector))

    def _extract(self, step: Callable[[int], None]) -> None:
        most = max(part.images for part in self.parts)
        for done in range(0, most, _EXTRACTED_AT_ONCE):
            for part in self.parts:
                part.extracted = min(part.images, done + _EXTRACTED_AT_ONCE)
                part.request("extract", part.extracted)
            for part in self.parts:
                part.result()
            step(sum(part.extracted for part in self.parts))

    def _positions(self, images: NDArray[np.int64]) -> PaDiM:
        """As `PaDiM.fit`, with sums in float64 of all workers."""
        height, width, dims = self._shape
        options = PaDiMOptions()
        reduction = reduction_of(dims, options, self._seed)
        matrix = reduction.numpy()
        total = self._summed("sums", images, matrix)
        means = (total / len(images)).float()
        covariances = self._summed("scatter", images, matrix, means.numpy()) / max(1, len(images) - 1)
        return PaDiM.of_covariances(
            reduction, means.reshape(height, width, -1), lambda block: covariances[block], options
        )

    def _summed(self, name: str, images: NDArray[np.int64], *arguments: Any) -> torch.Tensor:
        for part in self.parts:
            part.request(name, part.own(images), *arguments)
        found = (np.array(part.result()) for part in self.parts)
        total = next(found)
        for one in found:
            total += one
        return torch.from_numpy(total)

    def _of_images(self, name: str, images: NDArray[np.int64], *arguments: Any) -> torch.Tensor:
        """Something of each of some images, in their order."""
        own = [part.own(images) for part in self.parts]
        found: list[list[NDArray[Any]]] = [[] for _ in self.parts]
        for start in range(0, max(map(len, own)), _IMAGES_AT_ONCE):
            asked = [
                (part, found[at], own[at][start : start + _IMAGES_AT_ONCE])
                for at, part in enumerate(self.parts)
                if start < len(own[at])
            ]
            for part, _, some in asked:
                part.request(name, some, *arguments)
            for part, answers, _ in asked:
                answers.append(part.result())
        return torch.from_numpy(np.concatenate(list(itertools.chain.from_iterable(found))))


class RayPart(PartMadeAnew):
    """A share of the images, with a worker on one of the cluster's machines.

    Args:
        spec: of the share.
        each: patches of an image that count.
        places: where workers are.
    """

    def __init__(self, spec: ShareSpec, each: int, places: _Places) -> None:
        self.images = len(spec.paths)
        """Of the share."""
        self.extracted = 0
        """Of these, whose features a worker has before it does anything else."""
        self._first = spec.first_image
        super().__init__((self._first + self.images) * each)
        self._spec = msgspec.msgpack.encode(spec)
        self._places = places
        self._place: str | None = None
        self._worker: Any = None
        self._request: tuple[str, tuple[Any, ...]] = ("extract", (0,))
        self._restart()

    @property
    def pid(self) -> int:
        """Of its worker's process."""
        process: int = ray.get(self._worker.pid.remote())
        return process

    def own(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some images, in ascending order, that it has."""
        first, stop = np.searchsorted(images, (self._first, self._first + self.images))
        return images[first:stop]

    def request(self, name: str, *arguments: Any) -> None:
        """Ask the worker for something of `ShareOfImages`."""
        self._request = name, arguments
        self._send(name, *arguments)

    def result(self) -> Any:
        """What was requested.

        Raises:
            InputError: the worker cannot have the same features as this machine would.
            UnavailableError: it was lost again and again, or failed.
        """
        return self._until_answered(lambda: self._send(self._request[0], *self._request[1]))

    def value(self, row: int) -> torch.Tensor:
        """See `Part.value`."""
        self.request("value", row)
        return torch.from_numpy(np.array(self.result()))

    def close(self) -> None:
        """End its worker."""
        ray.kill(self._worker)

    def _send_begin(self, origin: torch.Tensor) -> None:
        self._send("begin", origin.numpy(), np.array(self.left_out, dtype=np.int64))

    def _send_take(self, groups: list[Centres], width: int) -> None:
        self._send(
            "take", [group.rows for group in groups], [group.values.numpy() for group in groups], width
        )

    def _candidates(self, found: Any) -> Candidates:
        rows, values, bounds, outside = found
        return Candidates(np.array(rows), torch.from_numpy(np.array(values)), np.array(bounds), outside)

    def _send(self, name: str, *arguments: Any) -> None:
        self._answer = self._worker.call.remote(name, self.extracted, *arguments)

    def _received(self) -> Any:
        try:
            kind, found = ray.get(self._answer)
        except _LOST as error:
            if getattr(error, "actor_init_failed", False):
                raise UnavailableError(f"--ray: no worker starts: {_last_line(error)}") from error
            raise WorkerLostError from error
        except RayTaskError as error:
            raise UnavailableError(f"--ray: a worker failed: {_last_line(error)}") from error
        if kind == "refused":
            raise InputError(found)
        return found

    def _restart(self) -> None:
        if self._worker is not None:
            ray.kill(self._worker)
        self._place, threads = self._places.choose(instead_of=self._place)
        where = NodeAffinitySchedulingStrategy(self._place, soft=False)
        # Room is what `_Places` finds: a worker that Ray has no room for would be waited for without end.
        actor: Any = ray.remote(RayShare).options(num_cpus=0, max_restarts=0, scheduling_strategy=where)
        self._worker = actor.remote(versions(), self._spec, threads)

    def _lost_again(self) -> str:
        return (
            f"--ray: the worker for images {self._first + 1} to {self._first + self.images} was lost "
            f"{MOST_LOSSES} times in a row; expected memory for it: take more workers or machines, or see in "
            "Ray's logs and the kernels' what ends it"
        )


class _Places:
    """Chooses machines for workers, and threads of each.

    Args:
        workers: how many there will be.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._taken: dict[str, int] = {}

    def choose(self, instead_of: str | None) -> tuple[str, int]:
        """The node with the fewest workers for its processors, and the threads of one there.

        Raises:
            UnavailableError: the cluster has no processors.
        """
        if instead_of is not None:
            self._taken[instead_of] -= 1
        nodes = {
            str(node["NodeID"]): int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]
        }
        nodes = {name: processors for name, processors in nodes.items() if processors}
        if not nodes:
            raise UnavailableError(
                "--ray: no machine of the cluster has processors, expected one with --num-cpus"
            )
        chosen = min(nodes, key=lambda name: (1 + self._taken.get(name, 0)) / nodes[name])
        self._taken[chosen] = 1 + self._taken.get(chosen, 0)
        share = -(-self._workers * nodes[chosen] // sum(nodes.values()))
        return chosen, max(1, nodes[chosen] // max(share, self._taken[chosen]))


def _sent(detector: Detector) -> tuple[Any, dict[str, Any]]:
    """A detector's tensors, which go to each machine once, and its options."""
    if not isinstance(detector, PatchCore):
        raise TypeError(f"no workers for a {type(detector).__name__}")
    tensors = {name: tensor.numpy() for name, tensor in detector.tensors().items()}
    return ray.put(tensors), msgspec.to_builtins(detector.options)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
