"""Learning rates that change from step to step: warm-up, then constant, linear or cosine.

    scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=100, num_training_steps=1000)
    for batch in batches:
        ...
        optimizer.step()
        scheduler.step()

A schedule is a function: number of steps taken -> factor.  `LambdaLR` multiplies the rate that each group started with
by that factor.  With a warm-up the factor of step 0 is 0, so that the first update leaves the parameters as they are.

Two linear forms are in use, and they are not the same:

    reference library   1 - (t - W) / (T - W)   from W on: the decay is counted from the end of the warm-up
    Google's BERT       1 - t / T               from W on: the decay is counted from step 0, so that the rate jumps
                                                down from 1 to 1 - W/T where the warm-up ends

for step t, W warm-up steps and T steps in all.  At T = 1000, W = 100 and a rate of 1e-4, step 100 has 1e-4 or 9e-5,
step 550 has 5e-5 or 4.5e-5.

Here: the schedules, under the names of the reference library.  Read next: `optimizers.py`, if you have not yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .optimizers import Optimizer

Factor = Callable[[int], float]  # number of steps taken -> what the initial rate is multiplied by


class LambdaLR:
    """Sets the rate of each group to `initial_lr` times a function of the number of steps taken.

    Making one writes `group["initial_lr"]`, unless it is there, and `group["lr"]` for step 0.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : function of an int, or one for each group
    last_epoch : int
        Steps taken already, less one as in torch: -1 for a start from the beginning.

    Raises
    ------
    ValueError
        If there are several functions, but not one for each group.
    KeyError
        If `last_epoch` continues a schedule that no group knows of.

    Examples
    --------
    >>> import numpy as np
    >>> from bert_numpy.nn import Parameter
    >>> from bert_numpy.training import SGD
    >>> optimizer = SGD([Parameter(np.zeros(2))], lr=0.1)
    >>> scheduler = LambdaLR(optimizer, lambda step: 0.5**step)
    >>> scheduler.step(); scheduler.step()
    >>> scheduler.get_last_lr(), optimizer.param_groups[0]["lr"]
    ([0.025], 0.025)
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        groups = optimizer.param_groups
        self.lr_lambdas = [lr_lambda] * len(groups) if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != len(groups):
            raise ValueError(f"{len(self.lr_lambdas)} functions for {len(groups)} parameter groups; give one for each")
        self.optimizer = optimizer
        for i, group in enumerate(groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"group {i} has no initial_lr to continue from; load the state of the optimizer first")
        self.base_lrs: list[float] = [group["initial_lr"] for group in groups]
        self.last_epoch = last_epoch
        self.step()

    def step(self) -> None:
        """Set the rates for the next step of the optimizer; call it after `optimizer.step()`."""
        self.last_epoch += 1
        self._set([base * factor(self.last_epoch) for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)])

    def get_last_lr(self) -> list[float]:
        """The rate of each group, as set last."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as plain numbers; the functions are not in it."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), "_last_lr": list(self._last_lr)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from where another schedule of the same functions stood.

        The rates of the groups are set too (torch leaves that to the optimizer's own state), so that it does not
        matter which of the two states is loaded first.

        Raises
        ------
        ValueError
            If the state is of another number of groups, or incomplete.
        """
        missing = [key for key in ("last_epoch", "base_lrs", "_last_lr") if key not in state_dict]
        if missing:
            raise ValueError(f"this is not the state of a schedule: it has no {', '.join(missing)}")
        base_lrs, rates = list(state_dict["base_lrs"]), list(state_dict["_last_lr"])
        if not len(base_lrs) == len(rates) == len(self.base_lrs):
            raise ValueError(
                f"the state has rates for {len(base_lrs)} parameter groups, there are {len(self.base_lrs)}"
            )
        self.last_epoch = int(state_dict["last_epoch"])
        self.base_lrs = base_lrs
        self._set(rates)

    def _set(self, rates: list[float]) -> None:
        self._last_lr = rates
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate


