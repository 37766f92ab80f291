"""One training run from its first step, or from a checkpoint, to its last: the loop that `Trainer.train` starts.

    for each epoch
      for each step
        for each of its batches   forward, backward with 1/k of the gradient of the loss
        clip, update the weights, next learning rate, one line in the log
        log, evaluate, save       as far as they are due
      log, evaluate, save         as far as they are due

Everything that decides about the next step is in `Place`, the weights, the optimizer, the schedule and the random
generators.  A checkpoint holds all of them, so a run that is killed and resumed ends with the same bits as one that
is not.

Read next: `trainer.py`.
"""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints import load_checkpoint
from ..data.loader import check_dataset, epoch_batches, example_lengths, fetch
from . import checkpointing as files
from .callbacks import is_better, metric_of
from .evaluation import count_tokens
from .generators import Generators, Snapshot, reseed
from .gradients import clip_grad_norm_, nonfinite_gradients
from .replicas import Replicas
from .resuming import conditions, length_of_run, refuse_other_conditions, warn_of_another_length
from .run_log import RunLog
from .state import NonFiniteError, TrainerControl, TrainerState

LOGGER = logging.getLogger(__name__)


@dataclass
class Place:
    """Where a run is in its data, and the sums over the steps so far.

    Attributes
    ----------
    epoch : int
        The epoch at hand, of which `updates` steps are done.
    closed : bool
        Training stopped amid the epoch, and what is due at its end has been done.
    total_loss, logged_loss : float
        Sums of the losses of all steps, and of those that a log has reported.
    logged_step : int
        The last step that was logged.
    examples : int
        Examples seen.
    last_norm, last_rate : float
        Norm of the gradients and learning rate of the last step.
    """

    epoch: int = 0
    updates: int = 0
    closed: bool = False
    total_loss: float = 0.0
    logged_loss: float = 0.0
    logged_step: int = 0
    examples: int = 0
    last_norm: float = 0.0
    last_rate: float = 0.0


