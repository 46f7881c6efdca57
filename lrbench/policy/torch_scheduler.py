"""PolicyLR: a policy as a torch learning-rate scheduler."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrbench.errors import PolicyError
from lrbench.policy.budget import read_number, read_whole
from lrbench.policy.kind import short_repr
from lrbench.policy.policy import Policy
from lrbench.policy.table import PolicyLike, policy_of


class PolicyLR(LRScheduler):
    """A scheduler that sets the LR of each parameter group from a policy.

    Call `step()` once an iteration, after `optimizer.step()`. A group gets the policy's LR times its ratio: the number
    that it has as `lr_ratio`, as in `AdamW([{"params": head, "lr_ratio": 10.0}, {"params": body, "lr_ratio": 1.0}])`,
    or else the ratio that its LR had to the first group's when the scheduler was built. So the policy's LR is that of
    the first group, unless it has another `lr_ratio`.

    The LR is a closed form of the iteration (and, for a reactive policy, of the values observed), so that these are the
    whole state, and loading it sets the LRs at once: optimizer and scheduler may be built and loaded in any order.

    It sets the LRs, whatever they were: in torch's ChainedScheduler a scheduler before it has no effect, and one after
    it changes the LR of one iteration alone. Compose policies instead.

    Args:
        optimizer: the optimizer whose LRs are set.
        policy: the policy, bound or not; or its text, a function of the iteration, or the LR of each iteration.
        steps: the budget in iterations; a policy with portable lengths needs it, and a function does.
        steps_per_epoch: iterations an epoch; a policy with lengths in epochs needs it.
        tokens_per_step, parameters: the tokens of an iteration, and the parameters of the model; lengths in tokens, and
            in tokens a parameter, need them.
        last_epoch: iterations done already, less 1; -1 to start. As in torch, the optimizer's groups need their
            `initial_lr` to resume; or load a state instead.

    Raises:
        PolicyError: the policy needs a budget that is not given, or a group has no ratio: its `lr_ratio` is no number
            of at least 0, or it has none and the first group's LR is not greater than 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        policy: PolicyLike,
        *,
        steps: int | None = None,
        steps_per_epoch: int | None = None,
        tokens_per_step: int | None = None,
        parameters: int | None = None,
        last_epoch: int = -1,
    ) -> None:
        self.policy = _bound(policy, steps, steps_per_epoch, tokens_per_step, parameters)
        self.history: list[tuple[int, float]] = []
        self._noted = [group.get("lr_ratio") for group in optimizer.param_groups]
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the LR of each group at the current iteration.

        Raises:
            PolicyError: the optimizer's groups are not those that the scheduler was built with, or there is no ratio to
                the first group's LR.
        """
        if len(self.base_lrs) != len(self.optimizer.param_groups):
            raise PolicyError(
                f"PolicyLR was built with {len(self.base_lrs)} parameter groups, and the optimizer has "
                f"{len(self.optimizer.param_groups)} now: add groups before building the scheduler"
            )
        lr = float(self.policy.lrs(self.last_epoch, self.last_epoch + 1, self.history)[0])
        return [lr * ratio for ratio in lr_ratios(self.base_lrs, self._noted)]

    def _get_closed_form_lr(self) -> list[float | Tensor]:
        return self.get_lr()

    def observe(self, value: float) -> None:
        """Give a reactive policy the validation metric after the iterations done so far.

        Args:
            value: higher is better; of a loss, give minus the loss.

        Raises:
            PolicyError: the value is no number, or this iteration has one already.
        """
        if self.history and self.history[-1][0] >= self.last_epoch:
            raise PolicyError(f"PolicyLR has a value for iteration {self.last_epoch} already")
        try:
            self.history.append((self.last_epoch, float(value)))
        except (TypeError, ValueError):
            raise PolicyError(f"PolicyLR observes a number, not {short_repr(value)}") from None
        self._set_lrs()

    def state_dict(self) -> dict[str, Any]:
        """Return the state in plain numbers: iterations done, the groups' LRs at the start, values observed."""
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": [float(lr) for lr in self.base_lrs],
            "history": [list(seen) for seen in self.history],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a `state_dict` and set the optimizer's LRs.

        Raises:
            PolicyError: it is no state of a PolicyLR, or of one with another number of groups.
        """
        last_epoch, base_lrs, history = _read_state(state_dict, None in self._noted)
        if len(base_lrs) != len(self.optimizer.param_groups):
            raise PolicyError(
                f"this state of PolicyLR has {len(base_lrs)} parameter groups, "
                f"the optimizer has {len(self.optimizer.param_groups)}"
            )
        self.last_epoch, self.base_lrs, self.history = last_epoch, list(base_lrs), history
        self._step_count = last_epoch + 1
        self._set_lrs()

    def _set_lrs(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self._last_lr = [
            group["lr"].clone() if isinstance(group["lr"], Tensor) else group["lr"]
            for group in self.optimizer.param_groups
        ]


def lr_ratios(lrs: Sequence[float | Tensor], noted: Sequence[float | None]) -> list[float]:
    """Return the ratio of each parameter group's LR to the policy's.

    Args:
        lrs: the LR of each group.
        noted: the `lr_ratio` of each group; None: the ratio of its LR to the first group's.

    Raises:
        PolicyError: an `lr_ratio` is no number of at least 0, or there is none and the first LR is not greater than 0.
    """
    first, ratios = float(lrs[0]), [read_number(ratio) for ratio in noted]
    for given, ratio in zip(noted, ratios, strict=True):
        if given is None and first <= 0.0:
            raise PolicyError(
                f"a parameter group without lr_ratio needs the first group's LR to be above 0, not {first}"
            )
        if given is not None and (ratio is None or ratio < 0):
            raise PolicyError(f"a parameter group has lr_ratio = {short_repr(given)}, and it must be a number >= 0")
    return [float(lr) / first if ratio is None else ratio for lr, ratio in zip(lrs, ratios, strict=True)]


def _bound(given: PolicyLike, steps: int | None, steps_per_epoch: int | None, *tokens: int | None) -> Policy:
    policy = policy_of(given, steps)
    if steps is None:
        if policy.is_bound:
            return policy
        waiting = ", ".join(policy.relative[:3])
        raise PolicyError(f"PolicyLR needs steps=..., the budget in iterations, for {waiting}")
    if steps_per_epoch is None:
        if any(text.endswith("ep") for text in policy.relative):
            raise PolicyError(f"PolicyLR needs steps_per_epoch=..., for {', '.join(policy.relative[:3])}")
        steps_per_epoch = steps
    return policy.bind(steps, steps_per_epoch, *tokens)


def _read_state(state: Mapping[str, Any], needs_first: bool) -> tuple[int, list[float], list[tuple[int, float]]]:
    try:
        position, given = read_whole(state["last_epoch"]), [read_number(lr) for lr in state["base_lrs"]]
        base_lrs = [lr for lr in given if lr is not None]
        history = [(int(step), float(value)) for step, value in state["history"]]
        known = len(base_lrs) == len(given) and (base_lrs[0] > 0.0 or not needs_first)
        if position is not None and position >= 0 and known:
            return position, base_lrs, history
    except (LookupError, TypeError, ValueError, OverflowError):
        pass
    raise PolicyError(f"{short_repr(state)} is no state of a PolicyLR")
