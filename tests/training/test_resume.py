"""A run that is killed, interrupted or broken and then resumed ends with the same bits as one that is not."""

import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny_training
from tiny_training import Examples, make_model, make_trainer, weights

import bert_numpy
from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError, safetensors
from bert_numpy.data.loader import default_data_collator
from bert_numpy.training import SGD, parameter_groups
from bert_numpy.training.callbacks import EarlyStoppingCallback, TrainerCallback
from bert_numpy.training.checkpointing import (
    check_checkpoint,
    clean,
    get_last_checkpoint,
    list_checkpoints,
    rotate,
    write_checkpoint,
)
from bert_numpy.training.run_log import RunLog, read_log
from bert_numpy.training.state import NonFiniteError


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What is written here need not survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Broken(Exception):
    """What the tests raise in the midst of a run."""


class At(TrainerCallback):
    """Does something when an event comes at a step, once."""

    def __init__(self, event, step, action):
        def method(args, state, control, **kwargs):
            if state.global_step == step and not self.done:
                self.done = True
                action()

        self.done = False
        setattr(self, event, method)


def breaking(event, step, error=Broken):
    def action():
        raise error

    return At(event, step, action)


def outcome(trainer, folder):
    """Everything that a run leaves behind, except for times."""
    timed = ("runtime", "per_second")

    def timeless(records):
        return [{k: v for k, v in r.items() if not any(t in k for t in timed)} for r in records]

    optimizer = {
        index: {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in entry.items()}
        for index, entry in trainer.optimizer.state_dict()["state"].items()
    }
    return {
        "weights": weights(trainer.model),
        "optimizer": optimizer,
        "rates": trainer.lr_scheduler.get_last_lr(),
        "dropout": trainer.model.rng.bit_generator.state,
        "history": timeless(trainer.state.log_history),
        "log": timeless(read_log(folder)),
        "step": (trainer.state.global_step, trainer.state.epoch, trainer.state.num_input_tokens_seen),
        "best": (trainer.state.best_metric, trainer.state.best_global_step),
    }


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The outcome of the run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("straight")
    trainer = make_trainer(folder)
    trainer.train()
    return outcome(trainer, folder)


def assert_same(trainer, folder, expected):
    found = outcome(trainer, folder)
    for name, value in expected.items():
        assert found[name] == value, name


# ---- stopped at a step, in one process ----

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


