"""The right numbers under the wrong name: a dump that is numbered otherwise, weights that were exchanged."""

import numpy as np
import pytest
from own_port import dump_of

from bert_numpy.verification import compare
from bert_numpy.verification.evaluation import Run
from bert_numpy.verification.steps import parameters_of, steps_of

SELF = "encoder.layer.1.attention.self"


@pytest.fixture
def inputs(labelled):
    return labelled("BertForPreTraining")


def taps_of(model, inputs):
    """Every tap that a correct port computes in float32."""
    run = Run(steps_of(model), parameters_of(model), inputs, dtype=np.float32)
    return {step.tap: run.value(step.tap) for step in steps_of(model) if not step.tap.startswith("loss")}


def hidden_states(model, inputs):
    """The outputs of the embeddings and of every layer, in order."""
    taps = taps_of(model, inputs)
    layers = range(model.config.num_hidden_layers)
    return [taps["embeddings"], *(taps[f"encoder.layer.{i}.output"] for i in layers)]


def test_hidden_states_numbered_one_too_low(model, inputs):
    states = hidden_states(model, inputs)
    (case,) = compare(model, {**inputs, **{f"hidden_states.{i}": s for i, s in enumerate(states[1:])}}).cases
    (finding,) = case.findings
    assert finding.name == "hidden states numbered one too low"
    assert finding.taps == ["embeddings", "encoder.layer.0.output", "encoder.layer.1.output"]
    assert "hidden_states.i that of layer i-1" in finding.sentence()


def test_hidden_states_numbered_one_too_high(model, inputs):
    states = hidden_states(model, inputs)
    port = {f"hidden_states.{i + 1}": state for i, state in enumerate(states[:-1])}
    (finding,) = compare(model, {**inputs, **port}).findings
    assert finding.name == "hidden states numbered one too high"
    assert finding.taps == [f"encoder.layer.{i}.output" for i in range(3)]


def test_one_layer_that_is_left_out_is_no_wrong_number(model, inputs):
    """Only one hidden state is that of the layer before: no dump is numbered so."""
    states = hidden_states(model, inputs)
    report = compare(model, {**inputs, "hidden_states.2": states[2], "hidden_states.3": states[2]})
    assert [finding.name for finding in report.findings] == ["encoder ends after 2 of 3 layers"]


def test_query_and_key_exchanged_in_the_dump(model, inputs):
    dump = {**inputs, **taps_of(model, inputs)}
    query, key = f"{SELF}.query", f"{SELF}.key"
    report = compare(model, {**dump, query: dump[key], key: dump[query]})
    assert [finding.name for finding in report.findings] == [
        f"{query} has the numbers of {key}",
        f"{key} has the numbers of {query}",
    ]


def test_an_activation_written_in_the_place_of_its_input(model, inputs):
    dump = {**inputs, **taps_of(model, inputs)}
    dense, act = "encoder.layer.0.intermediate.dense", "encoder.layer.0.intermediate.act"
    report = compare(model, {**dump, dense: dump[act]})
    assert [finding.name for finding in report.findings] == [f"{dense} has the numbers of {act}"]
    assert compare(model, dump).ok


# ---- what the inputs cannot show ----


def test_parts_that_no_batch_uses_are_named(model, inputs):
    port = dump_of(model, inputs)
    assert compare(model, port).unseen == []
    plain = {"input_ids": np.array([[2, 7, 9, 3]])}
    report = compare(model, dump_of(model, plain, gradients=False))
    assert report.unseen == ["the mask (nothing is padded)", "token types (all are 0)"]
    assert "untested   by these inputs: the mask (nothing is padded); token types (all are 0)\n" in report.to_text()
    assert report.to_dict()["unseen"] == report.unseen


def test_gradients_of_one_sequence_do_not_show_a_sum_over_the_batch(model):
    one = {"input_ids": np.array([[2, 7, 9, 3]]), "labels": np.array([[-100, 4, -100, 5]])}
    one["next_sentence_label"] = np.array([1])
    unseen = compare(model, dump_of(model, one)).unseen
    assert any("over the batch" in what for what in unseen)
    assert any("equal ids" in what for what in unseen)
    one["input_ids"][0, 1] = 9
    assert not any("equal ids" in what for what in compare(model, dump_of(model, one)).unseen)
