"""Any other classification network of torchvision, as it is."""

from torch import nn

from lrbench.errors import TaskError, did_you_mean
from lrbench.tasks.registry import register_model

WITHOUT_AUXILIARY_OUTPUTS = {"aux_logits": False, "init_weights": False}


@register_model("torchvision", version=1)
def torchvision_model(input_shape: tuple[int, ...], num_classes: int, *, name: str) -> nn.Module:
    """Any torchvision classifier by name, untrained and unchanged; option name, or written torchvision:NAME."""
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise TaskError(f"torchvision has no classification model '{name}'{did_you_mean(name, names)}")
    options = WITHOUT_AUXILIARY_OUTPUTS if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    return network
