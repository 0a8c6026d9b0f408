import torch
from torch import fx, nn

from inspectd.model.backbones import fuse_batch_norm


class Branching(nn.Module):
    """A convolution that feeds its batch normalisation and something else besides."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x)
        return self.bn2(self.conv2(self.bn1(y) + y))


def test_the_folded_network_maps_alike() -> None:
    torch.manual_seed(0)
    network = Branching()
    for _ in range(3):
        network(torch.rand(4, 3, 8, 8) * 5)  # gives the normalisations statistics of their own
    network.eval()
    images = torch.rand(2, 3, 8, 8)
    with torch.inference_mode():
        expected = network(images)
        folded = fuse_batch_norm(fx.symbolic_trace(network))
        torch.testing.assert_close(folded(images), expected, rtol=1e-5, atol=1e-6)
    kinds = [type(module) for module in folded.modules()]
    assert kinds.count(nn.BatchNorm2d) == 1  # the one whose convolution others read stays
