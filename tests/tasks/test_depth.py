from torch import nn
from torchvision.models import resnet18, vit_b_16

from lrbench.tasks.depth import layers_of


class Block(nn.Module):
    """A block with a list inside, which is still one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.way = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(nn.Linear(4, 1).weight.detach())
        self.embedding = nn.Embedding(3, 4)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(4)


def test_each_layer_of_a_sequential_has_the_normalisation_behind_it() -> None:
    network = nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2)
    )
    assert layers_of(network) == [
        ["0.weight", "0.bias", "1.weight", "1.bias"],
        ["3.0.weight", "3.0.bias"],
        ["4.weight", "4.bias"],
    ]


def test_the_blocks_of_an_encoder_are_layers_also_where_it_is_a_backbone_under_a_head() -> None:
    for network in (nn.Sequential(Encoder(), nn.Linear(4, 2)), nn.ModuleDict({"0": Encoder(), "1": nn.Linear(4, 2)})):
        first, *blocks, head = layers_of(network)
        assert first == ["0.embedding.weight", "0.position"]
        assert [{name.split(".way")[0] for name in block[:4]} for block in blocks] == [{"0.blocks.0"}, {"0.blocks.1"}]
        assert blocks[-1][4:] == ["0.norm.weight", "0.norm.bias"]
        assert head == ["1.weight", "1.bias"]


def test_networks_of_torchvision_have_a_layer_for_each_block() -> None:
    ends = [layer[-1].rpartition(".")[0] for layer in layers_of(resnet18())]
    blocks = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    assert [end.startswith(name) for end, name in zip(ends, ["bn1", *blocks, "fc"], strict=True)] == [True] * 10
    vit = layers_of(vit_b_16())
    assert len(vit) == 1 + 12 + 1
    assert {"conv_proj.weight", "class_token"} <= set(vit[0])
    assert "encoder.pos_embedding" in vit[1]


def test_every_parameter_is_in_one_layer() -> None:
    for network in (resnet18(), vit_b_16(), nn.Linear(2, 2), nn.Sequential(Encoder(), nn.Linear(4, 2)), Encoder()):
        names = [name for layer in layers_of(network) for name in layer]
        assert sorted(names) == sorted(name for name, _ in network.named_parameters())
