"""The registered models: small networks written here, and torchvision's with stems for small images."""

from lrbench.tasks.models import mlp as _mlp

__all__: list[str] = []

del _mlp
