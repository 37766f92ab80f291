"""`Trainer`: trains, evaluates and predicts, called as in transformers.

    trainer = Trainer(model=model, args=TrainingArguments("results"), train_dataset=train, eval_dataset=test)
    trainer.train()
    trainer.evaluate()
    trainer.save_model("my-model")

A data set is any sequence of examples: `len(dataset)`, and `dataset[i]` a mapping from column to number, list or
array.  Of a model only this is used: `outputs, cache = model.forward(**batch)`, `model.backward(gradient, cache)`,
`train` and `eval`, `named_parameters`, `load_state_dict`, `save_pretrained` and `rng`.

With gradient accumulation the gradient of a step is the plain mean of the gradients of its batches, as in a loop that
divides each loss by their number.  (transformers 5 counts the labels of all batches of a step instead, and its BERT
models ignore that count: there the gradients of the batches are summed.)

Here: what a program calls.  Not here: the steps of training (`training_run.py`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import load_checkpoint
from ..data.loader import check_dataset, default_data_collator, fetch, sequential_batches
from . import checkpointing
from .arguments import OPTIMIZERS, TrainingArguments
from .callbacks import CallbackHandler, DefaultFlowCallback, TrainerCallback
from .evaluation import (
    Evaluation,
    arrays_of,
    forward_arguments,
    label_columns,
    loss_of,
    only_or_all,
    plain_metrics,
    run_evaluation,
)
from .interruption import Interruption
from .optimizers import SGD, AdamW, parameter_groups
from .progress import ProgressCallback
from .schedules import get_scheduler
from .state import EvalPrediction, PredictionOutput, TrainerControl, TrainerState, TrainOutput
from .training_run import TrainingRun

LOGGER = logging.getLogger(__name__)


class Trainer:
    """Trains a model on a data set.

    Parameters
    ----------
    model : a model of `bert_numpy.models`, or any other that works alike
    args : TrainingArguments, optional
    data_collator : function of a list of examples, optional
        Makes a batch of them.  If not given: the tokenizer pads them, if there is one; else they are stacked.
    train_dataset, eval_dataset : sequences of examples, optional
    processing_class, tokenizer : BertTokenizer, optional
        The same under its new and its old name.  It is saved beside the model.
    compute_metrics : function of an EvalPrediction, optional
        Returns a dict of metrics.
    callbacks : list of TrainerCallback, optional
    optimizers : (optimizer, scheduler)
        Take the place of those that the arguments describe; None leaves either to them.
    preprocess_logits_for_metrics : function (logits, labels), optional
        Makes what is kept of the outputs of each batch, to save memory.

    Attributes
    ----------
    state : TrainerState
    optimizer, lr_scheduler
        Those of the last training.

    Raises
    ------
    TypeError, ValueError
        If a data set or the model cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from bert_numpy import BertConfig, BertForSequenceClassification
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2, num_hidden_layers=1,
    ...                     intermediate_size=16, max_position_embeddings=4)
    >>> model = BertForSequenceClassification(config, rng=0)
    >>> examples = [{"input_ids": [2, 5 + i % 2, 3], "labels": i % 2} for i in range(8)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     args = TrainingArguments(folder, num_train_epochs=20, learning_rate=0.01, save_strategy="no")
    ...     trainer = Trainer(model=model, args=args, train_dataset=examples, eval_dataset=examples)
    ...     before = trainer.evaluate()["eval_loss"]
    ...     steps = trainer.train().global_step
    ...     steps, trainer.evaluate()["eval_loss"] < before
    (20, True)
    """

    def __init__(
        self,
        model: Any = None,
        args: TrainingArguments | None = None,
        data_collator: Callable[[list[Any]], Mapping[str, Any]] | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        *,
        tokenizer: Any = None,
        compute_metrics: Callable[[EvalPrediction], Mapping[str, Any]] | None = None,
        callbacks: Sequence[Any] | None = None,
        optimizers: tuple[Any, Any] = (None, None),
        preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        if model is None or not hasattr(model, "forward"):
            raise TypeError(f"model is a {type(model).__name__}; pass a model, such as BertForSequenceClassification")
        self.args = TrainingArguments() if args is None else args
        if not isinstance(self.args, TrainingArguments):
            raise TypeError(f"args is a {type(args).__name__}; pass TrainingArguments(...)")
        for name, dataset in (("train_dataset", train_dataset), ("eval_dataset", eval_dataset)):
            if dataset is not None:
                check_dataset(dataset, name)
        if eval_dataset is None and self.args.eval_strategy != "no":
            raise ValueError(f"eval_strategy is {self.args.eval_strategy!r}, but there is no eval_dataset")
        self.model = model
        self.processing_class = tokenizer if processing_class is None else processing_class
        self.data_collator = self._default_collator() if data_collator is None else data_collator
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.compute_metrics = compute_metrics
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.optimizers = optimizers
        self.optimizer: Any = optimizers[0]
        self.lr_scheduler: Any = optimizers[1]
        self.forward_arguments = forward_arguments(model)
        if self.args.gradient_checkpointing and "cache_policy" not in self.forward_arguments:
            raise ValueError(f"gradient_checkpointing: forward of {type(model).__name__} takes no cache_policy")
        self.label_names = self.args.label_names or label_columns(self.forward_arguments)
        self.state, self.control = TrainerState(), TrainerControl()
        self.interruption = Interruption()
        self.callback_handler = CallbackHandler([DefaultFlowCallback(), *(callbacks or [])])
        if not self.args.disable_tqdm:
            self.callback_handler.add(ProgressCallback())
        self.call_event("on_init_end")

    @property
    def tokenizer(self) -> Any:
        """The old name of `processing_class`."""
        return self.processing_class

    # ---- training ----

    def train(self, resume_from_checkpoint: str | Path | bool | None = None) -> TrainOutput:
        """Train, from the beginning or from where a checkpoint was written.

        A run that was stopped at any moment, by Ctrl-C, by a kill or by a power cut, and is resumed ends with the
        same bits as one that was not, on the same machine with as many threads.  Dropout and the order of the data
        follow from `args.seed`.  Afterwards the model is in the mode, `train` or `eval`, that it was in before.

        Parameters
        ----------
        resume_from_checkpoint : bool or path, optional
            True for the last checkpoint in `args.output_dir`.

        Returns
        -------
        TrainOutput

        Raises
        ------
        ValueError
            If there is nothing to resume from, or the run was begun with other arguments.
        NonFiniteError
            If a loss, gradient or weight becomes NaN or infinite.
        KeyboardInterrupt
            On Ctrl-C, when a checkpoint has been written (unless `save_strategy` is "no").
        CheckpointError
            If a checkpoint cannot be written.
        """
        if self.train_dataset is None:
            raise ValueError("there is no train_dataset")
        began = time.perf_counter()
        checkpointing.clean(self.args.output_dir)
        run = TrainingRun(self, self._checkpoint(resume_from_checkpoint))
        first_step, first_example = self.state.global_step, run.place.examples
        was_training = self.model.training
        self.model.train()
        try:
            run.run()
        except BaseException:
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, ProgressCallback):
                    callback.close()
            raise
        finally:
            self.model.train(was_training)
        seconds = max(time.perf_counter() - began, 1e-9)
        loss = run.place.total_loss / max(self.state.global_step, 1)
        metrics = {
            "train_runtime": round(seconds, 4),
            "train_samples_per_second": round((run.place.examples - first_example) / seconds, 3),
            "train_steps_per_second": round((self.state.global_step - first_step) / seconds, 3),
            "train_loss": loss,
        }
        self.log(metrics)
        self._load_best_model()
        self.call_event("on_train_end")
        return TrainOutput(self.state.global_step, loss, {**metrics, "epoch": self.state.epoch})

    def training_step(self, model: Any, inputs: Mapping[str, Any], scale: float = 1.0) -> float:
        """Forward and backward of one batch; override it for a loss of your own.

        Parameters
        ----------
        model, inputs
        scale : float
            The gradient of the loss: 1/k where a step has k batches.

        Returns
        -------
        float
            The loss, not scaled.
        """
        policy = {"cache_policy": "recompute"} if self.args.gradient_checkpointing else {}
        outputs, cache = model.forward(**inputs, **policy)
        loss = loss_of(outputs)
        if loss is None:
            raise ValueError(
                f"{type(model).__name__} returned no loss for a batch of {', '.join(inputs)}; its labels are called "
                f"{' or '.join(self.label_names) or 'labels'}"
            )
        if math.isfinite(loss):
            model.backward(scale, cache)
        return loss

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """Make the optimizer and the schedule that the arguments describe, unless they were given."""
        self.optimizer = self.optimizers[0] or self.create_optimizer()
        self.lr_scheduler = self.optimizers[1] or self.create_scheduler(num_training_steps, self.optimizer)

    def create_optimizer(self) -> Any:
        """The optimizer that the arguments describe; biases and LayerNorm are not decayed."""
        args, kind = self.args, OPTIMIZERS[self.args.optim]
        groups = parameter_groups(self.model, args.weight_decay)
        if kind == "sgd":
            return SGD(groups, lr=args.learning_rate)
        betas = (args.adam_beta1, args.adam_beta2)
        return AdamW(groups, args.learning_rate, betas, args.adam_epsilon, correct_bias=kind == "adamw")

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule that the arguments describe."""
        warmup = self.args.get_warmup_steps(num_training_steps)
        optimizer = self.optimizer if optimizer is None else optimizer
        kwargs = self.args.lr_scheduler_kwargs
        return get_scheduler(self.args.lr_scheduler_type, optimizer, warmup, num_training_steps, kwargs)

    # ---- evaluation ----

    def evaluate(self, eval_dataset: Any = None, metric_key_prefix: str = "eval") -> dict[str, Any]:
        """Run the model over a data set in eval mode, and measure.

        Parameters
        ----------
        eval_dataset : sequence of examples, optional
            That of the trainer if not given.
        metric_key_prefix : str

        Returns
        -------
        dict
            `eval_loss` if there are labels, what `compute_metrics` returns, `eval_runtime` in seconds,
            `eval_samples_per_second`, `eval_steps_per_second` and `epoch`.
        """
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if dataset is None:
            raise ValueError("there is no eval_dataset")
        keep = self.compute_metrics is not None and not self.args.prediction_loss_only
        _, metrics = self._evaluated(dataset, metric_key_prefix, keep)
        self.log(metrics)
        self.call_event("on_evaluate", metrics=metrics)
        return {**metrics, "epoch": self.state.epoch}

    def predict(self, test_dataset: Any, metric_key_prefix: str = "test") -> PredictionOutput:
        """Run the model over a data set in eval mode, and return its outputs.

        Returns
        -------
        PredictionOutput
            Predictions, labels and metrics.  A model with one output besides the loss gives one array, others a
            tuple.  Where batches were padded to different lengths, shorter rows are filled up with -100.
        """
        outcome, metrics = self._evaluated(test_dataset, metric_key_prefix, not self.args.prediction_loss_only)
        self.call_event("on_predict", metrics=metrics)
        return PredictionOutput(outcome.predictions, outcome.label_ids, metrics)

    def prediction_step(
        self, model: Any, inputs: Mapping[str, Any]
    ) -> tuple[float | None, tuple[np.ndarray, ...], tuple[Any, ...]]:
        """Forward of one batch: (loss or None, outputs, labels)."""
        policy = {"cache_policy": "drop"} if "cache_policy" in self.forward_arguments else {}
        outputs, _ = model.forward(**inputs, **policy)
        labels = tuple(np.asarray(inputs[name]) for name in self.label_names if inputs.get(name) is not None)
        arrays = arrays_of(outputs)
        if self.preprocess_logits_for_metrics is not None:
            kept = self.preprocess_logits_for_metrics(only_or_all(arrays), only_or_all(labels))
            arrays = kept if isinstance(kept, tuple) else (kept,)
        return loss_of(outputs), arrays, labels

    def _evaluated(self, dataset: Any, prefix: str, keep_outputs: bool) -> tuple[Evaluation, dict[str, Any]]:
        """One pass over a data set, and its metrics."""
        check_dataset(dataset, "the data set")
        began = time.perf_counter()
        batches = list(sequential_batches(len(dataset), self.args.per_device_eval_batch_size))
        was_training = self.model.training
        self.model.eval()
        try:
            outcome = run_evaluation(
                lambda inputs: self.prediction_step(self.model, inputs),
                (self.collate(fetch(dataset, indices, "the data set")) for indices in batches),
                [len(indices) for indices in batches],
                keep_outputs,
                lambda done: self._prediction_step_done(done, len(batches)),
            )
        finally:
            self.model.train(was_training)
        metrics: dict[str, Any] = {} if outcome.loss is None else {"loss": outcome.loss}
        if self.compute_metrics is not None and keep_outputs and outcome.label_ids is not None:
            metrics.update(self.compute_metrics(EvalPrediction(outcome.predictions, outcome.label_ids)))
        seconds = max(time.perf_counter() - began, 1e-9)
        metrics["runtime"] = round(seconds, 4)
        metrics["samples_per_second"] = round(len(dataset) / seconds, 3)
        metrics["steps_per_second"] = round(len(batches) / seconds, 3)
        return outcome, plain_metrics(metrics, prefix)

    def _prediction_step_done(self, done: int, total: int) -> None:
        self.call_event("on_prediction_step", batches_done=done, num_batches=total)
        self.interruption.check()

    # ---- saving and the rest ----

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """Write the model, and the tokenizer if there is one, for `from_pretrained`."""
        folder = self.args.output_dir if output_dir is None else output_dir
        self.model.save_pretrained(folder)
        if hasattr(self.processing_class, "save_pretrained"):
            self.processing_class.save_pretrained(folder)

    def save_state(self) -> None:
        """Write `trainer_state.json` into `args.output_dir`."""
        Path(self.args.output_dir).mkdir(parents=True, exist_ok=True)
        self.state.save_to_json(Path(self.args.output_dir) / checkpointing.TRAINER_STATE)

    def log(self, logs: Mapping[str, Any]) -> None:
        """Add numbers to `state.log_history`, with epoch and step, and show them to the callbacks."""
        record = {**logs, "epoch": self.state.epoch}
        self.state.log_history.append({**record, "step": self.state.global_step})
        self.call_event("on_log", logs=record)

    def add_callback(self, callback: Any) -> None:
        """Add a callback, or a class of which one is made."""
        self.callback_handler.add(callback)

    def remove_callback(self, callback: Any) -> None:
        """Remove a callback, or the first one of a class."""
        self.callback_handler.remove(callback)

    def pop_callback(self, callback: Any) -> TrainerCallback | None:
        """Remove a callback, or the first one of a class, and return it."""
        return self.callback_handler.remove(callback)

    def call_event(self, event: str, **kwargs: Any) -> None:
        """Call a method of all callbacks."""
        self.control = self.callback_handler.call(
            event,
            self.args,
            self.state,
            self.control,
            model=self.model,
            processing_class=self.processing_class,
            optimizer=self.optimizer,
            lr_scheduler=self.lr_scheduler,
            train_dataset=self.train_dataset,
            eval_dataset=self.eval_dataset,
            **kwargs,
        )

    def collate(self, examples: list[Any]) -> dict[str, Any]:
        """A batch of some examples, with the columns that the model takes."""
        if self.args.remove_unused_columns:
            known = {*self.forward_arguments, *self.label_names, "label", "label_ids"}
            examples = [{name: value for name, value in example.items() if name in known} for example in examples]
            if not examples[0]:
                raise ValueError(f"no column of the examples is one that {type(self.model).__name__} takes")
        return dict(self.data_collator(examples))

    def _default_collator(self) -> Callable[[list[Any]], Mapping[str, Any]]:
        if not hasattr(self.processing_class, "pad"):
            return default_data_collator
        from ..data import DataCollatorWithPadding

        return DataCollatorWithPadding(self.processing_class)

    def _checkpoint(self, wanted: str | Path | bool | None) -> Path | None:
        """The checkpoint to resume from."""
        if wanted is None or wanted is False:
            return None
        if wanted is not True:
            return Path(wanted)
        last = checkpointing.get_last_checkpoint(self.args.output_dir)
        if last is None:
            raise ValueError(f"there is no checkpoint in {self.args.output_dir} to resume from")
        return Path(last)

    def _load_best_model(self) -> None:
        """Take the weights of the best checkpoint, if the arguments say so."""
        if not self.args.load_best_model_at_end:
            return
        best = self.state.best_model_checkpoint
        folder = Path(self.args.output_dir) / Path(best).name if best else None
        if folder is None or not folder.is_dir():
            LOGGER.warning("there is no checkpoint of the best model; the model stays as it is")
            return
        self.model.load_state_dict(load_checkpoint(folder))