def get_constant_schedule(optimizer: Optimizer, last_epoch: int = -1) -> LambdaLR:
    """The initial rate throughout."""
    return LambdaLR(optimizer, lambda step: 1.0, last_epoch)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1) -> LambdaLR:
    """Up from 0 in `num_warmup_steps` steps, then the initial rate."""
    return LambdaLR(optimizer, _warmed_up(num_warmup_steps, lambda step: 1.0), last_epoch)


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """Up from 0 in `num_warmup_steps` steps, then on a straight line down to 0 at `num_training_steps`.

    Examples
    --------
    >>> import numpy as np
    >>> from bert_numpy.nn import Parameter
    >>> from bert_numpy.training import AdamW
    >>> optimizer = AdamW([Parameter(np.zeros(2))], lr=1.0)
    >>> scheduler = get_linear_schedule_with_warmup(optimizer, num_warmup_steps=2, num_training_steps=6)
    >>> rates = []
    >>> for step in range(7):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    decay = _linear_decay(num_warmup_steps, num_training_steps)
    return LambdaLR(optimizer, _warmed_up(num_warmup_steps, decay), last_epoch)


def get_google_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """The linear schedule of Google's BERT: the decay is counted from step 0, and the warm-up overrides it.

    Examples
    --------
    >>> import numpy as np
    >>> from bert_numpy.nn import Parameter
    >>> from bert_numpy.training import AdamW
    >>> optimizer = AdamW([Parameter(np.zeros(2))], lr=1.0)
    >>> scheduler = get_google_schedule_with_warmup(optimizer, num_warmup_steps=2, num_training_steps=4)
    >>> rates = []
    >>> for step in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.0, 0.5, 0.5, 0.25, 0.0]
    """
    decay = _linear_decay(0, num_training_steps)
    return LambdaLR(optimizer, _warmed_up(num_warmup_steps, decay), last_epoch)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer,
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    last_epoch: int = -1,
) -> LambdaLR:
    """Up from 0 in `num_warmup_steps` steps, then (1 + cos(2π n x)) / 2 while x goes from 0 to 1.

    Parameters
    ----------
    optimizer : Optimizer
    num_warmup_steps, num_training_steps : int
    num_cycles : float
        n, the number of waves; half a wave goes down to 0 and stays there at the end.
    last_epoch : int
        As in `LambdaLR`.
    """
    _check(num_training_steps=num_training_steps)
    length = max(1, num_training_steps - num_warmup_steps)

    def decay(step: int) -> float:
        progress = (step - num_warmup_steps) / length
        return max(0.0, 0.5 * (1 + math.cos(2 * math.pi * num_cycles * progress)))

    return LambdaLR(optimizer, _warmed_up(num_warmup_steps, decay), last_epoch)


SCHEDULES: dict[str, Callable[..., LambdaLR]] = {
    "constant": get_constant_schedule,
    "constant_with_warmup": get_constant_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "google": get_google_schedule_with_warmup,
    "linear": get_linear_schedule_with_warmup,
}
"""What `get_scheduler` and `lr_scheduler_type` call each schedule; "google" is not a name of the reference library."""


def get_scheduler(
    name: str,
    optimizer: Optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
) -> LambdaLR:
    """A schedule by its name.

    Parameters
    ----------
    name : "linear", "cosine", "constant", "constant_with_warmup" or "google"
    optimizer : Optimizer
    num_warmup_steps : int
        Not needed by "constant".
    num_training_steps : int
        Not needed by "constant" and "constant_with_warmup".
    scheduler_specific_kwargs : mapping, optional
        `{"num_cycles": n}` for "cosine".

    Raises
    ------
    ValueError
        For another name, or a number of steps that the schedule needs and was not given.

    Examples
    --------
    >>> import numpy as np
    >>> from bert_numpy.nn import Parameter
    >>> from bert_numpy.training import AdamW
    >>> optimizer = AdamW([Parameter(np.zeros(2))], lr=2e-5)
    >>> get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=10).get_last_lr()
    [2e-05]
    """
    if name not in SCHEDULES:
        raise ValueError(f"no schedule {name!r}; there are {', '.join(SCHEDULES)}")
    steps: dict[str, Any] = {}
    if name != "constant":
        steps["num_warmup_steps"] = num_warmup_steps
    if not name.startswith("constant"):
        steps["num_training_steps"] = num_training_steps
    for argument, value in steps.items():
        if value is None:
            raise ValueError(f"the schedule {name!r} needs {argument}")
    options = dict(scheduler_specific_kwargs or {})
    if options.keys() - ({"num_cycles"} if name == "cosine" else set()):
        raise ValueError(f"the schedule {name!r} has no option {', '.join(options)}; only 'cosine' has num_cycles")
    return SCHEDULES[name](optimizer, **steps, **options)


def _warmed_up(num_warmup_steps: int, decay: Factor) -> Factor:
    """The factor t/W in the first W steps, `decay` afterwards."""
    _check(num_warmup_steps=num_warmup_steps)

    def factor(step: int) -> float:
        return step / num_warmup_steps if step < num_warmup_steps else decay(step)

    return factor


def _linear_decay(start: int, end: int) -> Factor:
    """1 at `start`, 0 at `end` and after it."""
    _check(num_training_steps=end)

    def factor(step: int) -> float:
        return max(0.0, (end - step) / max(1, end - start))

    return factor


def _check(**steps: float) -> None:
    for name, value in steps.items():
        if not value >= 0:
            raise ValueError(f"{name} is {value}; it must be at least 0")
