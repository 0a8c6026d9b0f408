"""Transformers and hybrids as backbones, with random weights, against timm's own `forward_intermediates`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from inspectd.errors import InputError
from inspectd.model.architectures import default_layers
from inspectd.model.backbones import load_backbone

CPU = torch.device("cpu")
ANY_SIZE = [  # each with a size that is not its own, blocks, and whether tokens are normalised
    ("vit_tiny_patch16_224", (48, 64), ("blocks.2", "blocks.7"), True),
    ("vit_tiny_patch16_224", (48, 64), ("blocks.2", "blocks.11"), False),
    ("vit_small_patch14_dinov2", (42, 56), ("blocks.11",), True),
    ("vit_small_patch14_reg4_dinov2", (42, 56), ("blocks.3", "blocks.8"), False),
    ("vit_tiny_patch16_dinov3_qkvb", (48, 64), ("blocks.2", "blocks.11"), True),
    ("vit_small_patch16_dinov3", (48, 64), ("blocks.5",), False),
    ("vit_tiny_r_s16_p8_224", (64, 96), ("blocks.5", "blocks.8"), True),
]


@pytest.mark.parametrize(("name", "size", "layers", "final_norm"), ANY_SIZE)
def test_maps_are_timms_at_another_size(
    name: str, size: tuple[int, int], layers: tuple[str, ...], final_norm: bool
) -> None:
    """timm interpolates positions for every image here, as `dynamic_img_size` asks it to; we do it once."""
    backbone = load_backbone(name, layers, "random", CPU, size=size, final_norm=final_norm)
    own = of_timm(name, dynamic_img_size=True)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = own.forward_intermediates(
            images, indices=[int(layer.split(".")[1]) for layer in layers], norm=final_norm,
            intermediates_only=True,
        )  # fmt: skip
        for want, got in zip(expected, backbone(images), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def of_timm(name: str, **settings: object) -> torch.nn.Module:
    """timm's network with the weights that `random` stands for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name, pretrained=False, **settings).eval()


STAGES = [
    ("swin_tiny_patch4_window7_224", (64, 96), ("layers.1", "layers.3")),
    ("swinv2_tiny_window8_256", (64, 96), ("layers.1", "layers.2")),
    ("coatnet_nano_rw_224", (64, 96), ("stages.1", "stages.2")),
    ("hiera_tiny_224", (224, 224), ("blocks.2", "blocks.9")),
    ("mobilevit_xxs", (64, 96), ("stages.2", "stages.3")),
]


@pytest.mark.parametrize(("name", "size", "layers"), STAGES, ids=[one[0] for one in STAGES])
def test_maps_of_stages_are_timms(name: str, size: tuple[int, int], layers: tuple[str, ...]) -> None:
    backbone = load_backbone(name, layers, "random", CPU, size=size)
    own = of_timm(name)
    if hasattr(own, "set_input_size"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of timm's own interpolation
            own.set_input_size(img_size=size)
    blocks = [stage["module"] for stage in own.feature_info]
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = own.forward_intermediates(
            images, indices=[blocks.index(layer) for layer in layers], norm=layers[-1] == blocks[-1],
            intermediates_only=True,
        )  # fmt: skip
        for want, got in zip(expected, backbone(images), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_layers_come_in_the_order_asked_for() -> None:
    backbone = load_backbone("vit_tiny_patch16_224", ("blocks.7", "blocks.2"), "random", CPU, size=(32, 32))
    images = torch.ones(1, 3, 32, 32)
    with torch.inference_mode():
        late, early = backbone(images)
        maps = backbone.network(images)
    assert torch.equal(late, maps["blocks.7"])
    assert torch.equal(early, maps["blocks.2"])


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vit_base_patch14_dinov2", ("blocks.11",)),
        ("vit_large_patch16_dinov3", ("blocks.5", "blocks.11", "blocks.17", "blocks.23")),
        ("vit_tiny_patch16_224", ("blocks.5", "blocks.8")),
        ("swin_tiny_patch4_window7_224", ("layers.1", "layers.2")),
        ("maxvit_rmlp_pico_rw_256", ("stages.1", "stages.2")),
    ],
)
def test_each_family_has_its_usual_blocks(name: str, layers: tuple[str, ...]) -> None:
    assert default_layers(name) == layers


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        (
            "vit_small_patch14_dinov2",
            (256, 280),
            "multiples of 14 pixels, the nearest of which are 252x280, 266x280",
        ),
        ("vit_tiny_patch16_224", (8, 32), "multiples of 16 pixels, the nearest of which are 16x32"),
        ("swin_tiny_patch4_window7_224", (240, 240), "multiples of 32 pixels, .* 224x224, 256x256"),
        ("hiera_tiny_224", (256, 256), "224x224 alone: its positions cannot be interpolated"),
    ],
)
def test_a_size_that_does_not_fit_names_those_that_do(name: str, size: tuple[int, int], said: str) -> None:
    with pytest.raises(InputError, match=rf"--size: got {size[0]}x{size[1]}, .*{name}' takes {said}$"):
        load_backbone(name, None, "random", CPU, size=size)


