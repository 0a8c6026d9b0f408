"""Float32 on a CUDA device is float32."""

from collections.abc import Iterator

import pytest
import torch

from inspectd.backends.cuda.device import choose_device
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline


@pytest.fixture
def as_torch_begins() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("as_torch_begins")
def test_float32_stays_float32_once_a_device_was_chosen() -> None:
    choose_device("cpu")  # on a CPU the switches matter to nothing
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.gpu
@pytest.mark.usefixtures("as_torch_begins")
def test_on_a_card_the_reference_has_the_error_of_float32() -> None:
    spec = Synthetic("resnet18", ("layer2", "layer3"), "random", "coarse", 96, 96, rows=50)
    extractor = synthetic_pipeline(spec, "cuda").extractor
    image = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    found = extractor.features(image.cuda()).cpu().double()
    expected = synthetic_pipeline(spec, "cpu").extractor.features(image).double()
    # TF32 keeps 10 bits and would be 1e-3 off.
    assert float((found - expected).norm() / expected.norm()) < 2e-5
