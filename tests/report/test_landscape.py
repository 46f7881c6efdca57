from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lrbench.policy import parse
from lrbench.report.landscape import MOMENTUM, POLICIES, START, STEPS, gradient, landscape_animation, loss, path
from tests.present import present

Point = torch.Tensor


def in_torch(point: Point) -> Point:
    """The loss as LRBench writes it, with torch."""

    def well(x_mean: float, y_mean: float, sig: float) -> Point:
        away = (point[0] - x_mean) ** 2 + (point[1] - y_mean) ** 2
        return torch.exp(-away / (2 * sig**2)) / (2 * np.pi * sig * sig)

    x, y = point
    hills = -torch.sin(x * x) * torch.cos(3 * y * y) * torch.exp(-(x * y) * (x * y)) - 2.5 * torch.exp(-((x + y) ** 2))
    return hills - well(1.0, -0.5, 0.25) - well(-1.0, 0.5, 0.2)


@pytest.mark.parametrize("at", [START, (-1.0, 0.5), (0.9, -0.6), (0.1, 1.4)])
def test_loss_and_gradient_are_those_of_autograd(at: tuple[float, float]) -> None:
    point = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    height = in_torch(point)
    height.backward()

    assert float(loss(*at)) == pytest.approx(height.item())
    np.testing.assert_allclose(gradient(*at), present(point.grad).numpy(), atol=1e-12)


@pytest.mark.parametrize("name", POLICIES)
def test_the_way_is_that_of_torch_sgd(name: str) -> None:
    lrs = parse(POLICIES[name]).lrs(0, STEPS)
    point = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([point], lr=1.0, momentum=MOMENTUM, nesterov=True)
    seen = [point.detach().clone().numpy()]
    for lr in lrs:
        optimizer.param_groups[0]["lr"] = float(lr)
        optimizer.zero_grad()
        in_torch(point).backward()
        optimizer.step()
        seen.append(point.detach().clone().numpy())

    np.testing.assert_allclose(path(lrs)[:20], seen[:20], rtol=1e-6, atol=1e-6)
    assert len(path(lrs)) == STEPS + 1


def test_the_animation_is_small_and_moves_from_the_start_to_the_end() -> None:
    picture = landscape_animation()

    assert len(picture) < 300_000
    film: Any = Image.open(BytesIO(picture))
    seen = []
    for place in range(film.n_frames):
        film.seek(place)
        seen.append(film.convert("RGB").tobytes())
    assert len(set(seen)) == STEPS // 2 + 1
