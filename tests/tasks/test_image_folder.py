"""A tree of a user's own images."""

import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lrbench.engine import advance, begin
from lrbench.errors import DataError, TaskError
from lrbench.tasks import RawData, load_data, load_task
from lrbench.tasks.make import read_dataset
from lrbench.tasks.registry import datasets

RNG = np.random.default_rng(0)


def write_image(path: Path, size: tuple[int, int] = (6, 5), colour: int | None = None) -> np.ndarray[Any, Any]:
    """A random (or one-coloured) RGB image of (width, height) pixels; its array [H, W, 3]."""
    shape = (size[1], size[0], 3)
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8) if colour is None else np.full(shape, colour, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            for i in range(3):
                write_image(tmp_path / "pets" / part / name / f"{i}.png", colour=100 * label + i)
    return tmp_path / "pets"


def load(tree: Path, **options: Any) -> RawData:
    entry = datasets.find("image_folder")
    return read_dataset(entry, entry.complete({"path": tree.name, **options}, "dataset"), tree.parent, download=False)


def test_classes_are_the_sorted_folders_and_images_the_sorted_files(tree: Path) -> None:
    raw = load(tree)
    assert raw.train.inputs.shape == (6, 3, 5, 6)
    assert raw.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert raw.train.inputs[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert raw.num_classes == 2
    assert raw.class_names == tuple(sorted(folder.name for folder in (tree / "train").iterdir()))


def test_pixels_are_read_channels_first(tree: Path) -> None:
    pixels = write_image(tree / "train" / "cat" / "0.png")
    np.testing.assert_array_equal(load(tree).train.inputs[0], pixels.transpose(2, 0, 1))


def test_grayscale_has_one_channel(tree: Path) -> None:
    raw = load(tree, grayscale=True)
    assert raw.train.inputs.shape == (6, 1, 5, 6)
    assert raw.train.inputs[3].unique().tolist() == [100]


def test_a_size_makes_images_of_mixed_sizes_equal(tree: Path) -> None:
    write_image(tree / "train" / "cat" / "0.png", size=(20, 9))
    assert load(tree, size=4).train.inputs.shape == (6, 3, 4, 4)


def test_resizing_keeps_proportions_and_crops_the_centre(tree: Path) -> None:
    path = tree / "train" / "cat" / "0.png"
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 200
    Image.fromarray(pixels).save(path)
    assert load(tree, size=4).train.inputs[0].unique().tolist() == [200]


def test_val_is_the_test_split_where_there_is_no_test(tree: Path) -> None:
    (tree / "test").rename(tree / "val")
    raw = load(tree)
    assert len(raw.test) == 6
    assert raw.val is None


def test_val_is_the_validation_split_where_there_is_a_test(tree: Path) -> None:
    write_image(tree / "val" / "dog" / "0.png")
    raw = load(tree)
    assert raw.val is not None
    assert raw.val.targets.tolist() == [1]


def test_other_files_and_hidden_ones_are_passed_over(tree: Path) -> None:
    (tree / "train" / "cat" / "notes.txt").write_text("x")
    (tree / "train" / "cat" / ".hidden.png").write_text("x")
    (tree / "train" / ".cache").mkdir()
    (tree / "test" / ".cache").mkdir()
    write_image(tree / "train" / "cat" / ".copies" / "0.png")
    assert len(load(tree).train) == 6


def test_a_new_image_is_seen_in_spite_of_the_cache(tree: Path) -> None:
    load(tree)
    write_image(tree / "train" / "cat" / "9.png")
    assert len(load(tree).train) == 7


def test_images_of_mixed_sizes_are_refused_naming_the_first_odd_one(tree: Path) -> None:
    odd = tree / "train" / "dog" / "1.png"
    write_image(odd, size=(7, 5))
    with pytest.raises(DataError, match=f"{odd} is 7x5 while the first train image is 6x5; give a size"):
        load(tree)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_an_unreadable_image_is_named(tree: Path, content: bytes | None) -> None:
    broken = tree / "test" / "cat" / "2.png"
    write_image(broken)
    broken.write_bytes(broken.read_bytes()[:60] if content is None else content)
    with pytest.raises(DataError, match=f"{broken} cannot be read as an image") as refusal:
        load(tree)
    assert "\n" not in str(refusal.value)


def test_a_file_of_another_format_is_not_opened_whatever_its_suffix(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghostscript = tree.parent / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tree.parent / 'ran'}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=os.pathsep)
    odd = tree / "train" / "cat" / "0.jpg"
    odd.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(DataError, match=f"{odd} cannot be read as an image"):
        load(tree)
    assert not (tree.parent / "ran").exists()


def test_an_image_of_a_format_that_is_allowed_may_have_the_suffix_of_another(tree: Path) -> None:
    (tree / "train" / "cat" / "0.png").rename(tree / "train" / "cat" / "0.jpg")
    assert load(tree).train.inputs[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]


@pytest.mark.parametrize("side", [10_000, 2**31 - 1])
def test_an_image_too_large_to_decode_is_named(tree: Path, side: int) -> None:
    bomb = tree / "test" / "dog" / "0.png"
    content = bytearray(bomb.read_bytes())
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    bomb.write_bytes(content)
    with warnings.catch_warnings(record=True) as warned, pytest.raises(DataError, match=f"{bomb} cannot .*bomb"):
        load(tree)
    assert not warned


def test_a_photograph_that_is_cut_short_is_named(tree: Path) -> None:
    broken = tree / "test" / "cat" / "2.jpg"
    write_image(broken, size=(60, 50))
    broken.write_bytes(broken.read_bytes()[:-500])
    with pytest.raises(DataError, match=f"{broken} cannot be read as an image .*truncated"):
        load(tree)


def test_a_class_that_train_does_not_have_is_refused(tree: Path) -> None:
    write_image(tree / "test" / "fox" / "0.png")
    (tree / "test" / ".cache").mkdir()
    with pytest.raises(DataError, match=r"the class fox in .*test does not exist in train"):
        load(tree)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_split_is_named(tree: Path, missing: str) -> None:
    (tree / missing).rename(tree / "elsewhere")
    with pytest.raises(DataError, match=f"needs the folders train and test \\(or val\\) in {tree}"):
        load(tree)


def test_a_tree_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"needs the folders train and test .* in {tmp_path / 'none'}"):
        load(tmp_path / "none")


