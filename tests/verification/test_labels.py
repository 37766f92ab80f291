"""Losses and gradients in a dump that lacks labels: said in one line, and the rest is compared."""

import numpy as np
import pytest

from bert_numpy.verification import compare


def without(port, *names):
    return {name: array for name, array in port.items() if name not in names}


def test_a_loss_without_its_labels_is_told_and_the_rest_is_compared(model, port):
    port = {name: array for name, array in port.items() if "grad" not in name}
    report = compare(model, without(port, "labels", "next_sentence_label"))
    (problem,) = report.cases[0].problems
    assert problem == (
        "loss: it cannot be computed without labels and next_sentence_label; write the labels of the run into the dump"
    )
    assert not report.ok
    assert all(tap.ok for tap in report.cases[0].taps)
    assert len(report.cases[0].taps) > 5


def test_gradients_without_labels_are_told_in_one_line(model, port, make_model):
    found = without(port, "labels", "next_sentence_label", "loss")
    (problem,) = compare(model, found).cases[0].problems
    assert problem == (
        "d cls.predictions.bias and 2 more: no gradient can be computed without labels and next_sentence_label, "
        "or the gradient of an output; write that into the dump"
    )
    inputs = {name: port[name] for name in ("input_ids", "attention_mask")}
    gradient = {"d encoder.layer.0.output.dense.weight": np.ones((32, 37))}
    (problem,) = compare(make_model("BertModel", np.float32), {**inputs, **gradient}).cases[0].problems
    assert problem.endswith("no gradient can be computed without the gradient of an output; write that into the dump")


@pytest.mark.parametrize("missing", ["labels", "next_sentence_label"])
def test_a_loss_of_one_of_two_objectives_is_noted(missing, model, port):
    report = compare(model, without(port, missing))
    assert f"no {missing}: the loss is taken to be that of the other labels alone" in report.cases[0].notes
    assert report.cases[0].first.name == "loss"
    alone = model(
        **{name: port[name] for name in ("input_ids", "attention_mask", "token_type_ids")},
        **{name: port[name] for name in ("labels", "next_sentence_label") if name != missing},
    ).loss
    port = {name: array for name, array in port.items() if "grad" not in name}
    assert compare(model, {**without(port, missing), "loss": np.asarray(alone)}).ok
