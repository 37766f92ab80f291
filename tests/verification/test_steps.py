"""The steps compute, bit for bit, what the modules of `models/` compute, forward and backward."""

import numpy as np
import pytest
from support import HEADS, randomize

from bert_numpy import models
from bert_numpy.configuration import BertConfig
from bert_numpy.verification.evaluation import Graph, Run
from bert_numpy.verification.steps import Step, last_tap, parameters_of, steps_of

TAKEN_APART = [name for name in HEADS if name != "BertForMultipleChoice"]
LOGITS = {
    "prediction_logits": "cls.predictions",
    "seq_relationship_logits": "cls.seq_relationship",
    "start_logits": "qa_outputs.start",
    "end_logits": "qa_outputs.end",
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("class_name", TAKEN_APART)
def test_every_output_and_every_gradient_is_that_of_the_model(class_name, dtype, make_model, labelled):
    model = make_model(class_name, dtype, pad_token_id=0)
    inputs = labelled(class_name)
    outputs, cache = model.forward(**inputs, output_hidden_states=True, output_attentions=True)
    model.backward(1.0, cache)
    run = Run(steps_of(model), parameters_of(model), inputs, dtype=dtype)
    head = {"BertForMaskedLM": "cls.predictions", "BertForNextSentencePrediction": "cls.seq_relationship"}
    expected = {"embeddings": outputs.hidden_states[0], "loss": outputs.loss}
    for i, attention in enumerate(outputs.attentions):
        expected[f"encoder.layer.{i}.output"] = outputs.hidden_states[i + 1]
        expected[f"encoder.layer.{i}.attention.self.probs"] = attention
    for name, array in outputs.items():
        if name.endswith("logits"):
            expected[LOGITS.get(name, head.get(class_name, "classifier"))] = array
    assert len(expected) > 8
    for tap, array in expected.items():
        assert run.value(tap).dtype == dtype, tap
        np.testing.assert_array_equal(run.value(tap), array, err_msg=tap)
    compared = 0
    for name, parameter in model.named_parameters():
        gradient = run.value("d " + name.removeprefix("bert."))
        if parameter.grad is None:
            assert gradient is None, name
        else:
            np.testing.assert_array_equal(gradient, parameter.grad, err_msg=name)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("class_name", ["BertForSequenceClassification"])
@pytest.mark.parametrize(("num_labels", "problem"), [(1, "regression"), (4, "multi_label_classification")])
def test_losses_of_numbers(class_name, num_labels, problem, make_model, batch, rng):
    changes = {"id2label": {str(i): str(i) for i in range(num_labels)}, "problem_type": problem}
    model = make_model(class_name, **changes)
    labels = rng.integers(0, 2, (3, num_labels)).astype(float)
    outputs, cache = model.forward(**batch, labels=labels)
    model.backward(1.0, cache)
    run = Run(steps_of(model), parameters_of(model), {**batch, "labels": labels})
    np.testing.assert_array_equal(run.value("loss"), outputs.loss)
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(run.value("d " + name.removeprefix("bert.")), parameter.grad, err_msg=name)


def test_a_decoder_that_is_not_tied(make_model, labelled):
    model = make_model("BertForMaskedLM", tie_word_embeddings=False)
    inputs = labelled("BertForMaskedLM")
    outputs, cache = model.forward(**inputs)
    model.backward(1.0, cache)
    run = Run(steps_of(model), parameters_of(model), inputs)
    np.testing.assert_array_equal(run.value("loss"), outputs.loss)
    for name in ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"):
        gradient = run.value("d " + name.removeprefix("bert."))
        np.testing.assert_array_equal(gradient, dict(model.named_parameters())[name].grad)


def test_positions_of_one_s_own(make_model, batch):
    model = make_model("BertModel")
    position_ids = np.arange(11)[::-1] + 3
    outputs = model(**batch, position_ids=position_ids)
    run = Run(steps_of(model), parameters_of(model), {**batch, "position_ids": position_ids})
    np.testing.assert_array_equal(run.value(last_tap(model.config)), outputs.last_hidden_state)
    np.testing.assert_array_equal(run.value("pooler"), outputs.pooler_output)


@pytest.fixture
def taken_apart(make_model, labelled):
    """(steps, parameters, inputs) of a model with two losses."""
    model = make_model("BertForPreTraining")
    return steps_of(model), parameters_of(model), labelled("BertForPreTraining")


def test_what_is_given_is_not_computed(taken_apart, rng):
    steps, parameters, inputs = taken_apart
    mine = rng.standard_normal((3, 11, 32))
    given = {"encoder.layer.0.output": mine, "d encoder.layer.2.output": mine}
    run, free = Run(steps, parameters, inputs, given), Run(steps, parameters, inputs)
    assert run.value("encoder.layer.0.output") is mine
    later = Run(
        steps,
        {**parameters, "embeddings.word_embeddings.weight": parameters["embeddings.word_embeddings.weight"] * 0},
        inputs,
        given,
    )
    np.testing.assert_array_equal(run.value("encoder.layer.1.output"), later.value("encoder.layer.1.output"))
    assert not np.array_equal(run.value("encoder.layer.1.output"), free.value("encoder.layer.1.output"))
    np.testing.assert_array_equal(run.alone("encoder.layer.0.output"), free.value("encoder.layer.0.output"))
    assert np.array_equal(run.alone("d encoder.layer.2.output"), free.value("d encoder.layer.2.output")) is False
    assert not np.array_equal(run.value("d encoder.layer.1.output"), free.value("d encoder.layer.1.output"))


def test_only_what_is_asked_for_is_computed(taken_apart):
    steps, parameters, inputs = taken_apart
    run = Run(steps, parameters, inputs, {"encoder.layer.1.output": np.zeros((3, 11, 32))})
    run.value("encoder.layer.2.attention.self.query")
    assert run.computed == {"encoder.layer.2.attention.self.query"}
    run.value("pooler")
    assert not any("layer.0" in tap or tap.startswith(("embeddings", "cls")) for tap in run.computed)


@pytest.mark.parametrize(
    ("left_out", "losses"),
    [
        ((), ["loss", "loss.mlm", "loss.nsp"]),
        (("labels",), ["loss", "loss.nsp"]),
        (("next_sentence_label",), ["loss", "loss.mlm"]),
        (("labels", "next_sentence_label"), []),
    ],
)
def test_a_loss_needs_its_labels(left_out, losses, taken_apart, make_model):
    steps, parameters, inputs = taken_apart
    inputs = {name: array for name, array in inputs.items() if name not in left_out}
    run = Run(steps, parameters, inputs)
    assert [name for name in ("loss", "loss.mlm", "loss.nsp") if run.has(name)] == losses
    model = make_model("BertForPreTraining")
    outputs, cache = model.forward(**inputs)
    if losses:
        model.backward(1.0, cache)
        np.testing.assert_array_equal(run.value("loss"), outputs.loss)
        name = "embeddings.word_embeddings.weight"
        np.testing.assert_array_equal(run.value(f"d {name}"), dict(model.named_parameters())[f"bert.{name}"].grad)
        head = run.value("d cls.seq_relationship.weight")
        assert (head is None) == ("next_sentence_label" in left_out)


def test_a_changed_step_changes_what_comes_after_it_alone(taken_apart):
    steps, parameters, inputs = taken_apart
    wrong = [step.set(eps=1e-3) if step.tap == "encoder.layer.1.output" else step for step in steps]
    run, right = Run(Graph(wrong), parameters, inputs), Run(Graph(steps), parameters, inputs)
    differing = [step.tap for step in steps if not np.array_equal(run.value(step.tap), right.value(step.tap))]
    assert differing[0] == "encoder.layer.1.output"
    assert not any("layer.0" in tap for tap in differing)


def test_a_step_says_where_it_belongs_and_is_changed_by_copies():
    step = Step("encoder.layer.11.output.dense", "linear", ("x",), ("a.weight", "a.bias"))
    assert step.unit == "encoder.layer.11"
    assert [Step(tap, "add", ()).unit for tap in ("embeddings.add", "pooler", "cls.predictions", "loss.nsp")] == [
        "embeddings",
        "pooler",
        "cls",
        "loss",
    ]
    assert step.set(batch="first").settings == {"batch": "first"}
    assert step.alter(np.zeros_like, "bias").altered == {"a.bias": np.zeros_like}
    assert step.alter(np.zeros_like, "gain") is None
    assert (step.settings, step.altered) == ({}, {})


def test_24_layers_are_not_too_deep():
    config = BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=9,
        num_hidden_layers=24,
        max_position_embeddings=8,
    )
    model = models.BertForMaskedLM(config, dtype=np.float64, rng=1)
    randomize(model, np.random.default_rng(2), weight_scale=0.5)
    model.eval()
    inputs = {"input_ids": np.array([[1, 2, 3]]), "labels": np.array([[4, -100, 5]])}
    outputs, cache = model.forward(**inputs)
    model.backward(1.0, cache)
    run = Run(steps_of(model), parameters_of(model), inputs)
    name = "embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(run.value(f"d {name}"), dict(model.named_parameters())[f"bert.{name}"].grad)
    np.testing.assert_array_equal(run.value("loss"), outputs.loss)


def test_multiple_choice_is_refused(make_model):
    with pytest.raises(TypeError, match="BertForMultipleChoice cannot be taken apart; there are BertModel, BertForPre"):
        steps_of(make_model("BertForMultipleChoice"))