def test_a_split_without_images_is_named(tree: Path) -> None:
    for image in (tree / "test").glob("*/*"):
        image.unlink()
    with pytest.raises(DataError, match=f"no images .* in {tree / 'test'}"):
        load(tree)


@pytest.mark.parametrize("size", [0, -1, 2.5, "32", True])
def test_a_bad_size_is_refused(tree: Path, size: object) -> None:
    with pytest.raises(DataError, match=r"size = .* must be an integer >= 1"):
        load(tree, size=size)


def test_an_unknown_option_is_refused(tree: Path) -> None:
    with pytest.raises(TaskError, match="no option 'sise' \\(did you mean 'size'\\?\\); its options are path, size"):
        load(tree, sise=3)


def test_images_of_different_sizes_are_decoded_on_the_fly_and_transformed(tree: Path) -> None:
    for i, size in enumerate([(9, 7), (12, 30), (5, 5)]):
        write_image(tree / "train" / "cat" / f"{i}.png", size)
    table = {
        "kind": "image_folder",
        "path": str(tree),
        "in_memory": False,
        "transforms": [{"kind": "RandomResizedCrop", "size": 4}, {"kind": "RandomHorizontalFlip"}],
        "eval_transforms": [{"kind": "Resize", "size": [4, 4]}],
    }
    task = load_task(
        {"dataset": table, "model": "mlp", "steps": 6, "batch_size": 2, "validation": 2, "stratified": True}
    )
    assert task.data.input_shape == (3, 4, 4)
    assert task.class_names == ("cat", "dog")
    _, seen = advance(task, begin(task, 0), np.full(6, 0.01))
    assert np.isfinite(seen[-1].val.loss)
    assert sorted(seen[-1].val.targets.tolist()) == [0, 1]
    resized = {**table, "transforms": [{"kind": "Resize", "size": [4, 4]}]}
    assert load_data(table).checksum == load_data(table).checksum != load_data(resized).checksum


def test_grayscale_images_that_are_decoded_on_the_fly_have_the_pixels_of_those_in_memory(tree: Path) -> None:
    stored = load(tree, grayscale=True, size=4)
    loaded = load(tree, grayscale=True, size=4, in_memory=False)
    assert torch.equal((loaded.train.first(6).inputs * 255).round().to(torch.uint8), stored.train.inputs)
    assert loaded.train.first(6).targets.tolist() == stored.train.targets.tolist()


def test_settings_of_decoding_on_the_fly_need_it_and_a_broken_file_is_named_where_it_is_read(tree: Path) -> None:
    with pytest.raises(DataError, match="are for images that are decoded on the fly: give in_memory = false"):
        load(tree, loader_workers=2)
    (tree / "train" / "dog" / "0.png").write_bytes(b"no image")
    raw = load(tree, size=4, in_memory=False)
    with pytest.raises(
        DataError, match=r"train sample 3 cannot be loaded: DataError: .*0.png cannot be read as an image"
    ):
        raw.train.first(6)
