"""What a training run knows about itself, and what it returns.

    TrainerState       where the run is, what it logged, which checkpoint was best
    TrainerControl     what is to be done next; callbacks set its switches
    EvalPrediction     what `compute_metrics` receives
    PredictionOutput   what `Trainer.predict` returns
    TrainOutput        what `Trainer.train` returns

Read next: `callbacks.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..checkpoints.files import replacing


@dataclass
class TrainerState:
    """Where a run is.  It is saved as `trainer_state.json` in every checkpoint.

    Attributes
    ----------
    epoch : float
        Epochs done, with the fraction of the current one.
    global_step, max_steps : int
        Updates of the weights that are done, and that there will be.
    num_train_epochs : int
    train_batch_size : int
    num_input_tokens_seen : int
        Tokens that went through the model in training, padding not counted.
    log_history : list of dict
        What was logged: every object has `step` and `epoch`.
    best_metric : float or None
        Best value of `metric_for_best_model` so far, at step `best_global_step`.
    best_model_checkpoint : str or None
        The folder of the checkpoint that was saved then.

    Examples
    --------
    >>> TrainerState(global_step=3, max_steps=10).epoch
    0.0
    """

    epoch: float = 0.0
    global_step: int = 0
    max_steps: int = 0
    num_train_epochs: int = 0
    train_batch_size: int | None = None
    num_input_tokens_seen: int = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True

    def save_to_json(self, json_path: str | Path) -> None:
        """Write the state, completely or not at all."""
        with replacing(json_path) as file:
            file.write((json.dumps(asdict(self), indent=2, default=as_plain) + "\n").encode("utf-8"))

    @classmethod
    def load_from_json(cls, json_path: str | Path) -> TrainerState:
        """Read what `save_to_json` wrote; fields of other versions are passed over."""
        known = {item.name for item in fields(cls)}
        saved = json.loads(Path(json_path).read_text(encoding="utf-8"))
        return cls(**{name: value for name, value in saved.items() if name in known})


@dataclass
class TrainerControl:
    """Switches that callbacks set and the trainer obeys.

    Attributes
    ----------
    should_training_stop, should_epoch_stop : bool
        Stop after this step.
    should_save, should_evaluate, should_log : bool
        To be done after this step, in the order log, evaluate, save; each is switched off when it is done.

    Examples
    --------
    >>> TrainerControl(should_log=True).due()
    {'should_save': False, 'should_evaluate': False, 'should_log': True}
    """

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False

    def due(self) -> dict[str, bool]:
        """What is still to be done after this step."""
        names = ("should_save", "should_evaluate", "should_log")
        return {name: getattr(self, name) for name in names}


class EvalPrediction:
    """What `compute_metrics` receives: `predictions, labels = prediction`, or by name.

    Attributes
    ----------
    predictions : ndarray of shape (N, ...), or a tuple of them for a model with several outputs
    label_ids : ndarray of shape (N, ...), or a tuple of them, or None

    Examples
    --------
    >>> predictions, labels = EvalPrediction(np.eye(2), np.array([0, 1]))
    >>> float((predictions.argmax(-1) == labels).mean())
    1.0
    """

    def __init__(self, predictions: Any, label_ids: Any) -> None:
        self.predictions = predictions
        self.label_ids = label_ids

    def __iter__(self) -> Any:
        return iter((self.predictions, self.label_ids))

    def __getitem__(self, index: int) -> Any:
        return (self.predictions, self.label_ids)[index]

    def __len__(self) -> int:
        return 2


class PredictionOutput(NamedTuple):
    """What `Trainer.predict` returns.

    Attributes
    ----------
    predictions : ndarray of shape (N, ...), or a tuple of them for a model with several outputs
    label_ids : ndarray of shape (N, ...), a tuple of them, or None where the data set has no labels
    metrics : dict of str to number

    Examples
    --------
    >>> PredictionOutput(np.eye(2), None, {"test_loss": 0.5}).metrics
    {'test_loss': 0.5}
    """

    predictions: Any
    label_ids: Any
    metrics: dict[str, Any]


class TrainOutput(NamedTuple):
    """What `Trainer.train` returns: the steps done, the mean of their losses, and times and rates.

    Examples
    --------
    >>> TrainOutput(10, 0.5, {"train_runtime": 1.0}).training_loss
    0.5
    """

    global_step: int
    training_loss: float
    metrics: dict[str, Any]


class NonFiniteError(ValueError):
    """A loss, a gradient or a weight is NaN or infinite; training stopped, and nothing was saved since.

    Examples
    --------
    >>> issubclass(NonFiniteError, ValueError)
    True
    """


def as_float(value: Any) -> float:
    """A loss or norm, whatever scalar it comes as, as a Python float.

    Examples
    --------
    >>> as_float(np.float32(0.5))
    0.5
    """
    return float(np.asarray(value))


def as_plain(value: Any) -> Any:
    """What JSON does not know as what it knows: NumPy values as numbers and lists, anything else as text.

    Examples
    --------
    >>> json.dumps({"f1": np.float32(0.5), "counts": np.array([1, 2])}, default=as_plain)
    '{"f1": 0.5, "counts": [1, 2]}'
    """
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
