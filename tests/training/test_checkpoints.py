"""Which checkpoint of a folder counts, what one holds, and which are deleted."""

import errno
import json
import os
import random
from pathlib import Path

import pytest
from interrupted_runs import Broken, breaking
from tiny_training import make_trainer, weights

from bert_numpy.checkpoints import CheckpointError, safetensors
from bert_numpy.training.checkpointing import (
    clean,
    get_last_checkpoint,
    list_checkpoints,
    rotate,
    write_checkpoint,
)
from bert_numpy.training.run_log import RunLog, read_log


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
