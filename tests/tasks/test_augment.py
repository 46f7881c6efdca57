"""Augmentation: whole batches, drawn from the generator that is passed in."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lrbench.errors import TaskError
from lrbench.tasks import HorizontalFlip, RandomCrop
from lrbench.tasks.augment import Augmentation, augmentation_named

PHOTOS = torch.randint(0, 256, (64, 3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def draw(augment: Augmentation, batch: Tensor, seed: int) -> Tensor:
    return augment(batch, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("augment", [RandomCrop(2), HorizontalFlip()])
def test_the_same_seed_gives_the_same_batch_and_another_seed_another(augment: Augmentation) -> None:
    assert torch.equal(draw(augment, PHOTOS, 1), draw(augment, PHOTOS, 1))
    assert not torch.equal(draw(augment, PHOTOS, 1), draw(augment, PHOTOS, 2))


@pytest.mark.parametrize("augment", [RandomCrop(2), HorizontalFlip()])
def test_bytes_and_floats_are_changed_alike_and_keep_type_and_shape(augment: Augmentation) -> None:
    as_bytes, as_floats = draw(augment, PHOTOS, 3), draw(augment, PHOTOS.float(), 3)
    assert as_bytes.dtype == torch.uint8
    assert as_floats.dtype == torch.float32
    assert as_bytes.shape == PHOTOS.shape
    assert torch.equal(as_bytes.float(), as_floats)


@pytest.mark.parametrize("augment", [RandomCrop(2), HorizontalFlip()])
def test_the_batch_that_is_passed_in_and_torchs_own_generator_are_left_alone(augment: Augmentation) -> None:
    before, state = PHOTOS.clone(), torch.get_rng_state()
    draw(augment, PHOTOS, 4)
    assert torch.equal(PHOTOS, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_is_either_mirrored_or_left_as_it_is() -> None:
    flipped = draw(HorizontalFlip(), PHOTOS, 5)
    mirrored = [bool(torch.equal(new, old.flip(-1))) for new, old in zip(flipped, PHOTOS, strict=True)]
    same = [bool(torch.equal(new, old)) for new, old in zip(flipped, PHOTOS, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_the_probability_of_a_flip_goes_from_never_to_always() -> None:
    assert torch.equal(draw(HorizontalFlip(p=0), PHOTOS, 6), PHOTOS)
    assert torch.equal(draw(HorizontalFlip(p=1), PHOTOS, 6), PHOTOS.flip(-1))


@given(padding=st.integers(1, 5), seed=st.integers(0, 1000))
def test_a_crop_is_a_window_of_the_image_with_zeros_around_it(padding: int, seed: int) -> None:
    batch = PHOTOS[:3]
    for new, old in zip(draw(RandomCrop(padding), batch, seed), batch, strict=True):
        padded = torch.zeros(3, 8 + 2 * padding, 6 + 2 * padding, dtype=torch.uint8)
        padded[:, padding:-padding, padding:-padding] = old
        windows = [
            padded[:, top : top + 8, left : left + 6]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(torch.equal(new, window) for window in windows)


def test_crops_go_to_every_offset() -> None:
    markers = torch.zeros(500, 1, 3, 3)
    markers[:, :, 1, 1] = 1
    cropped = draw(RandomCrop(1), markers, 0)
    assert torch.all(cropped.sum(dim=0) > 0)


@pytest.mark.gpu
@pytest.mark.parametrize("augment", [RandomCrop(2), HorizontalFlip()])
def test_every_device_sees_the_same_augmentation(augment: Augmentation) -> None:
    assert torch.equal(draw(augment, PHOTOS.cuda(), 1).cpu(), draw(augment, PHOTOS, 1))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("RandomFlip", {}, "there is no augmentation named 'RandomFlip'"),
        ("HorizontalFlip", {"p": 1.5}, "p = 1.5 must be a probability"),
        ("HorizontalFlip", {"p": float("nan")}, "p = nan"),
        ("RandomCrop", {"padding": 0}, "padding = 0 must be an integer >= 1"),
        ("RandomCrop", {"padding": 2.5}, "padding = 2.5"),
        ("RandomCrop", {"size": 3}, "'RandomCrop' has no option 'size'; its options are padding"),
    ],
)
def test_bad_settings_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        augmentation_named(kind, options)
