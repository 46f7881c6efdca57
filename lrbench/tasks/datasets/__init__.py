"""The registered datasets, one noun a file; importing the package registers them all."""

from lrbench.tasks.datasets import cifar, image_folder, mnist, mnist1d, npz, svhn

__all__ = ["cifar", "image_folder", "mnist", "mnist1d", "npz", "svhn"]
