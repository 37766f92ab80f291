"""Numbers that are not finite, and disks that fill: one clear error, and the last good checkpoint is intact."""

import errno
import os

import numpy as np
import pytest
from interrupted_runs import At, assert_same
from tiny_training import Examples, make_model, make_trainer

from bert_numpy.checkpoints import CheckpointError
from bert_numpy.training.checkpointing import (
    list_checkpoints,
)
from bert_numpy.training.run_log import RunLog, read_log
from bert_numpy.training.state import NonFiniteError


def poison(trainer, step, name, value):
    """Put a number into a weight when a step begins."""
    parameter = dict(trainer.model.named_parameters())[name]
    trainer.add_callback(
        At("on_step_begin", step, lambda: parameter.data.__setitem__((0,) * parameter.data.ndim, value))
    )


def test_a_loss_that_is_nan_stops_and_nothing_is_saved_after(tmp_path, straight):
    trainer = make_trainer(tmp_path)
    poison(trainer, 4, "bert.encoder.layer.0.output.dense.weight", np.nan)
    with pytest.raises(NonFiniteError) as raised:
        trainer.train()
    message = str(raised.value)
    assert "\n" not in message
    assert "step 5: the loss is nan" in message
    assert "NaN or infinite weights: bert.encoder.layer.0.output.dense.weight;" in message
    assert f"the last good checkpoint is {tmp_path / 'checkpoint-3'}" in message
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-3"]
    assert read_log(tmp_path)[-1]["step"] == 4
    healthy = make_trainer(tmp_path, make_model(seed=99))
    healthy.train(resume_from_checkpoint=True)
    assert_same(healthy, tmp_path, straight)


def test_a_gradient_that_is_not_finite_is_named_with_its_examples(tmp_path):
    trainer = make_trainer(tmp_path, train_sampling_strategy="sequential", group_by_length=False)
    backward = trainer.model.classifier.backward

    def bad_backward(dy, cache):
        if trainer.state.global_step == 1:
            trainer.model.classifier.bias.accumulate(np.full(2, np.inf, np.float32))
        return backward(dy, cache)

    trainer.model.classifier.backward = bad_backward
    with pytest.raises(NonFiniteError) as raised:
        trainer.train()
    message = str(raised.value)
    assert "step 2: the norm of the gradients is" in message
    assert "NaN or infinite gradients: classifier.bias; " in message
    assert "examples 8, 9, 10, 11, 12, 13, 14, 15;" in message
    assert "nothing was saved" in message
    assert list_checkpoints(tmp_path) == []


def test_the_examples_of_a_bad_loss_are_named(tmp_path):
    trainer = make_trainer(tmp_path, train_sampling_strategy="sequential", group_by_length=False)
    step = trainer.training_step
    trainer.training_step = lambda model, inputs, scale: (
        np.inf if trainer.state.global_step == 2 and scale == 0.5 and 20 in trainer.seen else step(model, inputs, scale)
    )
    dataset, trainer.seen = Examples(), set()
    trainer.train_dataset = type(
        "Seen", (), {"__len__": lambda s: 21, "__getitem__": lambda s, i: trainer.seen.add(i) or dataset[i]}
    )()
    with pytest.raises(
        NonFiniteError, match=r"step 3: the loss is inf; weights and gradients are finite; examples 20; "
    ):
        trainer.train()


def test_weights_that_an_update_made_infinite_are_not_saved(tmp_path):
    trainer = make_trainer(tmp_path, save_steps=2, max_grad_norm=0)
    trainer.add_callback(At("on_optimizer_step", 3, lambda: trainer.model.classifier.bias.data.fill(np.inf)))
    with pytest.raises(NonFiniteError, match=r"step 4: the update made classifier.bias NaN or infinite; the last good"):
        trainer.train()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-2"]


@pytest.mark.parametrize("victim", ["model.safetensors", "config.json", "optimizer.safetensors", "run_state.json",
                                    "trainer_state.json", "SHA256SUMS"])  # fmt: skip
def test_a_disk_that_fills_leaves_the_old_checkpoint_and_one_line(victim, straight, tmp_path, monkeypatch):
    fsync = os.fsync
    step_6 = []

    def full(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.exists("/proc/self/fd") else ""
        if step_6 and (f".{victim}"[:20] in path or path.endswith(f"/{victim}")):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc to know which file is written")
    with pytest.raises(CheckpointError) as raised:
        make_trainer(tmp_path, callbacks=[At("on_step_end", 6, lambda: step_6.append(1))]).train()
    assert str(raised.value) == (
        f"checkpoint-6 cannot be saved in {tmp_path}: no space left on device; {tmp_path / 'checkpoint-3'} is intact"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "train_log.jsonl"]
    monkeypatch.undo()
    trainer = make_trainer(tmp_path, make_model(seed=99))
    trainer.train(resume_from_checkpoint=True)
    assert_same(trainer, tmp_path, straight)


def test_a_disk_that_fills_while_logging_is_one_line(tmp_path):
    class Full:
        def write(self, line):
            raise OSError(errno.ENOSPC, "No space left on device")

    log = RunLog(tmp_path)
    log.close()
    log._file = Full()
    with pytest.raises(CheckpointError, match=r"train_log.jsonl cannot be written: No space left on device"):
        log.append({"step": 1})
