"""Layers that torch does not have."""

from torch import Tensor, nn
from torch.nn import functional as F


class Scale(nn.Module):
    """x * factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return str(self.factor)


class WithinChannelLRN(nn.Module):
    """Caffe's local response normalisation within a channel: x * (1 + alpha * mean of x^2 over size x size)^-beta.

    The mean counts the zero padding at the border. Source: BVLC/caffe, `src/caffe/layers/lrn_layer.cpp`,
    WithinChannelForward; the numbers are cifar10_full's. (torch's LocalResponseNorm is across channels.)
    """

    def __init__(self, size: int = 3, alpha: float = 5e-5, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        energy = F.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2)
        return x * (1 + self.alpha * energy).pow(-self.beta)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}"
