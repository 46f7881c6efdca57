"""What datasets are known by."""

from pathlib import Path
from typing import Any

import datasets as huggingface
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, ToTensor, v2

from lrbench.errors import DataError
from lrbench.tasks.dataset_fingerprint import dataset_fingerprint


def known_by(dataset: Any, version: str | None = None) -> str:
    return dataset_fingerprint(dataset, version)


class Files(Dataset[bytes]):
    def __init__(self, files: list[Path], **held: Any) -> None:
        self.files = files
        vars(self).update(held)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> bytes:
        return self.files[index].read_bytes()


def tree(folder: Path, size: int = 4) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((size, 4, 3), 9, np.uint8)).save(folder / name / "0.bmp")
    return folder


def test_content_is_what_tensors_are_known_by() -> None:
    one, other = TensorDataset(torch.zeros(3, 2)), TensorDataset(torch.ones(3, 2))
    assert known_by(one) == known_by(TensorDataset(torch.zeros(3, 2))) != known_by(other)
    assert known_by(Subset(one, [0])) != known_by(Subset(one, [1]))


def test_a_folder_of_images_is_known_by_relative_names_and_sizes(tmp_path: Path) -> None:
    one, moved, larger = (tree(tmp_path / name, size) for name, size in (("1", 4), ("2", 4), ("3", 5)))
    assert known_by(ImageFolder(one)) == known_by(ImageFolder(moved)) != known_by(ImageFolder(larger))
    (moved / "b" / "0.bmp").rename(moved / "b" / "1.bmp")
    assert known_by(ImageFolder(one)) != known_by(ImageFolder(moved))


def test_paths_of_ones_own_dataset_are_known_by_the_size_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("one")
    before = known_by(Files([tmp_path / "0"]))
    assert before == known_by(Files([tmp_path / "0"]))
    (tmp_path / "0").write_text("three")
    assert before != known_by(Files([tmp_path / "0"]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (v2.RandomCrop(8), v2.RandomCrop(9)),
        (Compose([ToTensor()]), Compose([ToTensor(), ToTensor()])),
        (v2.Compose([v2.Resize(8)]), v2.Compose([v2.Resize(8), v2.Normalize([0.5], [0.5])])),
        (lambda x: x + 1, lambda x: x + 2),
    ],
)
def test_another_transform_is_another_dataset(tmp_path: Path, one: Any, other: Any) -> None:
    folder = tree(tmp_path / "images")
    assert known_by(ImageFolder(folder, one)) == known_by(ImageFolder(folder, one))
    assert known_by(ImageFolder(folder, one)) != known_by(ImageFolder(folder, other))


def test_a_hugging_face_dataset_is_known_by_its_own_digest() -> None:
    made = [huggingface.Dataset.from_dict({"x": [1, 2, value]}) for value in (3, 3, 4)]
    assert known_by(made[0]) == known_by(made[1]) != known_by(made[2])
    assert known_by(made[0]) != known_by(made[0].select([0, 1]))


def test_a_version_stands_for_what_has_no_identity() -> None:
    dataset = Files([], held=iter([1]))
    with pytest.raises(DataError, match=r'cannot be fingerprinted.*give the data a version="'):
        known_by(dataset)
    assert known_by(dataset, "1") == known_by(Files([Path("x")]), "1") != known_by(dataset, "2")
