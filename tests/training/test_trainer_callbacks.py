"""Callbacks, what they are told and what they can do; the progress line; training beside the main thread."""

import io
import threading

import numpy as np
import pytest
from tiny_training import make_trainer, weights

from bert_numpy.training.arguments import TrainingArguments
from bert_numpy.training.callbacks import (
    CallbackHandler,
    DefaultFlowCallback,
    EarlyStoppingCallback,
    TrainerCallback,
    is_better,
    metric_of,
)
from bert_numpy.training.progress import ProgressCallback, describe, duration
from bert_numpy.training.run_log import read_log
from bert_numpy.training.state import EvalPrediction, TrainerControl, TrainerState


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Half a second passes between two looks."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        self.time += 0.5
        return self.time


# ---- when to do what ----


def due_steps(steps, **arguments):
    flow, found = DefaultFlowCallback(), {"log": [], "evaluate": [], "save": []}
    args = TrainingArguments(**arguments)
    for step in range(1, steps + 1):
        control = TrainerControl()
        flow.on_step_end(args, TrainerState(global_step=step, max_steps=steps), control)
        for what in found:
            if getattr(control, f"should_{what}"):
                found[what].append(step)
    return found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"logging_steps": 3}, {"log": [3, 6, 9], "evaluate": [], "save": [10]}),
        ({"logging_steps": 4, "logging_first_step": True}, {"log": [1, 4, 8], "evaluate": [], "save": [10]}),
        ({"logging_strategy": "no"}, {"log": [], "evaluate": [], "save": [10]}),
        (
            {"logging_steps": 5, "eval_strategy": "steps", "save_strategy": "no"},
            {"log": [5, 10], "evaluate": [5, 10], "save": []},
        ),
        (
            {"logging_steps": 0.5, "eval_strategy": "steps", "eval_steps": 2, "eval_delay": 5, "save_steps": 0.25},
            {"log": [5, 10], "evaluate": [6, 8, 10], "save": [3, 6, 9, 10]},
        ),
        ({"save_strategy": "epoch"}, {"log": [], "evaluate": [], "save": []}),
    ],
)
def test_when_to_log_evaluate_and_save(arguments, expected):
    assert due_steps(10, **arguments) == expected


def test_at_the_end_of_an_epoch():
    args = TrainingArguments(logging_strategy="epoch", eval_strategy="epoch", save_strategy="epoch", eval_delay=2)
    for epoch, due in ((1.0, [True, False, True]), (2.0, [True, True, True])):
        control = TrainerControl()
        DefaultFlowCallback().on_epoch_end(args, TrainerState(epoch=epoch), control)
        assert [control.should_log, control.should_evaluate, control.should_save] == due


def test_evaluation_at_the_start_comes_first(tmp_path):
    trainer = make_trainer(tmp_path, eval_on_start=True, max_steps=2, eval_strategy="no")
    trainer.train()
    assert [record["step"] for record in trainer.state.log_history if "eval_loss" in record] == [0]


def test_early_stopping_counts_evaluations_without_improvement():
    args = TrainingArguments(eval_strategy="epoch", metric_for_best_model="f1")
    stopper = EarlyStoppingCallback(early_stopping_patience=2, early_stopping_threshold=0.1)
    state = TrainerState()
    stops = []
    for value in (0.5, 0.55, 0.7, 0.75, 0.79, 0.1):
        control = TrainerControl()
        stopper.on_evaluate(args, state, control, metrics={"eval_f1": value})
        stops.append(control.should_training_stop)
        state.best_metric = max(value, state.best_metric or 0)
    assert stops == [False, False, False, False, True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "EarlyStoppingCallback needs metric_for_best_model"),
        ({"metric_for_best_model": "loss", "eval_strategy": "no"}, "EarlyStoppingCallback needs eval_strategy"),
    ],
)
def test_early_stopping_says_what_it_needs(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, callbacks=[EarlyStoppingCallback()], **arguments).train()


def test_better_is_as_the_arguments_say():
    f1, loss = TrainingArguments(metric_for_best_model="f1"), TrainingArguments(metric_for_best_model="eval_loss")
    assert [is_better(f1, 0.5, None), is_better(f1, 0.5, 0.4), is_better(f1, 0.4, 0.4)] == [True, True, False]
    assert [is_better(loss, 0.5, None), is_better(loss, 0.5, 0.4), is_better(loss, 0.3, 0.4)] == [True, False, True]
    assert not is_better(f1, float("nan"), None)
    assert not is_better(f1, float("nan"), 0.1)
    assert metric_of(loss, {"eval_loss": 2}) == 2.0


# ---- the list of callbacks ----


def test_callbacks_are_added_as_classes_and_instances_and_removed():
    class Mine(TrainerCallback):
        pass

    one = Mine()
    handler = CallbackHandler([one, Mine])
    assert handler.remove(one) is one
    assert type(handler.remove(Mine)) is Mine
    assert handler.remove(Mine) is None
    with pytest.raises(TypeError, match="object is no callback; derive it from TrainerCallback"):
        handler.add(object())