def test_a_wrong_block_lists_the_right_ones() -> None:
    with pytest.raises(InputError, match=r"no layer 'layer2', expected one of: blocks\.0, .*blocks\.11$"):
        load_backbone("vit_tiny_patch16_224", ("layer2",), "random", CPU, size=(32, 32))


def test_weights_of_a_file_give_the_same_maps_at_every_size(tmp_path: Path) -> None:
    """A file holds positions of the network's own size, and is known by what lies in it."""
    name, path = "vit_tiny_patch16_224", tmp_path / "vit.safetensors"
    safetensors.torch.save_file(timm.create_model(name, pretrained=False).state_dict(), path)
    small, large = (load_backbone(name, None, str(path), CPU, size=size) for size in ((32, 48), (64, 64)))
    assert small.weights_sha256 == large.weights_sha256
    with torch.inference_mode():
        assert [level.shape[2:] for level in small(torch.zeros(1, 3, 32, 48))] == [(2, 3), (2, 3)]


def test_weights_as_the_authors_of_dinov2_publish_them_are_the_same(tmp_path: Path) -> None:
    name, path = "vit_small_patch14_reg4_dinov2", str(tmp_path / "dinov2_vits14_reg4_pretrain.pth")
    state = of_timm(name).state_dict()
    published = {"mask_token": torch.ones(1, 384), "register_tokens": state.pop("reg_token")}
    no_position = torch.zeros(1, 1, 384)
    published |= state | {"pos_embed": torch.cat([no_position, state["pos_embed"]], dim=1)}
    torch.save(published, path)
    taken, wanted = (load_backbone(name, None, source, CPU, size=(28, 28)) for source in (path, "random"))
    assert taken.weights_sha256 == wanted.weights_sha256


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path, _: path, "do not fit backbone 'vit_tiny_patch16_224': .{1,203}$"),
        (lambda path, whole: path.write_bytes(whole[:-5000]), "cannot be read as a state dict: .*$"),
    ],
    ids=["of another network", "truncated"],
)
def test_weights_that_do_not_fit_say_so_in_one_line(
    tmp_path: Path, damage: Callable[[Path, bytes], object], said: str
) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(timm.create_model("lcnet_035", pretrained=False).state_dict(), path)
    damage(path, path.read_bytes())
    with pytest.raises(InputError, match=said) as raised:
        load_backbone("vit_tiny_patch16_224", None, str(path), CPU, size=(32, 32))
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_weights_that_timm_cannot_download_name_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match=r"vit_tiny_patch16_224': its weights cannot be downloaded by timm .*--weights$"
    ):
        load_backbone("vit_tiny_patch16_224", None, None, CPU, size=(32, 32))
