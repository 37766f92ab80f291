"""The judgement of a port whose tensors come from the modules of `models/`: spoil one thing, and see it named."""

import numpy as np
import pytest
from own_port import dump_of

from bert_numpy.verification import compare
from bert_numpy.verification.evaluation import Run
from bert_numpy.verification.precision import round_to_bfloat16
from bert_numpy.verification.steps import parameters_of, steps_of


@pytest.mark.parametrize(
    "class_name",
    [
        "BertForPreTraining",
        "BertForMaskedLM",
        "BertForNextSentencePrediction",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertForQuestionAnswering",
    ],
)
def test_a_correct_port_of_every_head_passes_in_both_precisions(class_name, make_model, labelled):
    for dtype in ("float32", "float64"):
        model = make_model(class_name, np.dtype(dtype), pad_token_id=0)
        report = compare(model, dump_of(model, labelled(class_name)))
        assert report.ok, report.to_text()
        assert report.precision == dtype
        assert sum(tap.is_gradient for tap in report.cases[0].taps) > 50


def eps(model):
    model.bert.encoder.layer[1].output.LayerNorm.eps = 1e-5


def tanh(model):
    model.bert.encoder.layer[2].intermediate.intermediate_act_fn.operation = "gelu_new"


def no_bias(model):
    model.bert.encoder.layer[0].attention.self.query.bias.data[:] = 0


def other_layer(model):
    own, other = (dict(model.bert.encoder.layer[i].named_parameters()) for i in (2, 1))
    for name, parameter in own.items():
        parameter.data[...] = other[name].data


def no_gain(model):
    model.bert.embeddings.LayerNorm.weight.data[:] = 1


SPOILED = {
    "epsilon": (eps, "encoder.layer.1.output", "LayerNorm epsilon 1e-05"),
    "tanh": (tanh, "encoder.layer.2.output", "activation gelu_new instead of gelu"),
    "no bias": (no_bias, "encoder.layer.0.attention.self.probs", "bias missing"),
    "other layer": (other_layer, "encoder.layer.2.attention.self.probs", "weights of layer 1"),
    "no gain": (no_gain, "embeddings", "LayerNorm gain not loaded"),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_one_thing_is_spoiled_and_named(spoiled, model, make_model, labelled):
    spoil, tap, name = SPOILED[spoiled]
    other = make_model("BertForPreTraining", np.float32)
    spoil(other)
    report = compare(model, dump_of(other, labelled("BertForPreTraining"), gradients=False))
    (case,) = report.cases
    assert case.first.name == tap
    assert [finding.name for finding in case.findings] == [name]
    assert all(row.verdict == "ok" for row in case.taps[: case.taps.index(case.first)])


def test_a_tensor_that_is_wrong_in_the_dump_only_blames_no_other(model, labelled):
    dump = dump_of(model, labelled("BertForPreTraining"))
    dump["hidden_states.2"] = dump["hidden_states.2"] * np.float32(1.001)
    (case,) = compare(model, dump).cases
    assert [tap.name for tap in case.taps if not tap.ok] == ["encoder.layer.1.output"]
    assert [(finding.tap, finding.name) for finding in case.findings] == [("encoder.layer.1.output", "")]
    assert case.findings[0].says == "it is the reference's times 1.001"


def test_the_floor_of_half_precision_has_the_rounding_of_probabilities(make_model, labelled):
    """dscores = P (dP - Σ P dP): if P is rounded, it sums to 1 no more, and a dP that is nearly even shows it."""
    model = make_model("BertForPreTraining", np.float32)
    name = "encoder.layer.1.attention.self.probs"
    inputs = labelled("BertForPreTraining")
    even = np.random.default_rng(0).normal(100, 0.001, (3, 4, 11, 11)).astype(np.float32)
    steps, parameters = steps_of(model), parameters_of(model)

    def dscores(**how):
        run = Run(steps, parameters, inputs, {f"d {name}": even}, np.float32, **how)
        return run.value(name), run.value("d encoder.layer.1.attention.self.scores")

    exact, truth = dscores()
    probs, rounded = dscores(rounding=round_to_bfloat16)
    expected = probs * (even - (probs * even).sum(axis=-1, keepdims=True))
    assert np.abs(probs - exact).max() > 1e-4
    np.testing.assert_allclose(rounded, round_to_bfloat16(expected), rtol=2**-7, atol=1e-5)
    assert np.abs(rounded - truth).max() > 30 * np.abs(truth).max()


def test_heads_as_an_axis_of_their_own_and_folded_batches_pass(model, port, labelled):
    attention = "encoder.layer.1.attention.self"
    run = Run(steps_of(model), parameters_of(model), labelled("BertForPreTraining"), dtype=np.float32)
    query = run.value(f"{attention}.query")
    folded = {name: array.reshape(-1, 32) for name, array in port.items() if name.startswith("hidden_states")}
    for layout in (query.reshape(3, 11, 4, 8), query.reshape(3, 11, 4, 8).transpose(0, 2, 1, 3), query.reshape(33, 32)):
        assert compare(model, {**port, **folded, f"{attention}.query": layout}, diagnose=False).ok