def test_states_of_callbacks_are_kept_apart():
    first, second = EarlyStoppingCallback(5), EarlyStoppingCallback(7)
    first.early_stopping_patience_counter, second.early_stopping_patience_counter = 1, 2
    states = CallbackHandler([first, TrainerCallback(), second]).state_dict()
    others = [EarlyStoppingCallback(), EarlyStoppingCallback(), EarlyStoppingCallback()]
    CallbackHandler(others).load_state_dict(states)
    assert [other.early_stopping_patience_counter for other in others] == [1, 2, 0]


def test_a_callback_may_return_another_control(tmp_path):
    class Replace(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            return TrainerControl(should_training_stop=True)

    assert make_trainer(tmp_path, callbacks=[Replace]).train().global_step == 1


def test_callbacks_of_a_trainer(tmp_path):
    trainer = make_trainer(tmp_path, disable_tqdm=True)
    stopper = EarlyStoppingCallback()
    trainer.add_callback(stopper)
    assert trainer.pop_callback(EarlyStoppingCallback) is stopper
    trainer.remove_callback(DefaultFlowCallback)
    assert trainer.callback_handler.callbacks == []


# ---- progress ----


def test_the_line_for_people():
    assert describe(0, 1500, None, 0.0) == "   0/1500    0 %"
    assert describe(1500, 1500, 0.5, 2.0) == "1500/1500  100 %  loss 0.5000  2.00 it/s  0:00 left"
    assert describe(10, 1000, 1.25, 0.1) == "  10/1000    1 %  loss 1.2500  0.10 it/s  2:45:00 left"
    assert [duration(59.4), duration(59.6), duration(3600)] == ["0:59", "1:00", "1:00:00"]


def test_progress_overwrites_one_line_of_a_terminal(tmp_path):
    terminal = Terminal()
    trainer = make_trainer(tmp_path, callbacks=[ProgressCallback(terminal, Clock())], disable_tqdm=True, max_steps=4)
    trainer.train()
    lines = terminal.getvalue().split("\r")
    steps = [line for line in lines if "it/s" in line and "evaluating" not in line]
    assert steps[0].startswith("1/4   25 %  loss 0.")
    assert "2.00 it/s  0:02 left" in steps[0]
    assert " ".join(steps[-1].split()).endswith("1.00 it/s 0:00 left")
    assert any("evaluating 1/1" in line for line in lines)
    assert terminal.getvalue().count("\n") == 1


def test_an_error_begins_on_a_line_of_its_own(tmp_path):
    class Fail(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 2:
                raise OSError

    terminal = Terminal()
    trainer = make_trainer(tmp_path, callbacks=[ProgressCallback(terminal, Clock()), Fail()])
    with pytest.raises(OSError):  # noqa: PT011  any
        trainer.train()
    assert terminal.getvalue().endswith("\n")


def test_progress_is_silent_elsewhere(tmp_path, capsys):
    make_trainer(tmp_path, max_steps=2).train()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress_is_shown_ten_times_a_second_at_most():
    terminal, time = Terminal(), [0.0]
    progress = ProgressCallback(terminal, lambda: time[0])
    for time[0] in (1.0, 1.05, 1.2):
        progress.show(f"at {time[0]}")
    assert terminal.getvalue() == "\rat 1.0\rat 1.2"


# ---- the rest ----


def test_training_beside_the_main_thread(tmp_path):
    here, there = make_trainer(tmp_path / "a", max_steps=3), make_trainer(tmp_path / "b", max_steps=3)
    here.train()
    thread = threading.Thread(target=there.train)
    thread.start()
    thread.join()
    assert weights(there.model) == weights(here.model)


def test_the_state_comes_back_from_its_file(tmp_path):
    state = TrainerState(epoch=1 / 3, global_step=7, log_history=[{"loss": 0.1, "step": 7}], best_metric=0.1 + 0.2)
    state.save_to_json(tmp_path / "trainer_state.json")
    assert TrainerState.load_from_json(tmp_path / "trainer_state.json") == state


def test_predictions_unpack_and_have_names():
    prediction = EvalPrediction("p", "l")
    predictions, labels = prediction
    assert (predictions, labels) == (prediction[0], prediction[1]) == (prediction.predictions, prediction.label_ids)
    assert len(prediction) == 2


def test_metrics_of_any_kind_are_written(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=3, metric_for_best_model="f1")
    nested = {"by_class": {"a": np.float32(0.5), "b": np.arange(2)}, "f1": np.float32(0.25), "bad": np.float64("nan")}
    trainer.compute_metrics = lambda prediction: nested
    trainer.train()
    record = read_log(tmp_path)[-1]
    assert (record["eval_by_class"], record["eval_f1"], record["eval_bad"]) == ({"a": 0.5, "b": [0, 1]}, 0.25, "nan")
    trainer.save_state()
    history = TrainerState.load_from_json(tmp_path / "trainer_state.json").log_history
    assert [entry["eval_by_class"] for entry in history if "eval_f1" in entry] == [{"a": 0.5, "b": [0, 1]}]
