import pytest

from lrbench.imports.direction import better_by_name


@pytest.mark.parametrize("name", ["val_loss", "validation/loss", "eval/perplexity", "top1_error", "bpb", "valLoss"])
def test_losses_and_errors_are_better_when_lower(name: str) -> None:
    assert better_by_name(name) == "lower"


@pytest.mark.parametrize("name", ["accuracy", "val_acc", "test/f1", "BLEU", "mean_average_precision", "top1"])
def test_accuracies_are_better_when_higher(name: str) -> None:
    assert better_by_name(name) == "higher"


@pytest.mark.parametrize("name", ["lr", "", "flossing", "value"])
def test_other_names_do_not_say(name: str) -> None:
    assert better_by_name(name) is None
