"""The trainer against a loop written by hand, and what it reports, logs, keeps and refuses."""

import json
import math
import os
import re

import numpy as np
import pytest
from tiny_training import Examples, accuracy, make_model, make_trainer, weights

from bert_numpy.checkpoints import CheckpointError
from bert_numpy.training import SGD, AdamW, clip_grad_norm_, get_constant_schedule
from bert_numpy.training.arguments import TrainingArguments
from bert_numpy.training.callbacks import EVENTS, EarlyStoppingCallback, TrainerCallback
from bert_numpy.training.checkpointing import list_checkpoints
from bert_numpy.training.run_log import read_log
from bert_numpy.training.trainer import Trainer


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What is written here need not survive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Recorder(TrainerCallback):
    """Notes which events came at which step."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name in EVENTS:
            return lambda args, state, control, **kwargs: self.calls.append((name, state.global_step, kwargs))
        return super().__getattribute__(name)

    def names(self):
        return [name for name, _, _ in self.calls]


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def hand_written_loop(model, dataset, *, epochs, batch_size, k, lr, warmup, decay, max_norm, seed):
    """What a careful reader would write with the optimizer alone: no part of the trainer is used."""
    named = list(model.named_parameters())
    exempt = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for _, p in named if not any(p is other for other in exempt)]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": exempt, "weight_decay": 0.0}]
    optimizer = AdamW(groups, lr=lr, betas=(0.9, 0.999), eps=1e-8)
    model.rng.bit_generator.state = np.random.PCG64(seed).state
    model.train()
    num_batches = math.ceil(len(dataset) / batch_size)
    total, step, losses, norms = epochs * math.ceil(num_batches / k), 0, [], []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(dataset))
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        for start in range(0, num_batches, k):
            part = batches[start : start + k]
            loss_sum = 0.0
            for batch in part:
                rows = [dataset[int(i)] for i in batch]
                columns = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "remark"}
                outputs, cache = model.forward(**columns)
                model.backward(1 / len(part), cache)
                loss_sum += float(outputs.loss)
            norms.append(clip_grad_norm_(model.parameters(), max_norm))
            rate = lr * (step / warmup if step < warmup else (total - step) / (total - warmup))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss_sum / len(part))
            step += 1
    return losses, norms


@pytest.mark.parametrize(("dtype", "k", "max_norm"), [(np.float64, 4, 0.2), (np.float32, 2, 0.2), (np.float32, 1, 0)])
def test_the_bits_are_those_of_a_loop_written_by_hand(dtype, k, max_norm, tmp_path):
    by_hand = make_model(dtype=dtype)  # six batches an epoch: with k = 4 the second step of each has only two
    losses, norms = hand_written_loop(
        by_hand, Examples(), epochs=3, batch_size=4, k=k, lr=1e-2, warmup=2, decay=0.1, max_norm=max_norm or math.inf,
        seed=11,
    )  # fmt: skip
    trainer = make_trainer(
        tmp_path,
        make_model(dtype=dtype),
        num_train_epochs=3,
        gradient_accumulation_steps=k,
        max_grad_norm=max_norm,
        seed=11,
        group_by_length=False,
    )
    output = trainer.train()
    log = [record for record in read_log(tmp_path) if "loss" in record]
    assert [record["loss"] for record in log] == losses
    assert [record["grad_norm"] for record in log] == norms
    assert max(norms) > max_norm  # so that clipping takes part, if there is any
    assert output.training_loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert weights(trainer.model) == weights(by_hand)


@pytest.mark.parametrize(
    ("optim", "kind", "correct_bias"),
    [
        ("adamw_torch", AdamW, True),
        ("adamw_torch_fused", AdamW, True),
        ("adamw_google", AdamW, False),
        ("sgd", SGD, None),
    ],
)
def test_the_optimizer_is_the_one_that_is_asked_for(optim, kind, correct_bias, tmp_path):
    trainer = make_trainer(tmp_path, optim=optim, adam_beta1=0.8, adam_beta2=0.9, adam_epsilon=1e-3)
    trainer.create_optimizer_and_scheduler(10)
    assert type(trainer.optimizer) is kind
    decayed, exempt = trainer.optimizer.param_groups
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (0.1, 0.0)
    assert decayed["initial_lr"] == exempt["initial_lr"] == 1e-2
    if kind is AdamW:
        assert (decayed["betas"], decayed["eps"], decayed["correct_bias"]) == ((0.8, 0.9), 1e-3, correct_bias)


def test_an_optimizer_and_a_schedule_of_ones_own_are_used(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=2)
    optimizer = SGD(trainer.model.parameters(), lr=0.5)
    trainer.optimizers = (optimizer, get_constant_schedule(optimizer))
    trainer.train()
    assert trainer.optimizer is optimizer
    assert [record["learning_rate"] for record in read_log(tmp_path) if "loss" in record] == [0.5, 0.5]


def test_recomputation_changes_no_bit(tmp_path):
    plain, recomputed = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b", gradient_checkpointing=True)
    policies = []
    forward = recomputed.model.bert.encoder.forward
    recomputed.model.bert.encoder.forward = lambda *a: policies.append(a[-1]) or forward(*a)
    plain.train()
    recomputed.train()
    assert weights(plain.model) == weights(recomputed.model)
    assert set(policies) == {"recompute", "drop"}  # the latter in evaluation


def test_the_seed_decides_about_dropout_and_order_the_data_seed_about_order_alone(tmp_path):
    def trained(name, **changes):
        trainer = make_trainer(tmp_path / name, make_model(seed=3), num_train_epochs=1, **changes)
        trainer.model.rng.random(17)  # what was drawn before does not matter
        trainer.train()
        return weights(trainer.model)

    assert trained("a") == trained("b")
    assert trained("a") == trained("c", data_seed=42)
    assert trained("a") != trained("d", data_seed=1)
    assert trained("a") != trained("e", seed=1, data_seed=42)


def test_evaluation_during_training_changes_nothing(tmp_path):
    never = make_trainer(tmp_path / "a", eval_strategy="no")
    often = make_trainer(tmp_path / "b", eval_strategy="steps", eval_steps=1, save_steps=1)
    never.train()
    often.train()
    assert weights(never.model) == weights(often.model)


def test_the_model_learns(tmp_path):
    trainer = make_trainer(tmp_path, make_model(dropout=0), num_train_epochs=40, save_strategy="no")
    before = trainer.evaluate(Examples())
    trainer.train()
    after = trainer.evaluate(Examples())
    assert before["eval_loss"] > 0.6
    assert after["eval_loss"] < 0.1
    assert after["eval_accuracy"] == 1.0


def test_the_mode_of_the_model_is_kept(tmp_path):
    trainer = make_trainer(tmp_path, make_model().eval(), max_steps=1)
    modes = []
    trainer.add_callback(
        type("Watch", (TrainerCallback,), {"on_step_end": lambda s, a, b, c, model, **k: modes.append(model.training)})
    )
    trainer.train()
    assert modes == [True]
    assert not trainer.model.training


# ---- steps, epochs, events ----


def test_events_come_in_order(tmp_path):
    recorder = Recorder()
    trainer = make_trainer(tmp_path, callbacks=[recorder], num_train_epochs=1)
    trainer.train()
    step = ["on_step_begin", "on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end"]
    evaluation = ["on_prediction_step", "on_log", "on_evaluate"]
    assert recorder.names() == [
        *("on_init_end", "on_train_begin", "on_epoch_begin"),
        *step, *step, "on_log", *step, "on_save",
        *("on_epoch_end", *evaluation, "on_log", "on_train_end"),
    ]  # fmt: skip
    kwargs = recorder.calls[recorder.names().index("on_step_end")][2]
    assert kwargs["model"] is trainer.model
    assert kwargs["optimizer"] is trainer.optimizer


@pytest.mark.parametrize(
    ("arguments", "steps", "epoch"),
    [
        ({"num_train_epochs": 2}, 6, 2.0),
        ({"num_train_epochs": 0.5}, 2, 4 / 6),
        ({"max_steps": 4}, 4, 1 + 2 / 6),
        ({"num_train_epochs": 1, "dataloader_drop_last": True}, 3, 1.0),
        ({"num_train_epochs": 1, "dataloader_drop_last": True, "gradient_accumulation_steps": 4}, 2, 1.0),
        ({"num_train_epochs": 1, "per_device_train_batch_size": 100}, 1, 1.0),
    ],
)
def test_how_long_a_run_is(tmp_path, arguments, steps, epoch):
    trainer = make_trainer(tmp_path, **arguments)
    output = trainer.train()
    assert output.global_step == steps
    assert trainer.state.epoch == pytest.approx(epoch)
    assert output.metrics["epoch"] == trainer.state.epoch


def test_a_callback_stops_an_epoch_or_the_training(tmp_path):
    class StopEpochs(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_epoch_stop = True

    output = make_trainer(tmp_path / "a", callbacks=[StopEpochs()], num_train_epochs=3).train()
    assert output.global_step == 3
    assert make_trainer(tmp_path / "b", callbacks=[StopAt(2)]).train().global_step == 2


def test_early_stopping_and_the_best_model(tmp_path):
    values = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    trainer = make_trainer(
        tmp_path,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],
        num_train_epochs=5,
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="score",
    )
    trainer.compute_metrics = lambda prediction: {"score": next(values)}
    kept = []
    trainer.add_callback(
        type("Keep", (TrainerCallback,), {"on_save": lambda s, a, b, c, model, **k: kept.append(weights(model))})
    )
    output = trainer.train()
    assert output.global_step == 4 * 3  # the third and the fourth evaluation did not improve on the second
    assert (trainer.state.best_metric, trainer.state.best_global_step) == (0.7, 6)
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-6")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-6", "checkpoint-12"]
    assert weights(trainer.model) == kept[1] != kept[3]


def test_save_strategy_best_writes_only_what_improved(tmp_path):
    values = iter([0.5, 0.7, 0.6, 0.8])
    trainer = make_trainer(tmp_path, save_strategy="best", metric_for_best_model="score")
    trainer.compute_metrics = lambda prediction: {"score": next(values)}
    trainer.train()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-3", "checkpoint-6", "checkpoint-12"]


def test_save_total_limit_keeps_the_newest(tmp_path):
    trainer = make_trainer(tmp_path, save_total_limit=2)
    trainer.train()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-12"]


# ---- reports ----


def test_the_log_has_one_object_for_each_step_and_each_evaluation(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.train()
    records = read_log(tmp_path)
    steps = [record for record in records if "loss" in record]
    assert [record["step"] for record in steps] == list(range(1, 13))
    assert [record["learning_rate"] for record in steps][:4] == pytest.approx([0, 0.005, 0.01, 0.009])
    assert all(record["tokens_per_second"] > 0 for record in steps)
    assert [record["step"] for record in records if "eval_loss" in record] == [3, 6, 9, 12]
    history = [record for record in trainer.state.log_history if "loss" in record]
    assert [record["step"] for record in history] == [2, 4, 6, 8, 10, 12]
    for record, first, second in zip(history, steps[::2], steps[1::2], strict=True):
        assert record["loss"] == pytest.approx((first["loss"] + second["loss"]) / 2)
        assert record["grad_norm"] == second["grad_norm"]
    assert trainer.state.num_input_tokens_seen == 4 * Examples().attention_mask.sum()


def test_evaluation_counts_every_example_once(tmp_path):
    trainer = make_trainer(tmp_path, make_model(dropout=0.5), per_device_eval_batch_size=4)
    dataset = Examples(6)
    logits, losses = [], []
    for i in range(6):
        row = {name: value[np.newaxis] for name, value in dataset[i].items() if name != "remark"}
        outputs = trainer.model.eval()(**row)
        logits.append(outputs.logits[0])
        losses.append(float(outputs.loss))
    trainer.model.train()
    metrics = trainer.evaluate(dataset, metric_key_prefix="test")
    assert metrics["test_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert metrics["test_accuracy"] == np.mean(np.argmax(logits, -1) == dataset.labels)
    assert {"test_runtime", "test_samples_per_second", "test_steps_per_second", "epoch"} <= metrics.keys()
    assert trainer.model.training
    predictions, label_ids, metrics = trainer.predict(dataset)
    np.testing.assert_allclose(predictions, logits, rtol=1e-4, atol=1e-6)
    assert label_ids.tolist() == dataset.labels.tolist()
    assert (
        metrics["test_accuracy"]
        == accuracy(type("P", (), {"predictions": predictions, "label_ids": label_ids}))["accuracy"]
    )


def test_prediction_without_labels(tmp_path):
    trainer = make_trainer(tmp_path)
    unlabelled = [{"input_ids": [2, 3, 4]}, {"input_ids": [2, 4, 3]}]
    output = trainer.predict(unlabelled)
    assert output.label_ids is None
    assert output.predictions.shape == (2, 2)
    assert "test_loss" not in output.metrics


def test_what_is_kept_of_the_outputs_can_be_chosen(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.preprocess_logits_for_metrics = lambda logits, labels: logits.argmax(-1)
    assert trainer.predict(Examples(6)).predictions.shape == (6,)


def test_a_model_and_its_tokenizer_are_saved(tmp_path):
    class Tokenizer:
        def save_pretrained(self, folder):
            (folder / "vocab.txt").write_text("[PAD]\n", encoding="utf-8")

    trainer = Trainer(make_model(), TrainingArguments(str(tmp_path)), tokenizer=Tokenizer())
    trainer.save_model(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
        "vocab.txt",
    ]
    assert weights(type(trainer.model).from_pretrained(tmp_path / "out")) == weights(trainer.model)


# ---- refusals ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_train_epoch": 3},
            "TrainingArguments has no argument 'num_train_epoch'; did you mean 'num_train_epochs'?",
        ),
        ({"evalstrategy": "no"}, "no argument 'evalstrategy'; did you mean 'eval_strategy'?"),
        ({"zzzzzzzz": 3}, "TrainingArguments has no argument 'zzzzzzzz'$"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size is 0; it must be a whole number from 1"),
        ({"gradient_accumulation_steps": 1.5}, "gradient_accumulation_steps is 1.5; it must be a whole number"),
        ({"num_train_epochs": 0}, "num_train_epochs is 0; it must be a number above 0"),
        ({"num_train_epochs": True}, "num_train_epochs is True; it must be a number above 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0; it must be a finite number from 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be a finite number from 0"),
        ({"learning_rate": "1e-4"}, "learning_rate is '1e-4'; it must be a finite number from 0"),
        ({"adam_beta2": 1.0}, "adam_beta2 is 1.0; it must be a number from 0 and below 1"),
        ({"save_steps": 2.5}, "save_steps is 2.5; it must be a whole number from 1, or a fraction"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0"),
        ({"seed": None}, "seed is None; it must be a whole number from 0"),
        ({"save_total_limit": 0}, "save_total_limit is 0; it must be a whole number from 1"),
        ({"eval_strategy": "sometimes"}, "eval_strategy is 'sometimes'; it must be one of no, steps, epoch"),
        ({"lr_scheduler_type": "lineal"}, "lr_scheduler_type is 'lineal'; it must be one of constant, "),
        ({"optim": "adafactor"}, "optim is 'adafactor'; it must be one of adamw_torch, "),
        ({"train_sampling_strategy": "x"}, "train_sampling_strategy is 'x'; it must be one of random"),
        ({"fp16": True}, "fp16=True is not available: weights and gradients are float32 or float64 here; leave it out"),
        ({"bf16": True}, "bf16=True is not available"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor=0.1 is not available"),
        ({"load_best_model_at_end": True}, "the best model is found by evaluating: set eval_strategy"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "epoch"},
            "save_strategy 'steps' and eval_strategy 'epoch' must be the same",
        ),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 4},
            "save_steps 4 must be a multiple of eval_steps 3",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message.replace("?", r"\?")) as raised:
        TrainingArguments("results", **arguments)
    assert "\n" not in str(raised.value)


def test_old_names_and_defaults():
    args = TrainingArguments("x", evaluation_strategy="epoch", group_by_length=True, warmup_ratio=0.1, no_cuda=True)
    assert (args.eval_strategy, args.train_sampling_strategy, args.do_eval) == ("epoch", "group_by_length", True)
    assert args.get_warmup_steps(95) == 10
    assert TrainingArguments(warmup_steps=7, warmup_ratio=0.5).get_warmup_steps(95) == 7
    best = TrainingArguments(eval_strategy="steps", load_best_model_at_end=True)
    assert (best.metric_for_best_model, best.greater_is_better) == ("loss", False)
    assert TrainingArguments(metric_for_best_model="f1").greater_is_better
    assert json.loads(args.to_json_string())["learning_rate"] == 5e-5
    assert (
        "secret"
        not in repr(TrainingArguments(hub_token="secret")) + TrainingArguments(hub_token="secret").to_json_string()
    )


def test_what_cannot_be_reported_is_said(caplog):
    TrainingArguments(report_to="wandb")
    assert "report_to='wandb': not available here; the log is train_log.jsonl" in caplog.text


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": None}, TypeError, "model is a NoneType; pass a model"),
        ({"args": {}}, TypeError, "args is a dict; pass TrainingArguments"),
        ({"train_dataset": {"input_ids": [[1]]}}, TypeError, "train_dataset is a dict of columns; pass a sequence"),
        ({"eval_dataset": iter([])}, TypeError, "eval_dataset is a list_iterator; pass a sequence"),
        ({"train_dataset": []}, ValueError, "train_dataset is empty"),
        ({"args": TrainingArguments(eval_strategy="epoch")}, ValueError, "'epoch', but there is no eval_dataset"),
    ],
)
def test_bad_trainers_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        Trainer(**{"model": make_model(), "args": TrainingArguments(), **changes})


def test_bad_data_is_refused_when_it_is_met(tmp_path):
    def train(dataset, **changes):
        args = TrainingArguments(str(tmp_path), **changes)
        return Trainer(make_model(), args, train_dataset=dataset).train()

    with pytest.raises(ValueError, match="BertForSequenceClassification returned no loss for a batch of input_ids"):
        train([{"input_ids": [2, 3]}])
    with pytest.raises(
        ValueError, match=r"input_ids of row 1 has shape \(3,\), that of row 0 \(2,\); tokenize with padding"
    ):
        train(
            [{"input_ids": [2, 3], "labels": 0}, {"input_ids": [2, 3, 4], "labels": 1}],
            train_sampling_strategy="sequential",
        )
    with pytest.raises(ValueError, match="no column of the examples is one that BertForSequenceClassification takes"):
        train([{"text": "hello"}])
    with pytest.raises(TypeError, match="example 0 of train_dataset is a tuple; it must be a mapping"):
        train([([2, 3], 0)])
    with pytest.raises(
        ValueError, match="train_dataset has 1 examples, less than a batch of 8, and dataloader_drop_last"
    ):
        train([{"input_ids": [2, 3], "labels": 0}], dataloader_drop_last=True)
    with pytest.raises(ValueError, match="there is no train_dataset"):
        Trainer(make_model(), TrainingArguments(str(tmp_path))).train()


def test_a_metric_that_is_not_there_is_named(tmp_path):
    trainer = make_trainer(tmp_path, metric_for_best_model="f1")
    with pytest.raises(
        ValueError,
        match="metric_for_best_model 'f1' is not among the results of the evaluation: epoch, eval_accuracy, ",
    ):
        trainer.train()


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"output_dir .*file cannot be written"):
        make_trainer(tmp_path / "file").train()


def test_an_unreadable_line_of_a_log_is_named(tmp_path):
    make_trainer(tmp_path, max_steps=1).train()  # a step and an evaluation
    with open(tmp_path / "train_log.jsonl", "a", encoding="utf-8") as file:
        file.write("nonsense\n")
    with pytest.raises(ValueError, match=re.escape("train_log.jsonl:3: not JSON")):
        read_log(tmp_path)
