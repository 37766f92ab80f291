"""What happens around the steps of a run: callbacks, called by name at fixed events.

    on_init_end
    on_train_begin
      on_epoch_begin
        on_step_begin   on_substep_end ...   on_pre_optimizer_step   on_optimizer_step   on_step_end
          on_log   on_prediction_step ...   on_evaluate   on_save       as far as they are due
      on_epoch_end
    on_train_end

A callback reads `args` and `state`, and sets the switches of `control`; the keyword arguments hold `model`,
`optimizer`, `lr_scheduler`, `train_dataset`, and what the event adds.  A callback with `state_dict()` and
`load_state_dict()` is saved in checkpoints and goes on where it was.

Here: the base class, the list that calls them, when to log, evaluate and save, and early stopping.  Read next:
`progress.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .arguments import TrainingArguments
from .state import TrainerControl, TrainerState

EVENTS = (
    "on_init_end",
    "on_train_begin",
    "on_epoch_begin",
    "on_step_begin",
    "on_substep_end",
    "on_pre_optimizer_step",
    "on_optimizer_step",
    "on_step_end",
    "on_log",
    "on_prediction_step",
    "on_evaluate",
    "on_predict",
    "on_save",
    "on_epoch_end",
    "on_train_end",
)


class TrainerCallback:
    """Base of the callbacks: define the methods of the events that matter; the others do nothing.

    Examples
    --------
    >>> class Stop(TrainerCallback):
    ...     def on_step_end(self, args, state, control, **kwargs):
    ...         control.should_training_stop = state.global_step == 10
    >>> control = TrainerControl()
    >>> Stop().on_step_end(None, TrainerState(global_step=10), control)
    >>> control.should_training_stop
    True
    """

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The trainer has been made."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """Training begins or, if `state.global_step` is not 0, goes on."""

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """An epoch begins or goes on."""

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """Before the first batch of a step."""

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """After each batch but the last, where a step has several."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """The gradients are complete and clipped, the weights not yet changed."""

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """The weights have been changed, the gradients are still there."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A step is done: `state.global_step` counts it."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Something was logged; it is in `logs`."""

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> Any:
        """A batch of an evaluation is done: `batches_done` of `num_batches`."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """An evaluation is done; its results are in `metrics`."""

    def on_predict(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A prediction is done; its results are in `metrics`."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A checkpoint is complete."""

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """All steps of an epoch are done."""

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Training is over."""


class CallbackHandler:
    """Calls every callback at an event, in order.

    Parameters
    ----------
    callbacks : iterable of TrainerCallback, as instances or classes
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self.callbacks: list[TrainerCallback] = []
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: Any) -> None:
        """Add a callback, or a class of which one is made.

        Raises
        ------
        TypeError
            If it has none of the methods of a callback.
        """
        callback = callback() if isinstance(callback, type) else callback
        if not any(hasattr(callback, event) for event in EVENTS):
            raise TypeError(f"{type(callback).__name__} is no callback; derive it from TrainerCallback")
        self.callbacks.append(callback)

    def remove(self, callback: Any) -> TrainerCallback | None:
        """Remove a callback, or the first one of a class, and return it."""
        for present in self.callbacks:
            if present is callback or (isinstance(callback, type) and type(present) is callback):
                self.callbacks.remove(present)
                return present
        return None

    def call(
        self, event: str, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Call the method `event` of every callback; one that returns a control replaces it."""
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                control = method(args, state, control, **kwargs) or control
        return control

    def state_dict(self) -> dict[str, Any]:
        """The states of the callbacks that have one, by class and, among equals, by number."""
        return {key: callback.state_dict() for key, callback in self._stateful()}  # type: ignore[attr-defined]

    def load_state_dict(self, states: dict[str, Any]) -> None:
        """Give the callbacks their states back; those that are new keep their own."""
        for key, callback in self._stateful():
            if key in states:
                callback.load_state_dict(states[key])  # type: ignore[attr-defined]

    def _stateful(self) -> list[tuple[str, TrainerCallback]]:
        found: list[tuple[str, TrainerCallback]] = []
        for callback in self.callbacks:
            if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
                name = type(callback).__name__
                found.append((f"{name}.{sum(key.startswith(name + '.') for key, _ in found)}", callback))
        return found


class DefaultFlowCallback(TrainerCallback):
    """Says when to log, evaluate and save, as the strategies of the arguments want it.

    Examples
    --------
    >>> args = TrainingArguments(logging_steps=2, save_steps=3)
    >>> flow, control = DefaultFlowCallback(), TrainerControl()
    >>> flow.on_step_end(args, TrainerState(global_step=2, max_steps=9), control)
    >>> control.due()
    {'should_save': False, 'should_evaluate': False, 'should_log': True}
    """

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step = state.global_step

        def at(name: str) -> bool:
            return step % args.interval(name, state.max_steps) == 0

        if (step == 1 and args.logging_first_step) or (args.logging_strategy == "steps" and at("logging_steps")):
            control.should_log = True
        if args.eval_strategy == "steps" and at("eval_steps") and step >= args.eval_delay:
            control.should_evaluate = True
        if args.save_strategy == "steps" and at("save_steps"):
            control.should_save = True
        if step >= state.max_steps:
            control.should_training_stop = True
            control.should_save = control.should_save or args.save_strategy == "steps"

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.logging_strategy == "epoch":
            control.should_log = True
        if args.eval_strategy == "epoch" and state.epoch >= args.eval_delay:
            control.should_evaluate = True
        if args.save_strategy == "epoch":
            control.should_save = True


class EarlyStoppingCallback(TrainerCallback):
    """Stop when `metric_for_best_model` has not improved for some evaluations.

    It needs `metric_for_best_model` and an `eval_strategy`.

    Parameters
    ----------
    early_stopping_patience : int
        How many evaluations in a row may fail to improve.
    early_stopping_threshold : float
        An improvement must exceed this.

    Examples
    --------
    >>> args = TrainingArguments(eval_strategy="epoch", metric_for_best_model="loss")
    >>> stopper, control = EarlyStoppingCallback(early_stopping_patience=1), TrainerControl()
    >>> stopper.on_evaluate(args, TrainerState(best_metric=0.5), control, metrics={"eval_loss": 0.6})
    >>> control.should_training_stop
    True
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        self.early_stopping_patience_counter = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.metric_for_best_model is None:
            raise ValueError("EarlyStoppingCallback needs metric_for_best_model, 'loss' for example")
        if args.eval_strategy == "no":
            raise ValueError("EarlyStoppingCallback needs eval_strategy 'steps' or 'epoch'")
        if state.global_step == 0:
            self.early_stopping_patience_counter = 0
        self._decide(control)  # a run that had stopped and is resumed stays stopped

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        value = metric_of(args, metrics or {})
        difference = math.inf if state.best_metric is None else abs(value - state.best_metric)
        if is_better(args, value, state.best_metric) and difference > self.early_stopping_threshold:
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        self._decide(control)

    def state_dict(self) -> dict[str, Any]:
        """How many evaluations in a row failed to improve."""
        return {"early_stopping_patience_counter": self.early_stopping_patience_counter}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.early_stopping_patience_counter = int(state["early_stopping_patience_counter"])

    def _decide(self, control: TrainerControl) -> None:
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True


def metric_of(args: TrainingArguments, metrics: dict[str, Any]) -> float:
    """The value of `metric_for_best_model`, with or without "eval_" before its name.

    Raises
    ------
    ValueError
        If the evaluation returned no such metric; the ones it returned are named.

    Examples
    --------
    >>> metric_of(TrainingArguments(metric_for_best_model="f1"), {"eval_f1": 0.75})
    0.75
    """
    name = args.metric_for_best_model or "loss"
    name = name if name.startswith("eval_") else f"eval_{name}"
    if name not in metrics:
        raise ValueError(
            f"metric_for_best_model {args.metric_for_best_model!r} is not among the results of the evaluation: "
            f"{', '.join(sorted(metrics))}; return it from compute_metrics"
        )
    return float(metrics[name])


def is_better(args: TrainingArguments, value: float, best: float | None) -> bool:
    """Whether a value of the metric beats the best one so far; NaN never does.

    Examples
    --------
    >>> is_better(TrainingArguments(metric_for_best_model="loss"), 0.4, 0.5)
    True
    """
    if best is None:
        return not math.isnan(value)
    return value > best if args.greater_is_better else value < best
