"""The registered models; importing the package registers them all.

Every network written here is `nn.Sequential(features=nn.Sequential(unit, unit, ...), head=...)`: `features` are its
ordered units (a convolution with its normalisation, nonlinearity and pooling; a whole residual block), each of which
reads only the output of the one before it. So a network can be cut after any unit.
"""

from lrbench.tasks.models import cifar_resnet, cnn3, conv1d, googlenet, lenet, mlp, resnet, torchvision_model, vgg

__all__ = ["cifar_resnet", "cnn3", "conv1d", "googlenet", "lenet", "mlp", "resnet", "torchvision_model", "vgg"]
