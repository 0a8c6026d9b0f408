from pathlib import Path

import pytest
import timm
import torch
import torchvision

from inspectd.errors import InputError
from inspectd.model.backbones import load_backbone

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def resnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


def test_the_packaged_backbone_yields_its_levels() -> None:
    backbone = load_backbone("efficientnet_lite0", ("blocks.1", "blocks.2", "blocks.4"), None, CPU)
    with torch.inference_mode():
        maps = backbone(torch.zeros(2, 3, 64, 96))
    assert [tuple(level.shape) for level in maps] == [(2, 24, 16, 24), (2, 40, 8, 12), (2, 112, 4, 6)]
    assert backbone.weights == "packaged"
    assert len(backbone.weights_sha256) == 64


def test_the_packaged_weights_see_edges() -> None:
    """Real ImageNet weights tell a textured image from a flat one; random ones hardly do."""
    backbone = load_backbone("efficientnet_lite0", ("blocks.4",), None, CPU)
    checkers = torch.ones(1, 3, 64, 64)
    checkers[..., ::8, :] = -1
    with torch.inference_mode():
        flat, textured = backbone(torch.zeros(1, 3, 64, 64))[0], backbone(checkers)[0]
    assert (flat - textured).abs().mean() > 0.1


def test_a_torchvision_model_is_cut_at_its_layers(resnet_weights: Path) -> None:
    backbone = load_backbone("resnet18", ("layer2", "layer3"), str(resnet_weights), CPU, size=(60, 64))
    whole = torchvision.models.resnet18(weights=None).eval()
    whole.load_state_dict(torch.load(resnet_weights, weights_only=True))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        level2 = whole.layer2(whole.layer1(whole.maxpool(whole.relu(whole.bn1(whole.conv1(images))))))
        maps = backbone(images)
    torch.testing.assert_close(maps[0], level2, rtol=1e-4, atol=1e-5)
    assert backbone.mean == (0.485, 0.456, 0.406)


def test_a_wrong_layer_lists_the_right_ones(resnet_weights: Path) -> None:
    with pytest.raises(InputError, match=r"no layer 'layer9'.*layer1.*layer4"):
        load_backbone("resnet18", ("layer9",), str(resnet_weights), CPU)


def test_an_unknown_backbone_says_what_there_is() -> None:
    with pytest.raises(InputError, match=r"unknown backbone 'vgg99'.*efficientnet_lite0.*torchvision"):
        load_backbone("vgg99", None, None, CPU)


def test_weights_of_another_network_are_refused(resnet_weights: Path) -> None:
    with pytest.raises(InputError, match=r"do not fit backbone 'resnet34'"):
        load_backbone("resnet34", None, str(resnet_weights), CPU)


def test_a_backbone_without_usual_layers_asks_for_them(tmp_path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "s.pth")
    with pytest.raises(InputError, match="--layers"):
        load_backbone("squeezenet1_1", None, str(tmp_path / "s.pth"), CPU)


def test_a_timm_model_is_found_by_its_name(tmp_path: Path) -> None:
    torch.save(timm.create_model("lcnet_035", pretrained=False).state_dict(), tmp_path / "lcnet.pth")
    backbone = load_backbone("lcnet_035", ("blocks.2",), str(tmp_path / "lcnet.pth"), CPU)
    with torch.inference_mode():
        (level,) = backbone(torch.zeros(1, 3, 64, 64))
    assert level.shape[2:] == (8, 8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(resnet_weights: Path, tmp_path: Path, value: float) -> None:
    state = torch.load(resnet_weights, weights_only=True)
    state["layer1.0.conv1.weight"][0, 0] = value
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        InputError, match=r"w\.pth: layer1\.0\.conv1\.weight holds values that are not finite"
    ):
        load_backbone("resnet18", ("layer1",), str(tmp_path / "w.pth"), CPU)
