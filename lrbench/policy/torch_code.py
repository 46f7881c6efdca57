"""A policy as PyTorch code, to copy: without lrbench where every part of it is a closed form."""

from collections.abc import Iterator

from lrbench.errors import PolicyError
from lrbench.policy.policy import MAX_TEXT, Policy

_IMPORTS = "import torch\n"
_LRBENCH = "\nfrom lrbench.policy import parse\nfrom lrbench.policy.torch_scheduler import PolicyLR\n"
_LOOP = """
model = torch.nn.Linear(8, 2)  # your model
batches = [(torch.randn(4, 8), torch.randint(2, (4,))) for _ in range(10)]  # your DataLoader
epochs = 2
"""
_OPTIMIZER = "optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)  # the scheduler sets the LR\n"
_BUDGET = "steps, steps_per_epoch = epochs * len(batches), len(batches)\n"
_TOKENS = "tokens_per_step, parameters = 4 * 8, sum(weight.numel() for weight in model.parameters())  # of your text\n"
_LAMBDA = "scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lr)\n"
_POLICY = "scheduler = PolicyLR(optimizer, policy, steps=steps, steps_per_epoch=steps_per_epoch{})\n"
_OF_TOKENS = ", tokens_per_step=tokens_per_step, parameters=parameters"
_TRAIN = """
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

    The code of a closed form needs no lrbench; that of a reactive policy, and of a function of the user's own without
    `code`, does.

    Raises:
        PolicyError: it is no policy, or the LRs of a table are too many to write out.
    """
    return "".join(code_parts(policy))


def code_parts(policy: Policy) -> tuple[str, str, str]:
    """Split the code of `torch_code` into what is before that of the policy alone, that, and what is after it.

    Raises:
        PolicyError: as `torch_code`.
    """
    if not isinstance(policy, Policy):
        raise PolicyError(f"torch_code takes a policy, not {policy!r}")
    in_tokens = any("tok" in length for length in policy.relative)
    budget = _BUDGET + (_TOKENS if in_tokens else "")
    if _is_closed(policy):
        functions = "\n\n".join(_functions(policy, "lr"))
        if len(functions) > MAX_TEXT:
            raise PolicyError(f"{policy} has more LRs than can be written out as code")
        before = f"import math\n\n{_IMPORTS}{_LOOP}{budget}\n\n"
        return before, functions, f"\n\n{_OPTIMIZER}{_LAMBDA}{_TRAIN}"
    scheduler = _POLICY.format(_OF_TOKENS if in_tokens else "")
    after = f"\n{budget}{_OPTIMIZER}{scheduler}{_TRAIN}{_OBSERVE if policy.reacts else ''}"
    return f"{_IMPORTS}{_LRBENCH}{_LOOP}\n", f"policy = parse({policy.text!r})", after


def _is_closed(policy: Policy) -> bool:
    """Return whether the LR is known as Python; a subclass of the user's own may compute another one."""
    own = type(policy).__module__.startswith("lrbench.") or "code" in vars(type(policy))
    return bool(policy.code) and own and all(map(_is_closed, policy.parts))


def _functions(policy: Policy, name: str) -> Iterator[str]:
    """Write the functions of the parts of a policy and of the policy itself, in that order."""
    parts = [f"{name}_{number}" for number in range(1, len(policy.parts) + 1)]
    for part, called in zip(policy.parts, parts, strict=True):
        yield from _functions(part, called)
    lines = [f"# {policy.text}"]
    for parameter in policy.parameters:
        value = getattr(policy, parameter.name)
        code = parameter.kind.code(value)
        if parameter.role == "part":
            code = parts[0] if isinstance(value, Policy) else f"[{', '.join(parts)}]"
        lines.append(f"{parameter.name} = {code}")
    *others, last = policy.code.format(self=policy).splitlines()
    body = "".join(f"    {line}\n" for line in (*lines, *others, f"return {last}"))
    yield f"def {name}(t):\n{body}"