# ---- Ctrl-C ----


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")
@pytest.mark.parametrize(
    ("event", "step", "saved"),
    [
        ("on_step_begin", 4, 5),  # the step is finished
        ("on_optimizer_step", 4, 5),
        ("on_prediction_step", 6, 6),  # the evaluation is done after resuming
        ("on_save", 6, 6),
        ("on_epoch_end", 9, 9),
    ],
)
def test_ctrl_c_saves_and_resuming_gives_the_same_bits(event, step, saved, straight, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    trainer = make_trainer(tmp_path, callbacks=[At(event, step, press_ctrl_c)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert signal.getsignal(signal.SIGINT) is handler
    assert Path(get_last_checkpoint(tmp_path)).name == f"checkpoint-{saved}"
    trainer = make_trainer(tmp_path, make_model(seed=99))
    trainer.train(resume_from_checkpoint=True)
    assert_same(trainer, tmp_path, straight)


@pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")
def test_an_evaluation_that_ctrl_c_cuts_off_is_done_after_resuming(tmp_path):
    def trainer(folder, *callbacks):
        steps = {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "per_device_eval_batch_size": 2}
        best = {"load_best_model_at_end": True, "metric_for_best_model": "x", "save_total_limit": 1}
        made = make_trainer(tmp_path / folder, callbacks=callbacks, num_train_epochs=2, **steps, **best)
        made.compute_metrics = lambda prediction: {"x": -abs(made.state.global_step - 4)}  # step 4 is the best
        return made

    straight, cut = trainer("a"), trainer("b", At("on_prediction_step", 4, press_ctrl_c))
    batches = []
    cut.prediction_step = lambda model, inputs: batches.append(1) or type(cut).prediction_step(cut, model, inputs)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    assert len(batches) == 3 + 1  # those of the evaluation at step 2, and the first one at step 4
    assert Path(get_last_checkpoint(tmp_path / "b")).name == "checkpoint-4"
    resumed = trainer("b")
    resumed.train(resume_from_checkpoint=True)
    assert_same(resumed, tmp_path / "b", outcome(straight, tmp_path / "a"))
    assert resumed.state.best_model_checkpoint == str(tmp_path / "b" / "checkpoint-4")
    assert [path.name for path in list_checkpoints(tmp_path / "b")] == ["checkpoint-4", "checkpoint-6"]


@pytest.mark.parametrize(
    ("event", "step", "saved"),
    [("on_substep_end", 4, 4), ("on_pre_optimizer_step", 4, 4), ("on_evaluate", 6, 6), ("on_train_begin", 0, 0)],
)
def test_an_interrupt_amid_a_step_discards_the_step(event, step, saved, straight, tmp_path):
    trainer = make_trainer(tmp_path, callbacks=[breaking(event, step, KeyboardInterrupt)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    assert Path(get_last_checkpoint(tmp_path)).name == f"checkpoint-{saved}"
    trainer = make_trainer(tmp_path, make_model(seed=99))
    trainer.train(resume_from_checkpoint=True)
    if event == "on_evaluate":  # its result was logged, but not yet taken: the evaluation is done once more
        assert weights(trainer.model) == straight["weights"]
    else:
        assert_same(trainer, tmp_path, straight)


def test_while_the_weights_change_nothing_can_be_saved(straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, callbacks=[breaking("on_optimizer_step", 4, KeyboardInterrupt)]).train()
    assert Path(get_last_checkpoint(tmp_path)).name == "checkpoint-3"
    trainer = make_trainer(tmp_path, make_model(seed=99))
    trainer.train(resume_from_checkpoint=True)
    assert_same(trainer, tmp_path, straight)


@pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    callbacks = [At("on_step_begin", 4, press_ctrl_c), At("on_substep_end", 4, press_ctrl_c)]
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, callbacks=callbacks).train()
    assert Path(get_last_checkpoint(tmp_path)).name == "checkpoint-3"


def test_without_a_save_strategy_nothing_is_written_on_ctrl_c(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, callbacks=[breaking("on_epoch_end", 3, KeyboardInterrupt)], save_strategy="no").train()
    assert list_checkpoints(tmp_path) == []


# ---- a process that is killed ----


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_file_operation_of_a_save_leaves_a_complete_checkpoint(tmp_path):
    """Before step 6 is saved, children are forked that save it; the n-th dies at its n-th file operation."""
    folder, spare = tmp_path / "run", tmp_path / "spare"
    newest, leftovers = [], 0

    def save_and_die():
        nonlocal leftovers
        shutil.copytree(folder, spare)
        while (child := _fork()) != 0:
            died = _exit_code(child) == 9
            last = Path(get_last_checkpoint(folder))
            for path in list_checkpoints(folder):
                check_checkpoint(path)
            newest.append(last.name)
            leftovers += any(path.name.startswith(".") for path in folder.iterdir())
            clean(folder)
            assert {path.name for path in folder.iterdir()} <= {"checkpoint-3", "checkpoint-6", "train_log.jsonl"}
            if not died:
                raise Broken
            shutil.rmtree(folder)
            shutil.copytree(spare, folder)
        sys.addaudithook(_die_at(len(newest), str(folder)))

    callbacks = [At("on_step_end", 6, save_and_die), At("on_save", 6, lambda: os._exit(0))]
    with pytest.raises(Broken):
        make_trainer(folder, callbacks=callbacks, save_total_limit=1).train()
    assert len(newest) > 30
    assert leftovers > 20
    assert newest == sorted(newest)  # the old one up to some operation, the new one from there on
    assert set(newest) == {"checkpoint-3", "checkpoint-6"}


def _fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: BLAS has some, and they are idle
        return os.fork()


def _exit_code(child):
    for _ in range(2000):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the child hangs")


def _die_at(n, folder):
    """An audit hook that ends the process, without any clean-up, at the n-th operation on a file of the folder."""
    left = [n]

    def hook(event, arguments):
        deletes = event in ("os.remove", "os.rmdir")  # whose paths may be relative to an open folder
        if deletes or (event.startswith(("os.", "shutil.", "open")) and any(folder in str(a) for a in arguments)):
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1

    return hook


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(("killer", "times"), [("SIGKILL", 20), ("SIGINT", 5)])
def test_a_process_killed_at_random_moments_ends_with_the_same_bits(killer, times, tmp_path):
    epochs, rng = 60, random.Random(20)
    start = time.monotonic()
    _launch(tmp_path / "straight", epochs).wait(timeout=120)
    seconds = time.monotonic() - start
    killed = tmp_path / "killed"
    codes, unfinished = [], 0
    while len(codes) < times:
        (killed / "stepping").unlink(missing_ok=True)
        process = _launch(killed, epochs)
        if rng.random() < 0.9:  # else it may die while it loads
            while not (killed / "stepping").exists() and process.poll() is None:
                time.sleep(0.001)
        time.sleep(rng.uniform(0, seconds / 40))
        process.send_signal(getattr(signal, killer))
        codes.append(process.wait(timeout=120))
        unfinished += any(path.name.endswith(".tmp") for path in killed.iterdir()) if killed.exists() else 0
    assert not (killed / "final").exists()
    assert all(code != 0 for code in codes)
    assert _launch(killed, epochs).wait(timeout=120) == 0
    names = ("final/model.safetensors", f"checkpoint-{3 * epochs}/optimizer.safetensors")
    for name in names:
        assert (killed / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert [record["step"] for record in read_log(killed)] == list(range(1, 3 * epochs + 1))
    assert not [path for path in killed.iterdir() if path.name.startswith(".")]
    logging.getLogger(__name__).info("%s: exit codes %s, saves cut off %s", killer, codes, unfinished)


def _launch(folder, epochs):
    root = str(Path(bert_numpy.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, tiny_training.__file__, str(folder), str(epochs)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


# ---- faults ----


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


# ---- which checkpoint, and whether it may be used ----


def test_a_damaged_checkpoint_is_never_used(tmp_path, caplog):
    make_trainer(tmp_path).train()
    rng = random.Random(1)
    for path in sorted((tmp_path / "checkpoint-12").iterdir()):
        whole = path.read_bytes()
        position = rng.randrange(len(whole))
        for damaged in (whole[:position], _flipped(whole, position, rng.randrange(8))):
            path.write_bytes(damaged)
            caplog.clear()
            assert Path(get_last_checkpoint(tmp_path)).name == "checkpoint-9", path.name
            with pytest.raises(CheckpointError, match=r"checkpoint-12"):
                make_trainer(tmp_path).train(resume_from_checkpoint=tmp_path / "checkpoint-12")
        path.write_bytes(whole)
    (tmp_path / "checkpoint-12" / "model.safetensors").unlink()
    assert Path(get_last_checkpoint(tmp_path)).name == "checkpoint-9"
    assert "model.safetensors is missing" in caplog.text


def _flipped(content, position, bit):
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def test_the_last_checkpoint_is_that_of_the_last_run(tmp_path, caplog):
    make_trainer(tmp_path, save_steps=5).train()
    assert not caplog.records
    make_trainer(tmp_path, save_steps=5, max_steps=5, seed=1).train()  # another run in the same folder
    assert "holds checkpoints of an earlier run, up to checkpoint-12" in caplog.text
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["checkpoint-5", "checkpoint-10", "checkpoint-12"]
    assert Path(get_last_checkpoint(tmp_path)).name == "checkpoint-5"
    assert [record["step"] for record in read_log(tmp_path) if "loss" in record] == [1, 2, 3, 4, 5]
    make_trainer(tmp_path, max_steps=3, overwrite_output_dir=True).train()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-3"]


def test_a_resumed_run_deletes_checkpoints_of_its_own_only(tmp_path):
    make_trainer(tmp_path, max_steps=5, save_steps=5).train()
    run = {"seed": 1, "save_steps": 2, "save_total_limit": 1, "max_steps": 8}
    with pytest.raises(Broken):
        make_trainer(tmp_path, callbacks=[breaking("on_step_end", 5)], **run).train()
    make_trainer(tmp_path, **run).train(resume_from_checkpoint=True)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-5", "checkpoint-8"]


def test_what_is_saved_already_is_not_saved_again(tmp_path):
    make_trainer(tmp_path, max_steps=3).train()
    before = (tmp_path / "checkpoint-3" / "SHA256SUMS").stat().st_ino
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, callbacks=[breaking("on_train_begin", 3, KeyboardInterrupt)], max_steps=4).train(True)
    assert (tmp_path / "checkpoint-3" / "SHA256SUMS").stat().st_ino == before


def test_a_checkpoint_that_could_not_be_written_is_not_the_best(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, save_strategy="epoch", metric_for_best_model="accuracy")

    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer, "save_model", full)
    with pytest.raises(CheckpointError, match="no space left on device; there is no earlier one"):
        trainer.train()
    assert trainer.state.best_global_step == 3
    assert trainer.state.best_model_checkpoint is None


def test_what_stood_under_the_name_of_a_checkpoint_comes_back_if_it_cannot_be_replaced(tmp_path, monkeypatch):
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    write_checkpoint(tmp_path, 3, lambda folder: (folder / "file").write_text("old"))
    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(CheckpointError, match=r"checkpoint-3 cannot be saved in .*: input/output error"):
        write_checkpoint(tmp_path, 3, lambda folder: (folder / "file").write_text("new"))
    assert len(calls) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]
    assert (tmp_path / "checkpoint-3" / "file").read_text() == "old"


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


def test_a_checkpoint_is_a_model(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=3)
    trainer.train()
    assert weights(type(trainer.model).from_pretrained(tmp_path / "checkpoint-3")) == weights(trainer.model)
    state = safetensors.load_file(tmp_path / "checkpoint-3" / "optimizer.safetensors")
    assert state["0.exp_avg"].shape == next(iter(trainer.model.parameters())).shape
    sums = (tmp_path / "checkpoint-3" / "SHA256SUMS").read_text(encoding="utf-8")
    assert sorted(line.split("  ")[1] for line in sums.splitlines()) == [
        "config.json", "model.safetensors", "optimizer.safetensors", "run_state.json", "trainer_state.json"
    ]  # fmt: skip
    assert json.loads((tmp_path / "checkpoint-3" / "trainer_state.json").read_text())["global_step"] == 3


def test_leftovers_are_removed_and_what_was_moved_away_comes_back(tmp_path):
    for step in (3, 6):
        write_checkpoint(tmp_path, step, lambda folder: (folder / "file").write_text("x"))
    (tmp_path / "checkpoint-3").rename(tmp_path / ".checkpoint-3.0123456789abcdef.old")
    (tmp_path / ".checkpoint-6.0123456789abcdef.old").mkdir()
    (tmp_path / ".checkpoint-9.0123456789abcdef.tmp").mkdir()
    (tmp_path / ".checkpoint-9.0123456789abcdef.tmp" / "file").write_text("half")
    (tmp_path / ".mine.tmp").mkdir()
    clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.tmp", "checkpoint-3", "checkpoint-6"]


def test_rotation_deletes_the_oldest_but_not_the_best(tmp_path):
    for step in (1, 2, 3, 10):
        write_checkpoint(tmp_path, step, lambda folder: None)
    left = rotate(list_checkpoints(tmp_path), 2, keep=tmp_path / "checkpoint-1")
    assert left == list_checkpoints(tmp_path) == [tmp_path / "checkpoint-1", tmp_path / "checkpoint-10"]
    assert rotate(left, 1, keep=tmp_path / "checkpoint-1") == left
    assert rotate(left, 1) == list_checkpoints(tmp_path) == [tmp_path / "checkpoint-10"]


def test_the_log_is_cut_back_to_where_the_checkpoint_was_written(tmp_path):
    log = RunLog(tmp_path)
    log.append({"step": 1})
    length = log.sync()
    log.append({"step": 2})
    log.close()
    RunLog(tmp_path, keep=length).close()
    assert read_log(tmp_path) == [{"step": 1}]
    with open(log.path, "ab") as file:
        file.write(b'{"step": 2, "lo')  # a line that was being written
    assert read_log(tmp_path) == [{"step": 1}]
    RunLog(tmp_path, keep=1000).close()  # the log of a lost disk is shorter than the checkpoint says
    assert log.path.read_bytes() == b'{"step": 1}\n'
    RunLog(tmp_path).close()
    assert read_log(tmp_path) == []
