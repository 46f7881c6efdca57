"""Transforms by name."""

import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from lrbench.errors import TaskError
from lrbench.tasks.transforms import transforms_of


def test_names_and_tables_become_transforms_in_order() -> None:
    given = [
        {"kind": "Resize", "size": [6, 6], "interpolation": "nearest"},
        {"kind": "RandomApply", "transforms": [{"kind": "RandomHorizontalFlip", "p": 1.0}], "p": 1.0},
        "RandomVerticalFlip",
        {"kind": "ToDtype", "dtype": "float32", "scale": True},
    ]
    made = transforms_of("transforms", given)
    resize, apply, flip, _ = made.transforms
    assert resize.interpolation is InterpolationMode.NEAREST
    assert isinstance(apply.transforms[0], v2.RandomHorizontalFlip)
    assert isinstance(flip, v2.RandomVerticalFlip)
    image = made(torch.full((3, 4, 4), 255, dtype=torch.uint8))
    assert image.shape == (3, 6, 6)
    assert image.max() == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("Resize", "must be a list"),
        ([5], "5 must be a name or a table with a kind"),
        (["RandomCorp"], r"no transform 'RandomCorp' in torchvision.transforms.v2 \(did you mean 'RandomCrop'\?\)"),
        (["os"], "there is no transform 'os'"),
        ([{"kind": "Lambda", "lambd": "print"}], "there is no transform 'Lambda'"),
        ([{"kind": "Resize", "sise": 3}], r"Resize has no option 'sise' \(did you mean 'size'\?\)"),
        (["Resize"], "Resize cannot be made: TypeError: .*'size'"),
        ([{"kind": "RandomHorizontalFlip", "p": 2}], "RandomHorizontalFlip cannot be made: ValueError"),
        ([{"kind": "ToDtype", "dtype": "float33"}], "dtype = 'float33' must be a type of torch"),
        ([{"kind": "Resize", "size": 3, "interpolation": "cubical"}], "interpolation = 'cubical' is none of nearest"),
    ],
)
def test_other_names_and_settings_are_refused_in_a_sentence(given: object, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        transforms_of("transforms", given)
