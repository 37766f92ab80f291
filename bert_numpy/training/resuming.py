"""Under which conditions a run may be resumed: those under which it began.

A run that goes on with another batch size, seed, learning rate or data set is another run, and a result that looks
like one run but is not is worse than an error.  Only its length may change.

Read next: `training_run.py`.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import TrainingArguments

LOGGER = logging.getLogger(__name__)

DECISIVE = (
    "per_device_train_batch_size",
    "num_replicas",
    "gradient_accumulation_steps",
    "seed",
    "data_seed",
    "train_sampling_strategy",
    "length_column_name",
    "dataloader_drop_last",
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "warmup_ratio",
    "optim",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
)
"""The arguments on which every bit of the weights depends."""

LENGTH = ("num_train_epochs", "max_steps")


def conditions(
    args: TrainingArguments, model: Any, num_examples: int, lengths: Sequence[int] | None = None
) -> dict[str, Any]:
    """What must be the same when the run is resumed, as JSON gives it back.

    Parameters
    ----------
    args, model
    num_examples : int
        Of the training data.
    lengths : sequence of int, optional
        Of the examples, where they decide about the batches.
    """
    config: Any = getattr(model, "config", None)
    settings = config.to_dict() if hasattr(config, "to_dict") else {}
    for name in ("architectures", "dtype"):  # what a file says of itself; a checkpoint of this run does too
        settings.pop(name, None)
    checksum = None if lengths is None else zlib.crc32(np.asarray(lengths, "<i8").tobytes())
    found = {
        "the model": type(model).__name__,
        "the dtype of the model": str(next(iter(model.named_parameters()))[1].dtype),
        "the configuration of the model": settings,
        "the number of training examples": num_examples,
        "the lengths of the training examples": checksum,
        **{name: getattr(args, name) for name in DECISIVE},
    }
    return json.loads(json.dumps(found, default=str))


def refuse_other_conditions(saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path) -> None:
    """Compare the conditions of a checkpoint with those of now.

    Raises
    ------
    ValueError
        Naming the first that differs, what it was and what it is.

    Examples
    --------
    >>> refuse_other_conditions({"seed": 1}, {"seed": 2}, Path("results/checkpoint-5"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: cannot resume from results...checkpoint-5: seed was 1 and is 2; resume under the conditions of the run,
    or start a new run from its weights with from_pretrained
    """
    for name, value in now.items():
        if name in saved and saved[name] != value:
            was_and_is = f"was {saved[name]!r} and is {value!r}"
            raise ValueError(
                f"cannot resume from {checkpoint}: {name} {was_and_is if len(was_and_is) < 120 else 'has changed'}; "
                "resume under the conditions of the run, or start a new run from its weights with from_pretrained"
            )


def length_of_run(args: TrainingArguments) -> dict[str, Any]:
    """How long a run is to be; it may be made longer or shorter.

    Examples
    --------
    >>> length_of_run(TrainingArguments(max_steps=100))
    {'num_train_epochs': 3.0, 'max_steps': 100}
    """
    return {name: getattr(args, name) for name in LENGTH}


def warn_of_another_length(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say that the schedule from here on is that of a run of another length."""
    for name, value in now.items():
        if saved[name] != value:
            LOGGER.warning("%s was %r when the run began and is %r now", name, saved[name], value)
