"""One pass behind convolutions: what it may join; its kernel by Triton's interpreter, compiled, on a card."""

import dataclasses
from pathlib import Path

import pytest
import torch
import triton
from support.interpreted import interpreted
from torch import fx, nn
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inspectd.backends.cuda import fewer_passes as module
from inspectd.backends.cuda.fewer_passes import in_one_pass, with_fewer_passes
from inspectd.backends.cuda.one_pass import VECTOR, OnePass, by_torch
from inspectd.backends.cuda.one_pass_kernel import GROUPS, OPTIONS
from inspectd.backends.cuda.one_pass_kernel import one_pass as kernel
from inspectd.backends.cuda.one_pass_kernel import one_pass_padded as padded_kernel
from inspectd.model.backbones import load_backbone

CPU = torch.device("cpu")


def with_biases(network: nn.Module) -> None:
    """Biases that are not zero, as those of batch normalisations that learnt nothing are."""
    generator = torch.Generator().manual_seed(1)
    for one in network.modules():
        if isinstance(one, nn.Conv2d) and one.bias is not None:
            one.bias.data = 0.3 * torch.randn(one.bias.shape, generator=generator)


def passes(network: nn.Module) -> list[OnePass]:
    return [one for one in network.modules() if isinstance(one, OnePass)]


