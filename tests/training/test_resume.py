"""A run that is stopped and resumed ends with the same bits as any other; under other conditions it is refused."""

import random

import numpy as np
import pytest
from interrupted_runs import Broken, assert_same, breaking, outcome
from tiny_training import Examples, make_model, make_trainer, weights

from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError
from bert_numpy.data.loader import default_data_collator
from bert_numpy.training import SGD, parameter_groups
from bert_numpy.training.callbacks import EarlyStoppingCallback
from bert_numpy.training.checkpointing import (
    get_last_checkpoint,
)
from bert_numpy.training.run_log import read_log

PLACES = [
    ("on_step_end", 4),  # amid an epoch, during the decay
    ("on_substep_end", 4),  # amid a step
    ("on_pre_optimizer_step", 7),
    ("on_optimizer_step", 7),
    ("on_step_end", 6),  # at the last step of an epoch, before its checkpoint
    ("on_epoch_end", 6),  # after the checkpoint of the last step of an epoch, before its evaluation
    ("on_prediction_step", 6),
    ("on_evaluate", 6),
    ("on_epoch_begin", 9),
    ("on_save", 9),
    ("on_epoch_end", 12),  # all steps are done
]


@pytest.mark.parametrize(("event", "step"), PLACES)
def test_resuming_gives_the_same_bits(event, step, straight, tmp_path):
    with pytest.raises(Broken):
        make_trainer(tmp_path, callbacks=[breaking(event, step)]).train()
    trainer = make_trainer(tmp_path, make_model(seed=99))  # other weights, another state of the generator
    trainer.train(resume_from_checkpoint=True)
    assert_same(trainer, tmp_path, straight)


