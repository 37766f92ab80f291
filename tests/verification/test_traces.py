"""What a wrong tensor shows by itself, in a dump that is otherwise right."""

import numpy as np
import pytest
from own_port import dump_of

from bert_numpy.nn.functional import softmax_forward
from bert_numpy.verification import compare
from bert_numpy.verification.evaluation import Run
from bert_numpy.verification.steps import parameters_of, steps_of
from bert_numpy.verification.traces import wrong_mask

SELF = "encoder.layer.1.attention.self"

MASKS = {
    "mask ignored": lambda scores, real: scores,
    "mask of -10 only": lambda scores, real: scores - 10 * ~real[:, None, None, :],
    "scores multiplied by the mask": lambda scores, real: scores * real[:, None, None, :],
    "mask on the queries": lambda scores, real: scores - 10000 * ~real[:, None, :, None],
    "mask of a part of the padding only": lambda scores, real: (
        scores - 1e4 * ~(real | (np.arange(11) == 10))[:, None, None]
    ),
    "causal mask: later tokens are hidden": (
        lambda scores, real: scores - 1e9 * (~real[:, None, None, :] | ~np.tri(11, dtype=bool))
    ),
    "mask inverted: it is added to the scores of the tokens, not to those of padding": (
        lambda scores, real: scores - 3 * real[:, None, None, :]
    ),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_wrong_mask_is_told_from_one_that_is_missing(name, model, labelled):
    inputs = labelled("BertForPreTraining")
    scores = Run(steps_of(model), parameters_of(model), inputs, dtype=np.float32).value(f"{SELF}.scores")
    real = inputs["attention_mask"] != 0
    assert not real.all()
    moved = MASKS[name](scores, real).astype(np.float32)
    port = {f"{SELF}.scores": moved, f"{SELF}.probs": softmax_forward(moved)[0]}
    (case,) = compare(model, {**inputs, **port}).cases
    assert [finding.name for finding in case.findings] == [name]


def test_padding_that_no_token_looks_at_shows_no_mask():
    """The second sequence is all padding: scores that are all moved are not moved by a mask."""
    real, scores = np.array([[True, True], [False, False]]), np.arange(8.0).reshape(2, 1, 2, 2)
    assert wrong_mask(scores - 3, scores, real) == ""


def test_a_right_mask_in_the_scores_is_no_mistake(model, labelled):
    inputs = labelled("BertForPreTraining")
    run = Run(steps_of(model), parameters_of(model), inputs, dtype=np.float32)
    hidden = (inputs["attention_mask"] == 0)[:, None, None, :]
    port = {f"{SELF}.scores": run.value(f"{SELF}.scores") - 1e4 * hidden, f"{SELF}.probs": run.value(f"{SELF}.probs")}
    assert compare(model, {**inputs, **{name: array.astype(np.float32) for name, array in port.items()}}).ok


def rolled(array):
    return np.roll(array, 1, axis=-1)


def one_wrong(array):
    array[0, 1, 2] += 1000
    return array


STRANGE = {
    "all its numbers are 0": (f"{SELF}.query", lambda array: -0.0 * np.ones_like(array)),
    "it has the right numbers, in another order": (f"{SELF}.query", rolled),
    "wrong numbers: 1 of 704; the others are right": (f"{SELF}.query", one_wrong),
    "its rows are probabilities: softmax was applied to it": ("cls.predictions", lambda x: softmax_forward(x)[0]),
    "its rows are probabilities: log-softmax was applied to it": (
        "cls.predictions",
        lambda x: np.log(softmax_forward(x)[0]),
    ),
}


@pytest.mark.parametrize("says", STRANGE)
def test_what_no_weights_would_give_is_said(says, model, labelled):
    tap, spoil = STRANGE[says]
    inputs = labelled("BertForPreTraining")
    run = Run(steps_of(model), parameters_of(model), inputs, dtype=np.float32)
    (case,) = compare(model, {**inputs, tap: spoil(run.value(tap).copy())}).cases
    assert [(finding.tap, finding.name, finding.says) for finding in case.findings] == [(tap, "", says)]


@pytest.mark.parametrize(
    ("index", "name"),
    [("mean of all", "the mean of all positions, padding too"), ("very last", "the last position, padding or not")],
)
def test_pooling_that_forgets_the_padding_is_named(index, name, model, labelled):
    inputs = labelled("BertForPreTraining")
    steps = [step.set(index=index) if step.operation == "token" else step for step in steps_of(model)]
    pooler = Run(steps, parameters_of(model), inputs, dtype=np.float32).value("pooler")
    (case,) = compare(model, {**inputs, "pooler": pooler}).cases
    assert [finding.name for finding in case.findings] == [f"pooler of {name}"]


def test_a_batch_of_padding_alone_is_not_verified(model, labelled):
    dump = dump_of(model, labelled("BertForPreTraining"), gradients=False)
    report = compare(model, {**dump, "attention_mask": np.zeros_like(dump["attention_mask"])})
    assert not report.ok
    assert report.cases[0].problems == ["attention_mask is 0 everywhere: no position counts, and nothing is compared"]
    dump["attention_mask"][0] = 0
    assert "sequence 0 of the batch is all padding, and is not compared" in compare(model, dump).cases[0].notes


def test_few_finer_or_coarser_tensors_do_not_decide_the_precision(model, labelled):
    inputs = labelled("BertForPreTraining")
    run = Run(steps_of(model), parameters_of(model), inputs, dtype=np.float32)
    port = {step.tap: run.value(step.tap) for step in steps_of(model) if step.operation in ("linear", "layer_norm")}
    half = {name: array.astype(np.float16) for name, array in port.items()}
    mixed = compare(model, {**inputs, **half, "pooler": run.value("pooler")})
    assert (mixed.precision, mixed.ok) == ("float16", True)
    name = f"{SELF}.query"
    report = compare(model, {**inputs, **port, name: half[name]}, diagnose=False)
    assert (report.precision, report.ok) == ("float32", False)
    (note,) = [note for note in report.cases[0].notes if "half" in note]
    assert note == f"{name} is stored in half precision, and the rest in float32: it cannot agree better than that"


def test_the_dump_of_another_model_is_not_told_tensor_by_tensor(model, make_model, labelled):
    inputs, other = labelled("BertForPreTraining"), make_model("BertForPreTraining", np.float32, seed=5)
    run = Run(steps_of(other), parameters_of(other), inputs, dtype=np.float32)
    port = {step.tap: run.value(step.tap) for step in steps_of(other) if step.operation in ("linear", "embedding")}
    (case,) = compare(model, {**inputs, **port}).cases
    (finding,) = [finding for finding in case.findings if finding.name]
    assert finding.name == "other weights than embeddings.word_embeddings.weight"
    assert finding.says == "is it the dump of this model?"
    assert f"{SELF}.query" in finding.taps


def test_embeddings_of_another_model_are_called_unrelated(model, make_model, labelled):
    """Later layers, fed with these, are not: the residual is in them."""
    inputs, other = labelled("BertForPreTraining"), make_model("BertForPreTraining", np.float32, seed=5)
    states = dump_of(other, inputs, gradients=False)
    report = compare(model, {**inputs, **{name: states[name] for name in states if name.startswith("hidden_states")}})
    said = "it has nothing to do with the right numbers, as with other weights or another input"
    assert (report.findings[0].tap, report.findings[0].says) == ("embeddings", said)


# ---- gradients ----


@pytest.fixture
def gradients(model, labelled):
    """The dump of a correct port with the gradient of every parameter, and none of a tap."""
    return dump_of(model, labelled("BertForPreTraining"))


def grads_of(dump):
    return [name for name in dump if name.endswith(".grad")]


def test_gradients_that_are_never_written_are_told_once(model, gradients):
    lost = [name for name in grads_of(gradients) if name.endswith("LayerNorm.bias.grad")]
    dump = {name: array * 0 if name in lost else array for name, array in gradients.items()}
    (finding,) = compare(model, dump).findings
    assert finding.name == "gradient that is 0 everywhere"
    assert len(finding.taps) == len(lost) == 8


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("labels", "loss without that of the masked words"),
        ("next_sentence_label", "loss without that of the next sentence"),
    ],
)
def test_gradients_of_one_of_two_losses(label, name, model, gradients, labelled):
    inputs = labelled("BertForPreTraining")
    of_one = dump_of(model, {key: array for key, array in inputs.items() if key != label})
    found = {key: of_one[key] if key in of_one else gradients[key] * 0 for key in grads_of(gradients)}
    (finding,) = compare(model, {**inputs, **found}).findings
    assert finding.name == name


