"""A run that is interrupted by Ctrl-C, or killed at any moment, goes on with the same bits."""

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

import pytest
import tiny_training
from interrupted_runs import At, Broken, assert_same, breaking, outcome
from tiny_training import make_model, make_trainer, weights

import bert_numpy
from bert_numpy.training.checkpointing import (
    check_checkpoint,
    clean,
    get_last_checkpoint,
    list_checkpoints,
)
from bert_numpy.training.run_log import read_log

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
