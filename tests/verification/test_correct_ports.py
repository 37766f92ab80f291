"""Ports that are right in a way of their own are not accused; and what is wrong with them is still seen."""

import numpy as np
import pytest

from bert_numpy.verification import compare
from bert_numpy.verification.evaluation import Run
from bert_numpy.verification.steps import parameters_of, steps_of

POSITIONS = "embeddings.position_embeddings"


@pytest.fixture
def inputs(labelled):
    return labelled("BertForPreTraining")


def run_of(model, inputs, dtype=np.float32):
    return Run(steps_of(model), parameters_of(model), inputs, dtype=dtype)


# ---- positions that are looked up for each sequence ----


def for_each_sequence(inputs, positions=None):
    B, S = inputs["input_ids"].shape
    return {**inputs, "position_ids": np.tile(np.arange(S), (B, 1)) if positions is None else positions}


@pytest.mark.parametrize("names", [[POSITIONS], [f"d {POSITIONS}"], [POSITIONS, f"d {POSITIONS}"]], ids=str)
@pytest.mark.parametrize("folded", [False, True])
def test_positions_may_be_looked_up_for_each_sequence(model, inputs, names, folded):
    run = run_of(model, for_each_sequence(inputs))
    taps = {name: run.value(name) for name in (*names, "embeddings.add", f"d {POSITIONS}.weight")}
    B, S, H = taps["embeddings.add"].shape
    assert all(taps[name].shape == (B, S, H) for name in names)
    taps |= {name: taps[name].reshape(B * S, H) for name in names if folded}
    report = compare(model, {**inputs, **taps})
    assert report.ok, report.to_text()
    assert {tap.name for tap in report.cases[0].taps} >= set(names)


def test_positions_looked_up_once_may_have_a_gradient_for_each_sequence(model, inputs):
    """torch, if the rows are expanded over the batch and the gradient is taken of what was expanded."""
    once, each = run_of(model, inputs), run_of(model, for_each_sequence(inputs))
    taps = {POSITIONS: once.value(POSITIONS), f"d {POSITIONS}": each.value(f"d {POSITIONS}")}
    assert [array.shape[0] for array in taps.values()] == [1, len(inputs["input_ids"])]
    report = compare(model, {**inputs, **taps})
    assert report.ok, report.to_text()
    taps[f"d {POSITIONS}"][1] *= 1.01
    assert compare(model, {**inputs, **taps}).cases[0].first.name == f"d {POSITIONS}"


def test_positions_that_count_from_one_for_each_sequence_are_named(model, inputs):
    """RoBERTa's way: real tokens count from 1, padding has position 0."""
    mask = inputs["attention_mask"]
    run = run_of(model, for_each_sequence(inputs, np.cumsum(mask, axis=1) * mask))
    (finding,) = compare(model, {**inputs, POSITIONS: run.value(POSITIONS)}).findings
    assert finding.name == "positions shifted by +1"


# ---- a label that the model is certain of ----


@pytest.mark.parametrize("certain", [5.0, 10.0, 14.0])
@pytest.mark.parametrize("class_name", ["BertForNextSentencePrediction", "BertForQuestionAnswering"])
def test_the_gradient_of_a_certain_label_is_a_difference_that_rounding_spoils(
    class_name, certain, make_model, labelled, rng
):
    """p - 1 with p near 1, computed by another program in float32: softmax first, then the difference."""
    model = make_model(class_name, np.float32)
    inputs = {name: array[:1] for name, array in labelled(class_name).items()}
    head = "cls.seq_relationship" if class_name == "BertForNextSentencePrediction" else "qa_outputs"
    parameter = dict(model.named_parameters())[f"{head}.bias"]
    for _ in range(8):
        parameter.data[...] = rng.standard_normal(2)
        if class_name == "BertForNextSentencePrediction":
            parameter.data[int(inputs["labels"][0])] += certain
        taps, run = {}, run_of(model, inputs)
        logits = {f"{head}": "labels"} if head.startswith("cls") else {}
        logits |= {} if logits else {f"qa_outputs.{end}": f"{end}_positions" for end in ("start", "end")}
        for tap, name in logits.items():
            x = run.value(tap)
            if not head.startswith("cls"):
                x = x.copy()
                x[0, int(inputs[name][0])] += np.float32(certain)
            e = np.exp(x - x.max(axis=-1, keepdims=True))
            p = e / e.sum(axis=-1, keepdims=True)
            p[0, int(inputs[name][0])] -= 1
            taps |= {tap: x, f"d {tap}": p if head.startswith("cls") else p / 2}
        report = compare(model, {**inputs, **taps}, diagnose=False)
        gradients = [tap for tap in report.cases[0].taps if tap.is_gradient]
        assert all(tap.alone <= report.threshold for tap in gradients), report.to_text(every_tap=True)
        assert any(tap.max_difference for tap in gradients) or certain < 10


# ---- what does not count ----


@pytest.mark.parametrize("value", [0.0, 1e30, -7.0])
def test_anything_may_stand_at_padding(value, model, inputs):
    """In every tensor that has positions; the gradients are those of a program that does not look there."""
    real = inputs["attention_mask"] != 0
    inputs = {**inputs, "labels": np.where(real, inputs["labels"], -100)}
    run = run_of(model, inputs)
    names = [step.tap for step in steps_of(model)]
    taps = {name: np.asarray(run.value(name)) for tap in names for name in (tap, f"d {tap}")}
    changed = [name for name in names if taps[name].shape[:2] == real.shape]
    assert len(changed) > 40
    taps |= {name: np.where(real[..., None], taps[name], np.float32(value)) for name in changed}
    report = compare(model, {**inputs, **taps})
    assert report.ok, report.to_text()


@pytest.mark.parametrize("class_name", ["BertForMaskedLM", "BertForPreTraining", "BertForQuestionAnswering"])
def test_a_loss_to_which_no_label_contributes_is_not_compared(class_name, make_model, labelled):
    """torch divides 0 by 0 there."""
    model, inputs = make_model(class_name, np.float32), labelled(class_name)
    none = {"labels": -100, "start_positions": inputs["input_ids"].shape[1] + 3}
    inputs = {name: np.full_like(array, none[name]) if name in none else array for name, array in inputs.items()}
    run = run_of(model, inputs)
    states = {step.tap: run.value(step.tap) for step in steps_of(model) if step.tap.startswith("encoder")}
    nan = {"loss": np.float32(np.nan), "d pooler.dense.weight": np.full((32, 32), np.nan, np.float32)}
    nan = {name: array for name, array in nan.items() if class_name == "BertForPreTraining" or name == "loss"}
    report = compare(model, {**inputs, **states, **nan})
    assert report.ok, report.to_text()
    assert len(report.cases[0].taps) == len(states)
    (note,) = [note for note in report.cases[0].notes if "none counts" in note]
    assert "the loss is 0 / 0" in note