@pytest.mark.parametrize(("factor", "remedy"), [(-1, "and not with -1"), (3, "with 0 before each batch")])
def test_gradients_with_a_factor_in_common(factor, remedy, model, gradients):
    dump = {name: factor * array if name.endswith(".grad") else array for name, array in gradients.items()}
    (finding,) = compare(model, dump).findings
    assert finding.name == f"all gradients times {factor}"
    assert remedy in finding.remedy


def test_a_few_gradients_that_are_missing_are_noted(model, gradients):
    names = [name for name in grads_of(gradients) if "seq_relationship" in name]
    notes = compare(model, {name: array for name, array in gradients.items() if name not in names}).cases[0].notes
    parameters = "cls.seq_relationship.weight, cls.seq_relationship.bias"
    assert f"the dump has no gradient of {parameters}, on which the loss depends" in notes
    assert not any("no gradient" in note for note in compare(model, gradients).cases[0].notes)
    few = {name: array for name, array in gradients.items() if not name.endswith(".grad") or name in names}
    assert not any("no gradient" in note for note in compare(model, few).cases[0].notes)


def test_a_mask_in_the_scores_does_not_hide_what_is_wrong_with_them(model, labelled):
    """Scores at padding do not count, and are not looked at."""
    inputs = labelled("BertForPreTraining")
    scores = Run(steps_of(model), parameters_of(model), inputs, dtype=np.float32).value(f"{SELF}.scores")
    hidden = np.float32(-1e9) * (inputs["attention_mask"] == 0)[:, None, None, :]
    (finding,) = compare(model, {**inputs, f"{SELF}.scores": 1.01 * scores + hidden}).findings
    assert finding.says == "it is the reference's times 1.01"
