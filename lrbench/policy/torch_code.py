"""A policy as PyTorch code, to copy."""

from lrbench.errors import PolicyError
from lrbench.policy.policy import Policy

_CODE = """\
import torch

from lrbench.policy import parse
from lrbench.policy.torch_scheduler import PolicyLR

model = torch.nn.Linear(8, 2)  # your model
batches = [(torch.randn(4, 8), torch.randint(2, (4,))) for _ in range(10)]  # your DataLoader
epochs = 2

policy = parse({text!r})
optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)  # the scheduler sets the LR
scheduler = PolicyLR(optimizer, policy, steps=epochs * len(batches), steps_per_epoch=len(batches))

for epoch in range(epochs):
    for inputs, targets in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
"""

_OBSERVE = "    scheduler.observe(0.0)  # your validation metric, higher is better: the policy reacts to it\n"


def torch_code(policy: Policy) -> str:
    """Write a training loop in plain PyTorch that follows `policy`; it runs as it is.

    Raises:
        PolicyError: it is no policy.
    """
    if not isinstance(policy, Policy):
        raise PolicyError(f"torch_code takes a policy, not {policy!r}")
    return _CODE.format(text=policy.text) + (_OBSERVE if policy.reacts else "")
