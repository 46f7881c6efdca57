"""The layers of any network, in order, for learning rates that decay from layer to layer."""

from collections.abc import Sequence

from torch import nn

FOLLOWERS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.PReLU,
)
"""Normalisations and activations: they belong to the layer before them, whatever parameters they have."""

LISTS = (nn.Sequential, nn.ModuleList)


def layers_of(network: nn.Module) -> Sequence[Sequence[str]]:
    """List the names of the parameters of each layer, from the input to the output.

    ELECTRA and BEiT say what a layer is by the names in their own networks. For any network this rule is ours: the
    layers are the children of the network that have parameters, in the order in which they were registered. An
    `nn.Sequential` or `nn.ModuleList` counts as its members, to any depth, and so does every other module that has a
    list of blocks (modules with children of their own) somewhere inside, such as an encoder or a backbone; but a member
    of a list below the network itself is one layer. A normalisation belongs to the layer before it, and a parameter
    that a module of several layers has itself, such as an embedding of positions, to the first of them.
    """
    layers: list[list[str]] = []

    def visit(module: nn.Module, path: str) -> None:
        first = len(layers)
        for name, child in module.named_children():
            names = [inside for inside, _ in child.named_parameters(f"{path}{name}")]
            if isinstance(child, LISTS) or (_has_blocks(child) and not (path and isinstance(module, LISTS))):
                visit(child, f"{path}{name}.")
            elif names and isinstance(child, FOLLOWERS) and layers:
                layers[-1] += names
            elif names:
                layers.append(names)
        own = [f"{path}{name}" for name, _ in module.named_parameters(recurse=False)]
        if own and len(layers) == first:
            layers.append([])
        if own:
            layers[first] += own

    visit(network, "")
    return layers


def _has_blocks(module: nn.Module) -> bool:
    """Whether a module has a list of modules with children of their own somewhere inside."""
    lists = (inside for inside in module.modules() if isinstance(inside, LISTS))
    return any(next(member.children(), None) is not None for members in lists for member in members)
