"""A user's own images: a folder a class, decoded once, or whenever an image is asked for."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrbench.errors import DataError, one_line
from lrbench.files import user_path
from lrbench.tasks.raw_data import RawData
from lrbench.tasks.registry import register_dataset
from lrbench.tasks.split import Split

if TYPE_CHECKING:
    from PIL.Image import Image

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
"""The formats of these suffixes; Pillow would start another program for some others, whatever the suffix."""


def image_folder_files(root: Path, *, download: bool, path: str = ".", **options: Any) -> tuple[Path, ...]:
    """List every image of the tree, in the order in which it is read."""
    tree = root / user_path(path)
    classes = class_names(tree / "train")
    return tuple(file for part in parts(tree) for file, _ in labelled_files(tree / part, classes))


@register_dataset("image_folder", version=1, sources=image_folder_files)
def image_folder(
    root: Path,
    download: bool,
    *,
    path: str = ".",
    size: int | None = None,
    grayscale: bool = False,
    in_memory: bool = True,
    transforms: Sequence[Any] = (),
    eval_transforms: Sequence[Any] = (),
    loader_workers: int = 0,
) -> RawData:
    """A tree train/<class>/*.jpg and test/<class>/* (or val/) of your own images, in memory or decoded on the fly.

    `path` is relative to the data root (or absolute). With `size` (pixels) every image is resized and its centre
    cropped to size x size; without, all must have one size. Where both `test` and `val` exist, `val` is the
    validation split; where only `val` does, it is the test split.

    With `in_memory=False` an image is decoded whenever it is asked for, by `loader_workers` processes if not 0. There
    `transforms` of torchvision change train images, and `eval_transforms` those of evaluations: lists of names, or of
    tables of `kind` and settings. What they leave as bytes is scaled to 0..1.

    Raises:
        DataError: a folder is missing, or a file is unreadable or has another size.
        TaskError: a transform cannot be used.
    """
    if type(in_memory) is not bool:
        raise DataError(f"dataset 'image_folder': in_memory = {in_memory!r} must be true or false")
    if in_memory and (transforms or eval_transforms or loader_workers):
        raise DataError(
            "dataset 'image_folder': transforms, eval_transforms and loader_workers are for images that are decoded "
            "on the fly: give in_memory = false"
        )
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise DataError(f"dataset 'image_folder': size = {size!r} must be an integer >= 1 (pixels)")
    tree = root / user_path(path)
    classes = class_names(tree / "train")
    files = {part: labelled_files(tree / part, classes) for part in parts(tree)}
    if not in_memory:
        from lrbench.tasks.transforms import transforms_of

        changes = [
            transforms_of(f"dataset 'image_folder': {n}", v)
            for n, v in (("transforms", transforms), ("eval_transforms", eval_transforms))
        ]

        def images(part: str, transform: Callable[[Tensor], Tensor]) -> ImageFiles:
            return ImageFiles(tree, files[part], size, grayscale, transform)

        held_out = images("val", changes[1]) if "val" in files and "test" in files else None
        return RawData.of_datasets(
            images("train", changes[0]),
            images("test" if "test" in files else "val", changes[1]),
            held_out,
            train_evaluated=images("train", changes[1]),
            class_names=classes,
            loader_workers=loader_workers,
        )
    first_size = _decode(files["train"][0][0], size, grayscale).size
    splits = {part: _read(members, size, grayscale, first_size) for part, members in files.items()}
    test = splits.get("test", splits.get("val"))
    assert test is not None
    val = splits.get("val") if "test" in splits else None
    return RawData(splits["train"], test, len(classes), val, tuple(classes))


class ImageFiles(Dataset[tuple[Tensor, int]]):
    """Images that are decoded when they are asked for: float32 [C, H, W] unless the transform gives another type."""

    def __init__(
        self,
        root: Path,
        files: Sequence[tuple[Path, int]],
        size: int | None,
        grayscale: bool,
        transform: Callable[[Tensor], Tensor],
    ) -> None:
        self.root = root
        self.files = [str(file) for file, _ in files]
        self.targets = [label for _, label in files]
        self.size = size
        self.grayscale = grayscale
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        decoded = np.array(_decode(Path(self.files[index]), self.size, self.grayscale))
        image = self.transform(torch.from_numpy(np.atleast_3d(decoded)).permute(2, 0, 1).contiguous())
        return image.float() / 255 if image.dtype == torch.uint8 else image, self.targets[index]


def parts(tree: Path) -> tuple[str, ...]:
    """List the splits of a tree: train, and test or val or both."""
    present = tuple(part for part in ("train", "val", "test") if (tree / part).is_dir())
    if "train" not in present or len(present) == 1:
        raise DataError(f"dataset 'image_folder' needs the folders train and test (or val) in {tree}")
    return present


def class_names(split: Path) -> list[str]:
    """List the classes of a split: its folders, sorted, without hidden ones."""
    if not split.is_dir():
        raise DataError(f"dataset 'image_folder' needs the folders train and test (or val) in {split.parent}")
    return sorted(entry.name for entry in split.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def labelled_files(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """List the image files below the class folders of one split with their labels, sorted by class and name."""
    unknown = [name for name in class_names(folder) if name not in classes]
    if unknown:
        raise DataError(f"dataset 'image_folder': the class {unknown[0]} in {folder} does not exist in train")
    files = [(file, label) for label, name in enumerate(classes) for file in _images_below(folder / name)]
    if not files:
        raise DataError(f"dataset 'image_folder': no images <class>/*.jpg (or .png, ...) in {folder}")
    return files


def _images_below(folder: Path) -> list[Path]:
    """List the images of a class, without hidden files and what hidden folders have."""
    names: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = (name for name in folders if not name.startswith("."))  # those that are walked next
        names += (os.path.join(place, name) for name in files if not name.startswith("."))
    return [path for path in map(Path, sorted(names)) if path.suffix.lower() in EXTENSIONS]


def _read(files: Sequence[tuple[Path, int]], size: int | None, grayscale: bool, expected: tuple[int, int]) -> Split:
    width, height = expected
    images = np.empty((len(files), height, width, 1 if grayscale else 3), np.uint8)
    for i, (file, _) in enumerate(files):
        image = _decode(file, size, grayscale)
        if image.size != expected:
            raise DataError(
                f"dataset 'image_folder': {file} is {image.width}x{image.height} while the first train image is "
                f"{width}x{height}; give a size to resize them all"
            )
        images[i] = np.asarray(image).reshape(images.shape[1:])
    labels = torch.tensor([label for _, label in files])
    return Split(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels)


def _decode(file: Path, size: int | None, grayscale: bool) -> "Image":
    from PIL import Image, ImageOps

    # Pillow warns of an image of over 90 million pixels, and refuses one of twice as many: both are refused here.
    refused = warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
    try:
        with refused, Image.open(file, formats=FORMATS) as opened:
            image = opened.convert("L" if grayscale else "RGB")
    except Exception as error:
        raise DataError(f"dataset 'image_folder': {file} cannot be read as an image ({one_line(error)})") from error
    return image if size is None else ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
