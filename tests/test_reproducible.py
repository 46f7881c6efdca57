import torch

from lrbench.reproducible import deterministic


def test_torch_makes_tensors_and_records_gradients_as_before() -> None:
    before = torch.get_default_device()
    with deterministic():
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
    made = torch.ones(1, requires_grad=True) * 2
    assert (made.device, made.dtype, made.requires_grad) == (before, torch.float32, True)
