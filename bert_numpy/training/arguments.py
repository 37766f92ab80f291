"""`TrainingArguments`: everything that a training run can be told, under the names that the field uses.

Names and defaults are those of transformers 5; names of its earlier versions (`evaluation_strategy`, `warmup_ratio`,
`group_by_length`, `no_cuda` ...) are understood too.  Everything is checked here, before any time is spent.

Here: the arguments, their checks, and the few numbers that follow from them.  Read next: `trainer.py`.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
import numbers
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .schedules import SCHEDULES

LOGGER = logging.getLogger(__name__)
STRATEGIES = ("no", "steps", "epoch")
SAMPLING = ("random", "sequential", "group_by_length")
OPTIMIZERS = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "adamw_hf": "adamw",
    "adamw_google": "adamw_google",
    "sgd": "sgd",
}
"""The names of `optim` -> which optimizer that is here."""

_PRECISION = "weights and gradients are float32 or float64 here"
_UNAVAILABLE = {
    "fp16": _PRECISION,
    "bf16": _PRECISION,
    "push_to_hub": "nothing is uploaded from here; publish the folder of save_model",
    "torch_compile": "there is nothing to compile",
    "deepspeed": "there is one process here",
    "fsdp": "there is one process here",
    "auto_find_batch_size": "choose per_device_train_batch_size",
    "label_smoothing_factor": "the losses here take hard labels",
}


@dataclass
class TrainingArguments:
    """How to train.  Every argument has the name and the default of transformers.

    Attributes
    ----------
    output_dir : str
        Where checkpoints and the log go.  Default "trainer_output".
    overwrite_output_dir : bool
        Delete the checkpoints of earlier runs in `output_dir` when a new run starts.
    do_train, do_eval, do_predict, run_name, resume_from_checkpoint
        Kept for the program that reads them; the trainer does not.
    per_device_train_batch_size, per_device_eval_batch_size : int
        Examples in a batch.
    gradient_accumulation_steps : int
        Batches whose gradients are averaged for one update.
    num_train_epochs : float
        Passes over the data; `max_steps`, a number of updates, takes precedence if positive.
    learning_rate, lr_scheduler_type, lr_scheduler_kwargs
        The highest rate, and the schedule by name, "linear", "cosine", "constant" ..., with its options.
    warmup_steps, warmup_ratio : float
        Updates until the highest rate; below 1, or as a ratio, a fraction of all updates.
    optim : {"adamw_torch", "adamw_torch_fused", "adamw_google", "sgd"}
        The first two are the same here; "adamw_google" is that of BERT's authors, without bias correction.
    weight_decay, adam_beta1, adam_beta2, adam_epsilon : float
        Biases and LayerNorm are not decayed.
    max_grad_norm : float
        Gradients are scaled down to this global norm; 0 leaves them as they are.
    num_replicas : int
        Copies of the model among which each batch is divided, one thread each; see `Replicas`.
    gradient_checkpointing : bool
        Keep only the input of each layer for backward and compute the rest again: less memory, a third more time.
    logging_strategy, logging_steps, logging_first_step
        When the mean loss is logged: each `logging_steps` updates ("steps"), each "epoch", or "no".
    eval_strategy, eval_steps, eval_delay, eval_on_start, prediction_loss_only
        When to evaluate; `eval_steps` is `logging_steps` if not given; not before `eval_delay` updates or epochs.
    save_strategy, save_steps, save_total_limit, save_only_model
        When to write a checkpoint, and how many to keep.  "no" never writes one, not even on Ctrl-C.
        `save_only_model` leaves out what resuming needs.
    load_best_model_at_end, metric_for_best_model, greater_is_better
        End with the weights of the checkpoint that evaluated best; the metric is "loss" if not given, and a metric
        is better when greater unless its name ends in "loss".
    seed, data_seed : int
        `seed` determines dropout, and the order of the data unless `data_seed` does.
    train_sampling_strategy : {"random", "sequential", "group_by_length"}, or group_by_length=True
        The order of the examples; the last puts examples of about one length, column `length_column_name` or the
        number of input_ids, into a batch.
    dataloader_drop_last : bool
        Leave out the last batch of an epoch if it is not full.
    remove_unused_columns : bool
        Drop columns that the `forward` of the model does not take, before collation.
    label_names : list of str
        Columns that are labels; those that `forward` takes and that are called so, if not given.
    disable_tqdm : bool
        No progress bar.  It shows only on a terminal anyway.
    fp16, bf16, push_to_hub, torch_compile, deepspeed, fsdp, auto_find_batch_size, label_smoothing_factor
        Not available: refused unless off.
    logging_dir, report_to, use_cpu, no_cuda, ...
        Accepted, so that programs written for transformers run; they change nothing.

    Raises
    ------
    TypeError
        For an argument that does not exist, naming the closest one that does.
    ValueError
        For a value that cannot be, in one line.

    Examples
    --------
    >>> args = TrainingArguments("results", num_train_epochs=2, warmup_ratio=0.1)
    >>> args.per_device_train_batch_size, args.learning_rate, args.get_warmup_steps(50)
    (8, 5e-05, 5)
    >>> TrainingArguments("results", learning_rat=1e-4)
    Traceback (most recent call last):
    TypeError: TrainingArguments has no argument 'learning_rat'; did you mean 'learning_rate'?
    """

    output_dir: str = "trainer_output"
    overwrite_output_dir: bool = False
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    run_name: str | None = None
    resume_from_checkpoint: str | bool | None = None

    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_train_epochs: float = 3.0
    max_steps: int = -1

    learning_rate: float = 5e-5
    lr_scheduler_type: str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | None = None
    warmup_steps: float = 0
    warmup_ratio: float = 0.0
    optim: str = "adamw_torch"
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    num_replicas: int = 1
    gradient_checkpointing: bool = False

    logging_strategy: str = "steps"
    logging_steps: float = 500
    logging_first_step: bool = False
    eval_strategy: str = "no"
    eval_steps: float | None = None
    eval_delay: float = 0
    eval_on_start: bool = False
    prediction_loss_only: bool = False
    save_strategy: str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = None
    save_only_model: bool = False
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None

    seed: int = 42
    data_seed: int | None = None
    train_sampling_strategy: str = "random"
    group_by_length: bool = False
    length_column_name: str = "length"
    dataloader_drop_last: bool = False
    remove_unused_columns: bool = True
    label_names: list[str] | None = None
    disable_tqdm: bool | None = None

    evaluation_strategy: str | None = None  # the old name of eval_strategy

    # refused unless off
    fp16: bool = False
    bf16: bool = False
    push_to_hub: bool = False
    torch_compile: bool = False
    deepspeed: Any = None
    fsdp: Any = None
    auto_find_batch_size: bool = False
    label_smoothing_factor: float = 0.0

    # accepted, and without effect
    logging_dir: str | None = None
    report_to: Any = "none"
    use_cpu: bool = False
    no_cuda: bool = False
    log_level: str = "passive"
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    eval_accumulation_steps: int | None = None
    save_safetensors: bool = True
    full_determinism: bool = False
    hub_model_id: str | None = None
    hub_token: str | None = field(default=None, repr=False)

    def __new__(cls, *args: Any, **kwargs: Any) -> TrainingArguments:
        """Refuse an unknown argument in a clearer line than a dataclass does."""
        known = [item.name for item in fields(cls)]
        for name in kwargs:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1, 0.5)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise TypeError(f"{cls.__name__} has no argument {name!r}{hint}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        self._take_old_names()
        self._refuse_unavailable()
        self._check_numbers()
        self._check_choices()
        self._check_best_model()

    # ---- what follows from them ----

    @property
    def train_batch_size(self) -> int:
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        return self.per_device_eval_batch_size

    def get_warmup_steps(self, num_training_steps: int) -> int:
        """How many of the updates warm up.

        Examples
        --------
        >>> TrainingArguments(warmup_steps=0.25).get_warmup_steps(10)
        3
        """
        if self.warmup_steps >= 1:
            return int(self.warmup_steps)
        return math.ceil(num_training_steps * (self.warmup_steps or self.warmup_ratio))

    def interval(self, name: str, num_training_steps: int) -> int:
        """`logging_steps`, `eval_steps` or `save_steps` as a number of updates: below 1 it is a fraction of all.

        Examples
        --------
        >>> TrainingArguments(save_steps=0.5).interval("save_steps", 21)
        11
        """
        value = getattr(self, name)
        return int(value) if value >= 1 else math.ceil(num_training_steps * value)

    def to_dict(self) -> dict[str, Any]:
        """All arguments by name, without the token."""
        return {name: value for name, value in asdict(self).items() if name != "hub_token"}

    def to_json_string(self) -> str:
        """All arguments as JSON."""
        return json.dumps(self.to_dict(), indent=2, default=str)

    # ---- checks ----

    def _take_old_names(self) -> None:
        self.output_dir = str(self.output_dir or "trainer_output")
        if self.evaluation_strategy is not None:
            self.eval_strategy, self.evaluation_strategy = self.evaluation_strategy, None
        if self.group_by_length:
            self.train_sampling_strategy = "group_by_length"
        for name in ("logging_strategy", "eval_strategy", "save_strategy", "lr_scheduler_type", "optim"):
            value = getattr(self, name)
            setattr(self, name, str(getattr(value, "value", value)))  # a member of an Enum stands for its value
        if self.do_eval is False and self.eval_strategy != "no":
            self.do_eval = True
        if self.report_to not in (None, "none", [], ["none"]):
            LOGGER.warning("report_to=%r: not available here; the log is train_log.jsonl in output_dir", self.report_to)

    def _refuse_unavailable(self) -> None:
        for name, reason in _UNAVAILABLE.items():
            if getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)!r} is not available: {reason}; leave it out")

    def _check_numbers(self) -> None:
        sizes = ("per_device_train_batch_size", "per_device_eval_batch_size")
        for name in (*sizes, "gradient_accumulation_steps", "num_replicas"):
            self._check(name, _is_whole(getattr(self, name)) and getattr(self, name) >= 1, "a whole number from 1")
        for name in ("seed", "data_seed"):
            value = getattr(self, name)
            ok = (value is None and name == "data_seed") or (_is_whole(value) and value >= 0)
            self._check(name, ok, "a whole number from 0")
        self._check("max_steps", _is_whole(self.max_steps), "a whole number; -1 stands for none")
        if self.max_steps <= 0:
            self._check("num_train_epochs", _is_number(self.num_train_epochs, above=0), "a number above 0")
        limit = self.save_total_limit
        self._check("save_total_limit", limit is None or (_is_whole(limit) and limit >= 1), "a whole number from 1")
        for name in ("learning_rate", "weight_decay", "max_grad_norm", "warmup_steps", "eval_delay"):
            self._check(name, _is_number(getattr(self, name)), "a finite number from 0")
        self._check("adam_epsilon", _is_number(self.adam_epsilon, above=0), "a number above 0")
        for name in ("adam_beta1", "adam_beta2", "warmup_ratio"):
            ok = _is_number(getattr(self, name)) and getattr(self, name) < 1
            self._check(name, ok, "a number from 0 and below 1")
        for name in ("logging_steps", "eval_steps", "save_steps"):
            value = getattr(self, name)
            if value is None and name == "eval_steps":
                continue
            ok = _is_number(value, above=0) and (value < 1 or value == int(value))
            self._check(name, ok, "a whole number from 1, or a fraction of all updates below 1")

    def _check_choices(self) -> None:
        for name in ("logging_strategy", "eval_strategy", "save_strategy"):
            allowed = (*STRATEGIES, "best") if name == "save_strategy" else STRATEGIES
            self._check(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")
        sampling = self.train_sampling_strategy
        self._check("train_sampling_strategy", sampling in SAMPLING, f"one of {', '.join(SAMPLING)}")
        self._check("lr_scheduler_type", self.lr_scheduler_type in SCHEDULES, f"one of {', '.join(SCHEDULES)}")
        self._check("optim", self.optim in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        if self.eval_steps is None:
            self.eval_steps = self.logging_steps

    def _check_best_model(self) -> None:
        if self.load_best_model_at_end or self.save_strategy == "best":
            self.metric_for_best_model = self.metric_for_best_model or "loss"
            if self.eval_strategy == "no":
                raise ValueError("the best model is found by evaluating: set eval_strategy to 'steps' or 'epoch'")
        if self.metric_for_best_model is not None and self.greater_is_better is None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")
        if not self.load_best_model_at_end or self.save_strategy == "best":
            return
        if self.save_strategy != self.eval_strategy:
            raise ValueError(
                f"load_best_model_at_end saves what it evaluates: save_strategy {self.save_strategy!r} and "
                f"eval_strategy {self.eval_strategy!r} must be the same"
            )
        if self.save_strategy == "steps" and self.eval_steps and not _is_multiple(self.save_steps, self.eval_steps):
            raise ValueError(
                f"load_best_model_at_end saves what it evaluates: save_steps {self.save_steps} must be a multiple of "
                f"eval_steps {self.eval_steps}"
            )

    def _check(self, name: str, ok: bool, wanted: str) -> None:
        if not ok:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {wanted}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_number(value: Any, above: float | None = None) -> bool:
    """Whether this is a finite number from 0, or above a limit."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    number = float(value)
    return math.isfinite(number) and (number >= 0 if above is None else number > above)


def _is_multiple(a: float, b: float) -> bool:
    return math.isclose(a / b, round(a / b), abs_tol=1e-9) and round(a / b) >= 1