@pytest.mark.parametrize(
    ("name", "layers", "joined"),
    [
        ("resnet18", None, 13),
        (
            "wide_resnet50_2",
            None,
            40,
        ),  # of 43 convolutions three are added to by another, whose bias it takes
        ("efficientnet_lite0", None, 33),
        ("mobilenet_v3_small", ("features.3", "features.8"), 0),  # its blocks stay whole
        ("tf_mobilenetv3_small_minimal_100", ("blocks.1", "blocks.3"), 24),
        ("mobilenetv3_small_050", ("blocks.1", "blocks.3"), 36),
        ("convnext_tiny", ("features.1", "features.3"), 7),
        ("vgg11_bn", ("features.10", "features.17"), 5),
        ("densenet121", ("features.denseblock1", "features.denseblock2"), 19),
    ],
)
def test_a_backbone_gives_the_same_maps(name, layers, joined):
    backbone = load_backbone(name, layers, "random", CPU)
    with_biases(backbone.network)
    fewer = dataclasses.replace(backbone, network=in_one_pass(backbone.network))
    image = torch.randn((2, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = backbone(image.contiguous(memory_format=torch.channels_last))
        found = fewer(image.contiguous(memory_format=torch.channels_last))
        again = backbone(image.contiguous(memory_format=torch.channels_last))
    assert len(passes(fewer.network)) == joined
    for one, other, third in zip(expected, found, again, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))
        assert torch.equal(one, third)  # the network it was made of is as it was


def test_kinds_of_passes_are_those_that_a_network_has():
    resnet = in_one_pass(load_backbone("resnet18", None, "random", CPU).network)
    assert {one.kind for one in passes(resnet)} == {
        ("relu", False, False, False), ("relu", True, False, False), ("relu", True, True, False),
    }  # fmt: skip
    lite = in_one_pass(load_backbone("efficientnet_lite0", None, "random", CPU).network)
    padded = [one for one in passes(lite) if one.kind[3]]
    assert [one.kind for one in padded] == [("relu6", False, False, True)] * 3


@pytest.mark.parametrize("size", [(64, 96), (65, 33), (70, 46)])
def test_zeros_around_maps_are_those_of_the_convolution(size):
    backbone = load_backbone("efficientnet_lite0", None, "random", CPU)
    with_biases(backbone.network)
    fewer = dataclasses.replace(backbone, network=in_one_pass(backbone.network))
    image = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for memory_format in (torch.channels_last, torch.contiguous_format):
            given = image.contiguous(memory_format=memory_format)
            for one, other in zip(backbone(given), fewer(given), strict=True):
                torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


class Tricky(nn.Module):
    """Convolutions whose outputs, or what is added to them, others read; returned ones among them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d, self.e, self.f = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(6))
        self.narrow = nn.Conv2d(8, 1, 1)
        self.odd = nn.Conv2d(8, 5, 1)
        self.strange = _Doubled(8, 8, 1)
        self.relu = nn.ReLU(inplace=True)
        self.relu6 = nn.ReLU6()
        self.silu = nn.SiLU(inplace=True)
        self.same = nn.Identity()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self.a(x)  # returned, and read by an activation
        seen = self.relu6(first)
        second = self.b(seen)
        read = self.c(seen)
        changed = self.relu(second + 0.0)  # a number instead of a map
        total = torch.add(read, changed)
        total += self.d(total)  # in place, and its left side is no convolution
        doubled = self.e(total)
        doubled = doubled + doubled
        broad = self.same(self.f(doubled)) + self.narrow(doubled)  # of other shapes
        scaled = torch.add(self.a(broad), broad, alpha=2)
        kept = self.silu(self.b(scaled))
        small = self.relu(self.odd(kept))
        late = self.c(kept)  # reads what is changed in place afterwards
        over = self.relu(kept)
        both = self.relu(self.d(over) + self.e(over))
        return {
            "first": first, "second": second, "total": total, "broad": broad, "small": small,
            "late": late + over, "both": both, "strange": self.relu(self.strange(over)),
        }  # fmt: skip


class _Doubled(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_what_others_read_is_as_it_was(memory_format):
    torch.manual_seed(0)
    network = Tricky().eval().to(memory_format=memory_format)
    fewer = in_one_pass(fx.symbolic_trace(network, {}))
    image = torch.randn(2, 8, 6, 5).contiguous(memory_format=memory_format)
    with torch.inference_mode():
        expected, found = network(image), fewer(image)
    assert expected.keys() == found.keys()
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted, rtol=1e-5, atol=1e-5, msg=name)
    joined = passes(fewer)
    assert sum(one.other_bias is not None for one in joined) == 2  # `broad` and `both`
    assert not any(one.bias is network.strange.bias for one in joined)


def test_a_value_that_is_no_number_stays_none():
    network = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU6()).eval().to(memory_format=torch.channels_last)
    image = torch.randn(1, 8, 4, 4).contiguous(memory_format=torch.channels_last)
    image[0, :, 2, 3] = torch.nan
    with torch.inference_mode():
        found = in_one_pass(fx.symbolic_trace(network))(image)
    assert found[0, :, 2, 3].isnan().all()
    assert int(found.isnan().sum()) == 8


def as_on_a_card(monkeypatch, spoilt):
    """The trial on the CPU, where torch stands for the kernel."""
    monkeypatch.setattr(module, "missing_for_kernels", lambda _: None)
    monkeypatch.setattr(OnePass, "forward", spoilt(OnePass.forward))
    backbone = load_backbone("resnet18", ("layer1",), "random", CPU)
    with_biases(backbone.network)
    return backbone, with_fewer_passes(backbone, 64, 64)


def test_it_is_used_after_a_trial(monkeypatch):
    backbone, fewer = as_on_a_card(monkeypatch, lambda forward: forward)
    assert fewer.layers == backbone.layers
    assert len(passes(fewer.network)) == 5


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda values: values * 1.05, "wrong_result"),
        (lambda values: values * torch.nan, "wrong_result"),
        (lambda values: values.no_such, "not_compiled"),
    ],
)
def test_where_it_is_refused_the_backbone_stays_and_the_log_says_why(monkeypatch, caplog, wrong, reason):
    backbone, kept = as_on_a_card(
        monkeypatch, lambda forward: lambda self, *maps: wrong(forward(self, *maps))
    )
    assert kept is backbone
    (record,) = caplog.records
    assert record.getMessage() == "kernel_unavailable"
    assert (record.fields["kernel"], record.fields["reason"]) == ("one_pass", reason)


def test_off_a_card_nothing_changes():
    backbone = load_backbone("resnet18", ("layer1",), "random", CPU)
    assert with_fewer_passes(backbone, 64, 64) is backbone


def test_a_kernel_that_computes_otherwise_is_found(monkeypatch):
    kinds = {(name, adds, False, False) for name in ("none", "relu", "relu6") for adds in (False, True)}
    kinds |= {("relu", True, True, False), ("relu6", False, False, True)}
    assert module._wrong_values(torch.empty(0), kinds) is None
    monkeypatch.setattr(module, "by_torch", lambda *given: 1.01 * by_torch(*given))
    assert "other values than torch's" in module._wrong_values(torch.empty(0), kinds)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return interpreted(Path(__file__).with_name("one_pass_on_cpu.py"), tmp_path_factory)


def test_the_kernel_computes_what_torch_computes(found):
    assert len(found) == 120
    assert [case["case"] for case in found if case["different"]] == []
    assert sum(case["no_numbers"] for case in found) > 1000


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(("adds", "adds_bias"), [(False, False), (True, True)])
def test_it_compiles_for_cards_with_wide_loads_and_keeps_what_is_no_number(capability, adds, adds_bias):
    constants = {
        "adds": adds, "adds_bias": adds_bias, "low": True, "high": True,
        "groups_tile": GROUPS, "vector": VECTOR,
    }  # fmt: skip
    pointers = ["values", "bias", "other", "other_bias"]
    signature = {
        **dict.fromkeys(pointers, "*fp16"), "groups": "i32", "channel_groups": "i32",
        **dict.fromkeys(constants, "constexpr"),
    }  # fmt: skip
    values = {(list(signature).index(name),): value for name, value in constants.items()}
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(len(pointers))}
    source = ASTSource(kernel, signature, constexprs=values, attrs=aligned)
    ptx = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS).asm["ptx"]
    assert ptx.count("ld.global.v4.b32") == (4 if adds else 2)
    assert ptx.count("st.global.v4.b32") == 1
    assert "max.NaN" in ptx
    assert "min.NaN" in ptx


@pytest.mark.parametrize("capability", [80, 90])
def test_with_zeros_around_it_compiles_for_cards_with_wide_loads(capability):
    integers = ["groups", "channel_groups", "width", "height", "padded_width", "padded_height", "left", "top"]
    constants = {"low": True, "high": True, "groups_tile": GROUPS, "vector": VECTOR}
    signature = {
        **dict.fromkeys(("values", "bias", "padded"), "*fp16"), **dict.fromkeys(integers, "i32"),
        **dict.fromkeys(constants, "constexpr"),
    }  # fmt: skip
    values = {(list(signature).index(name),): value for name, value in constants.items()}
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(3)}
    source = ASTSource(padded_kernel, signature, constexprs=values, attrs=aligned)
    ptx = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS).asm["ptx"]
    assert (ptx.count("ld.global.v4.b32"), ptx.count("st.global.v4.b32")) == (2, 1)
    assert "max.NaN" in ptx


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "joined"), [("resnet18", 13), ("efficientnet_lite0", 33)])
def test_on_a_card_a_backbone_has_it_and_gives_the_same_maps(name, joined):
    backbone = load_backbone(name, None, "random", torch.device("cuda", 0))
    with_biases(backbone.network.cpu())
    backbone.network.cuda().half()
    fewer = with_fewer_passes(backbone, 96, 64)
    assert len(passes(fewer.network)) == joined
    image = torch.randn(3, 3, 96, 64).cuda().half().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for one, other in zip(backbone(image), fewer(image), strict=True):
            torch.testing.assert_close(other, one, rtol=0.01, atol=0.01 * float(one.abs().max()))
            assert fewer.network is not backbone.network