class TrainingRun:
    """A run of a `Trainer`.

    Parameters
    ----------
    trainer : Trainer
    checkpoint : path, optional
        Where to go on.

    Raises
    ------
    TypeError, ValueError, CheckpointError
        If data set, folder or checkpoint cannot be used: before anything is changed.
    """

    def __init__(self, trainer: Any, checkpoint: Path | None = None) -> None:
        self.trainer, self.args, self.model = trainer, trainer.args, trainer.model
        check_dataset(trainer.train_dataset)
        self._plan()
        saved = None if checkpoint is None else files.read_run_state(checkpoint)
        if checkpoint is not None and saved is not None:
            refuse_other_conditions(saved["conditions"], self._conditions(), checkpoint)
        self.place = Place()
        self.generators = Generators(
            model=self.model, data_collator=trainer.data_collator, train_dataset=trainer.train_dataset
        )
        trainer.state = TrainerState(
            max_steps=self.max_steps,
            num_train_epochs=self.num_epochs,
            train_batch_size=self.args.per_device_train_batch_size,
        )
        trainer.control = TrainerControl()
        trainer.create_optimizer_and_scheduler(self.max_steps)
        self._step_began: Snapshot | None = None  # the generators before the step at hand
        count = self.args.num_replicas
        self.replicas = Replicas(self.model, count) if count > 1 else None
        self._updating = False  # whether weights and state are between two steps
        self._saved_step = -1
        if checkpoint is not None and saved is not None:
            self._restore(checkpoint, saved)
        elif getattr(self.model, "rng", None) is not None:
            reseed(self.model.rng, self.args.seed)
        self.id = f"{time.time_ns():020d}-{os.urandom(4).hex()}" if saved is None else saved["run"]
        self.log = RunLog(self.args.output_dir, 0 if saved is None else saved["log_bytes"])
        self.checkpoints = self._former_checkpoints(saved)

    # ---- before the first step ----

    def _plan(self) -> None:
        """How many batches, steps and epochs there will be."""
        args, self.num_examples = self.args, len(self.trainer.train_dataset)
        self.lengths = None
        if args.train_sampling_strategy == "group_by_length":
            self.lengths = example_lengths(self.trainer.train_dataset, args.length_column_name)
        self.num_batches = len(self._batches(0))
        if self.num_batches == 0:
            raise ValueError(
                f"train_dataset has {self.num_examples} examples, less than a batch of "
                f"{args.per_device_train_batch_size}, and dataloader_drop_last leaves it out"
            )
        self.updates_per_epoch = math.ceil(self.num_batches / args.gradient_accumulation_steps)
        if args.max_steps > 0:
            self.max_steps = args.max_steps
            self.num_epochs = math.ceil(args.max_steps / self.updates_per_epoch)
        else:
            self.max_steps = math.ceil(args.num_train_epochs * self.updates_per_epoch)
            self.num_epochs = math.ceil(args.num_train_epochs)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        args = self.args
        return epoch_batches(
            self.num_examples,
            args.per_device_train_batch_size,
            seed=args.seed if args.data_seed is None else args.data_seed,
            epoch=epoch,
            shuffle=args.train_sampling_strategy != "sequential",
            lengths=self.lengths,
            drop_last=args.dataloader_drop_last,
        )

    def _former_checkpoints(self, saved: dict[str, Any] | None) -> list[Path]:
        """The checkpoints of this run; those of others are left alone, or deleted if the arguments say so."""
        present = files.list_checkpoints(self.args.output_dir)
        if saved is not None:
            return [path for path in present if path.name in saved["checkpoints"]]
        if present and self.args.overwrite_output_dir:
            for path in present:
                files.delete_checkpoint(path)
        elif present:
            LOGGER.warning(
                "%s holds checkpoints of an earlier run, up to %s; they stay until one of the same name is saved",
                self.args.output_dir,
                present[-1].name,
            )
        return []

    # ---- the loop ----

    def run(self) -> None:
        """Train to the end.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, when the step at hand is done and a checkpoint is written.
        NonFiniteError
            If a loss, gradient or weight is NaN or infinite; nothing has been saved since the last checkpoint.
        """
        with self.trainer.interruption:
            try:
                self._call("on_train_begin")
                self.control.should_evaluate |= self.args.eval_on_start and self.trainer.state.global_step == 0
                self._do_what_is_due()  # also what a resumed run had still to do
                self._epochs()
            except KeyboardInterrupt:
                self._save_interrupted()
                raise
            finally:
                self.log.close()

    def _epochs(self) -> None:
        place, k = self.place, self.args.gradient_accumulation_steps
        if self._over() and (place.closed or place.updates == 0):
            return
        while place.epoch < self.num_epochs:
            place.closed = False
            if hasattr(self.trainer.train_dataset, "set_epoch"):  # whose examples are drawn anew in each epoch
                self.trainer.train_dataset.set_epoch(place.epoch)
            self._call("on_epoch_begin")
            batches = self._batches(place.epoch)
            while place.updates < self.updates_per_epoch and not (self._over() or self.control.should_epoch_stop):
                self._step(batches[place.updates * k : (place.updates + 1) * k])
                self._do_what_is_due()
                self.trainer.interruption.check()
            self._call("on_epoch_end")
            self._close_epoch()
            self._do_what_is_due()
            self.trainer.interruption.check()
            if self._over():
                return

    def _close_epoch(self) -> None:
        """The next step is the first of the next epoch, unless training stops amid this one."""
        place = self.place
        if place.updates == self.updates_per_epoch or self.control.should_epoch_stop:
            place.epoch, place.updates = place.epoch + 1, 0
        else:
            place.closed = True
        self.control.should_epoch_stop = False

    def _over(self) -> bool:
        return self.trainer.state.global_step >= self.max_steps or self.control.should_training_stop

    @property
    def control(self) -> TrainerControl:
        return self.trainer.control

    def _step(self, batches: list[np.ndarray]) -> None:
        """One update of the weights, from the mean of the gradients of some batches."""
        trainer, began = self.trainer, time.perf_counter()
        self._step_began = self.generators.snapshot()
        self._call("on_step_begin")
        total, tokens = 0.0, 0
        for number, indices in enumerate(batches, start=1):
            inputs = trainer.collate(fetch(trainer.train_dataset, indices))
            loss = self._forward_backward(inputs, 1 / len(batches))
            if not math.isfinite(loss):
                raise self._not_finite(f"the loss is {loss}", [indices])
            total, tokens = total + loss, tokens + count_tokens(inputs)
            if number < len(batches):
                self._call("on_substep_end")
        norm = clip_grad_norm_([p for _, p in self.model.named_parameters()], self.args.max_grad_norm or math.inf)
        if not math.isfinite(norm):
            raise self._not_finite(f"the norm of the gradients is {norm}", batches)
        self._call("on_pre_optimizer_step")
        self._updating = True
        trainer.optimizer.step()
        self._call("on_optimizer_step")
        rate = trainer.lr_scheduler.get_last_lr()[0]
        trainer.lr_scheduler.step()
        self._zero_grad()
        self._count(total / len(batches), norm, rate, tokens, batches, time.perf_counter() - began)
        self._updating = False
        self._step_began = None
        self._call("on_step_end", loss=total / len(batches))

    def _forward_backward(self, inputs: dict[str, Any], scale: float) -> float:
        if self.replicas is None:
            return self.trainer.training_step(self.model, inputs, scale)
        return self.replicas.forward_backward(self.trainer.training_step, inputs, scale)

    def _count(
        self, loss: float, norm: float, rate: float, tokens: int, batches: list[np.ndarray], seconds: float
    ) -> None:
        """The step is done: note it, here and in the log."""
        state, place = self.trainer.state, self.place
        place.updates += 1
        place.examples += sum(map(len, batches))
        place.total_loss += loss
        place.last_norm, place.last_rate = norm, rate
        state.global_step += 1
        done = min(place.updates * self.args.gradient_accumulation_steps, self.num_batches)
        state.epoch = place.epoch + done / self.num_batches
        state.num_input_tokens_seen += tokens
        record = {"step": state.global_step, "epoch": state.epoch, "loss": loss, "learning_rate": rate}
        self.log.append({**record, "grad_norm": norm, "tokens_per_second": round(tokens / max(seconds, 1e-9), 1)})

    def _do_what_is_due(self) -> None:
        """Log, evaluate and save, as the switches say; each is switched off when it is done."""
        trainer, state, place = self.trainer, self.trainer.state, self.place
        if self.control.should_log:
            self.control.should_log = False
            steps = state.global_step - place.logged_step
            if steps > 0:
                loss = (place.total_loss - place.logged_loss) / steps
                place.logged_loss, place.logged_step = place.total_loss, state.global_step
                trainer.log({"loss": loss, "grad_norm": place.last_norm, "learning_rate": place.last_rate})
        if self.control.should_evaluate:
            metrics = trainer.evaluate()
            self.control.should_evaluate = False
            self.log.append({"step": state.global_step, "epoch": state.epoch, **metrics})
            is_best = self._note_best(metrics)
            if self.args.save_strategy == "best":
                self.control.should_save = is_best
        if self.control.should_save:
            self.control.should_save = False
            self.save()
            self._call("on_save")

    def _note_best(self, metrics: dict[str, Any]) -> bool:
        """Keep the best value of the metric so far; say whether this is it."""
        state = self.trainer.state
        if self.args.metric_for_best_model is None:
            return False
        value = metric_of(self.args, metrics)
        if not is_better(self.args, value, state.best_metric):
            return False
        state.best_metric, state.best_global_step = value, state.global_step
        return True

    # ---- checkpoints ----

    def save(self) -> None:
        """Write a checkpoint of the state after this step, then delete those beyond `save_total_limit`.

        Raises
        ------
        NonFiniteError
            If a weight is NaN or infinite.
        CheckpointError
            If it cannot be written; the earlier ones are intact then.
        """
        state, args = self.trainer.state, self.args
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        best_before = state.best_model_checkpoint
        if state.best_global_step == state.global_step:
            state.best_model_checkpoint = str(path)
        if state.global_step != self._saved_step:
            try:
                self._refuse_broken_weights()
                files.write_checkpoint(args.output_dir, state.global_step, self._write)
            except BaseException:
                state.best_model_checkpoint = best_before
                raise
            self._saved_step = state.global_step
            self.checkpoints = [p for p in self.checkpoints if p.name != path.name] + [path]
        self.checkpoints = files.rotate(self.checkpoints, args.save_total_limit, state.best_model_checkpoint)

    def _refuse_broken_weights(self) -> None:
        broken = [name for name, p in self.model.named_parameters() if not np.isfinite(p.data).all()]
        if broken:
            step = self.trainer.state.global_step
            raise NonFiniteError(f"step {step}: the update made {_some(broken)} NaN or infinite; {self._advice()}")

    def _write(self, folder: Path) -> None:
        """Write the files of a checkpoint."""
        trainer = self.trainer
        trainer.save_model(folder)
        trainer.state.save_to_json(folder / files.TRAINER_STATE)
        if self.args.save_only_model:
            return
        names = [path.name for path in self.checkpoints] + [f"checkpoint-{trainer.state.global_step}"]
        run_state = {
            "run": self.id,
            "place": asdict(self.place),
            "due": trainer.control.due(),
            "scheduler": trainer.lr_scheduler.state_dict(),
            "optimizer": files.save_optimizer(trainer.optimizer, folder),
            "generators": self.generators.snapshot(),
            "callbacks": trainer.callback_handler.state_dict(),
            "log_bytes": self.log.sync(),
            "checkpoints": names,
            "conditions": self._conditions(),
            "length": length_of_run(self.args),
        }
        files.write_json(folder / files.RUN_STATE, run_state)

    def _restore(self, checkpoint: Path, saved: dict[str, Any]) -> None:
        """Take over everything that `_write` wrote."""
        trainer = self.trainer
        warn_of_another_length(saved["length"], length_of_run(self.args))
        self.model.load_state_dict(load_checkpoint(checkpoint))
        files.load_optimizer(trainer.optimizer, checkpoint, saved["optimizer"])
        trainer.lr_scheduler.load_state_dict(saved["scheduler"])
        trainer.callback_handler.load_state_dict(saved["callbacks"])
        state = TrainerState.load_from_json(checkpoint / files.TRAINER_STATE)
        state.max_steps, state.num_train_epochs = self.max_steps, self.num_epochs
        trainer.state, trainer.control = state, TrainerControl(**saved["due"])
        self.place = Place(**saved["place"])
        self.generators.restore(saved["generators"])
        if Path(checkpoint).resolve().parent == Path(self.args.output_dir).resolve():
            self._saved_step = state.global_step

    def _save_interrupted(self) -> None:
        """After Ctrl-C: discard the step at hand, if one is, and save; between two steps nothing can be saved."""
        if self.args.save_strategy == "no" or self._updating or self.trainer.interruption.insisted:
            return
        if self._step_began is not None:
            self.generators.restore(self._step_began)
            self._step_began = None
            self._zero_grad()
        self.save()

    # ---- helpers ----

    def _conditions(self) -> dict[str, Any]:
        return conditions(self.args, self.model, self.num_examples, self.lengths)

    def _call(self, event: str, **kwargs: Any) -> None:
        self.trainer.call_event(event, **kwargs)

    def _zero_grad(self) -> None:
        for _, parameter in self.model.named_parameters():
            parameter.zero_grad()

    def _not_finite(self, what: str, batches: list[np.ndarray]) -> NonFiniteError:
        """The error that names the step, the tensors and the examples."""
        named = list(self.model.named_parameters())
        weights = [name for name, p in named if not np.isfinite(p.data).all()]
        gradients = nonfinite_gradients(named)
        if weights:
            where = f"NaN or infinite weights: {_some(weights)}"
        elif gradients:
            where = f"NaN or infinite gradients: {_some(gradients)}"
        else:
            where = "weights and gradients are finite"
        self._zero_grad()
        examples = _some([str(int(i)) for batch in batches for i in batch], 16)
        step = self.trainer.state.global_step + 1
        return NonFiniteError(f"step {step}: {what}; {where}; examples {examples}; {self._advice()}")

    def _advice(self) -> str:
        last = f"the last good checkpoint is {self.checkpoints[-1]}" if self.checkpoints else "nothing was saved"
        return f"{last}; lower learning_rate ({self.args.learning_rate}), or look at these examples"


def _some(names: list[str], limit: int = 3) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