class Redrawn(Examples):
    """Examples of which every epoch changes a word."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)
        self.input_ids[:, 0] = 5 + epoch


def redrawing(folder, model=None, callbacks=()):
    trainer = make_trainer(folder, model, callbacks, save_steps=2)  # amid the epochs, of three steps each
    trainer.train_dataset = Redrawn()
    return trainer


def test_a_data_set_is_told_the_epoch(tmp_path):
    trainer = redrawing(tmp_path)
    trainer.train()
    assert trainer.train_dataset.epochs == [0, 1, 2, 3]


@pytest.mark.parametrize(("event", "step", "epochs"), [("on_step_end", 5, [1, 2, 3]), ("on_epoch_begin", 9, [2, 3])])
def test_resuming_with_a_data_set_that_changes_gives_the_same_bits(event, step, epochs, straight, tmp_path):
    undisturbed = redrawing(tmp_path / "a")
    undisturbed.train()
    expected = outcome(undisturbed, tmp_path / "a")
    assert expected["weights"] != straight["weights"]
    with pytest.raises(Broken):
        redrawing(tmp_path / "b", callbacks=[breaking(event, step)]).train()
    trainer = redrawing(tmp_path / "b", make_model(seed=99))
    trainer.train(resume_from_checkpoint=True)
    assert trainer.train_dataset.epochs == epochs
    assert_same(trainer, tmp_path / "b", expected)


def test_resuming_again_and_again_gives_the_same_bits(straight, tmp_path):
    with pytest.raises(Broken):
        make_trainer(tmp_path, callbacks=[breaking("on_step_end", 4)], save_steps=1).train()
    for step in (4, 6, 7, 11):
        with pytest.raises(Broken):
            make_trainer(tmp_path, make_model(seed=step), [breaking("on_step_end", step)], save_steps=1).train(True)
    trainer = make_trainer(tmp_path, make_model(seed=99), save_steps=1)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    assert_same(trainer, tmp_path, straight)


def test_resuming_a_finished_run_does_nothing(straight, tmp_path):
    make_trainer(tmp_path, save_strategy="epoch").train()
    trainer = make_trainer(tmp_path, make_model(seed=99), save_strategy="epoch")
    output = trainer.train(resume_from_checkpoint=True)
    assert output.global_step == 12
    assert weights(trainer.model) == straight["weights"]
    assert outcome(trainer, tmp_path)["log"] == straight["log"]


def test_a_finished_run_can_be_made_longer(tmp_path, caplog):
    straight = make_trainer(tmp_path / "a", max_steps=8, lr_scheduler_type="constant")
    straight.train()
    make_trainer(tmp_path / "b", max_steps=4, lr_scheduler_type="constant").train()
    longer = make_trainer(tmp_path / "b", make_model(seed=99), max_steps=8, lr_scheduler_type="constant")
    longer.train(resume_from_checkpoint=True)
    assert weights(longer.model) == weights(straight.model)
    assert "max_steps was 4 when the run began and is 8 now" in caplog.text


def test_everything_that_is_drawn_goes_on(tmp_path):
    """Generators of the collator and of the data set, that of `random`, momentum, float64, the state of a callback."""

    class Noisy(Examples):
        def __init__(self):
            super().__init__()
            self.rng = np.random.Generator(np.random.MT19937(4))

        def __getitem__(self, i):
            example = super().__getitem__(i)
            example["input_ids"] = np.where(self.rng.random(7) < 0.2, 1, example["input_ids"])
            example["input_ids"][6] = random.randrange(5, 30)
            return example

    class Collator:
        def __init__(self):
            self.generator = random.Random(3)

        def __call__(self, features):
            batch = default_data_collator(features)
            batch["input_ids"][:, 0] = self.generator.randrange(5, 30)
            return batch

    def run(folder, broken_at, resume, seed=3):
        random.seed(7 if not resume else None)
        callbacks = [EarlyStoppingCallback(3), *([breaking("on_step_end", broken_at)] if broken_at else [])]
        model = make_model(dtype=np.float64, seed=seed)
        trainer = make_trainer(
            folder, model, callbacks, metric_for_best_model="my_loss", num_train_epochs=9, group_by_length=False
        )
        trainer.train_dataset, trainer.data_collator = Noisy(), Collator()
        groups = parameter_groups(model, 0.1)
        trainer.optimizers = (SGD(groups, lr=0.1, momentum=0.9, dampening=0.1), None)
        values = iter([0.5, 0.6, 0.4, 0.5, 0.5, 0.5, 0.2][1 if resume else 0 :])
        trainer.compute_metrics = lambda prediction: {"my_loss": next(values)}
        trainer.train(resume_from_checkpoint=resume)
        return outcome(trainer, folder)

    expected = run(tmp_path / "a", None, False)
    assert expected["step"][0] == 6 * 3  # stopped early, after three evaluations without improvement
    with pytest.raises(Broken):
        run(tmp_path / "b", 8, False)
    assert run(tmp_path / "b", None, True, seed=99) == expected


def test_a_run_that_had_stopped_early_stays_stopped(tmp_path):
    def trainer(*callbacks):
        made = make_trainer(
            tmp_path, callbacks=[EarlyStoppingCallback(1), *callbacks], save_strategy="epoch", metric_for_best_model="x"
        )
        made.compute_metrics = lambda prediction: {"x": -made.state.global_step}
        return made

    assert trainer().train().global_step == 6
    log = read_log(tmp_path)
    assert trainer().train(resume_from_checkpoint=True).global_step == 6
    assert read_log(tmp_path) == log


# ---- whether it may be resumed ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_device_train_batch_size": 3}, "per_device_train_batch_size was 4 and is 3"),
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps was 2 and is 1"),
        ({"seed": 1}, "seed was 42 and is 1"),
        ({"learning_rate": 1e-3}, "learning_rate was 0.01 and is 0.001"),
        ({"group_by_length": False}, "the lengths of the training examples was [0-9]+ and is None"),
        ({"model": make_model(dropout=0.2)}, "the configuration of the model has changed"),
        ({"model": make_model(dtype=np.float64)}, "the dtype of the model was 'float32' and is 'float64'"),
    ],
)
def test_resuming_under_other_conditions_is_refused(changes, message, tmp_path):
    with pytest.raises(Broken):
        make_trainer(tmp_path, callbacks=[breaking("on_step_end", 4)]).train()
    log = (tmp_path / "train_log.jsonl").read_bytes()
    trainer = make_trainer(tmp_path, **changes)
    before = weights(trainer.model)
    with pytest.raises(ValueError, match=f"cannot resume from .*checkpoint-3: {message}; resume under the conditions"):
        trainer.train(resume_from_checkpoint=True)
    assert weights(trainer.model) == before
    assert (tmp_path / "train_log.jsonl").read_bytes() == log


def test_other_data_are_refused(tmp_path):
    make_trainer(tmp_path, max_steps=3).train()
    trainer = make_trainer(tmp_path, max_steps=4)
    trainer.train_dataset = Examples(20)
    with pytest.raises(ValueError, match="the number of training examples was 21 and is 20"):
        trainer.train(resume_from_checkpoint=True)


def test_nothing_to_resume_from_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"there is no checkpoint in .* to resume from"):
        make_trainer(tmp_path).train(resume_from_checkpoint=True)
    with pytest.raises(CheckpointNotFoundError, match=r"there is no checkpoint nowhere"):
        make_trainer(tmp_path).train(resume_from_checkpoint="nowhere")
    with pytest.raises(CheckpointError, match=r"is no checkpoint of a training run: it has no readable SHA256SUMS"):
        make_trainer(tmp_path).train(resume_from_checkpoint=tmp_path)
    make_trainer(tmp_path, max_steps=1, save_only_model=True).train()
    assert get_last_checkpoint(tmp_path) is None
    with pytest.raises(CheckpointError, match="holds a model without the state of its run; it cannot be resumed"):
        make_trainer(tmp_path).train(resume_from_checkpoint=tmp_path / "checkpoint-1")
