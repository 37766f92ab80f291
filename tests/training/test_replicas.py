"""Replicas give the mean of the gradients of the shares, whatever the threads."""

import numpy as np
import pytest
from tiny_training import Examples, make_model, make_trainer

from bert_numpy.nn import blas, parallel
from bert_numpy.training.replicas import Replicas


def step(model, inputs, scale):
    outputs, cache = model.forward(**inputs)
    model.backward(scale, cache)
    return float(outputs.loss)


def batch(rows):
    examples = [Examples()[i] for i in range(rows)]
    return {name: np.stack([e[name] for e in examples]) for name in ("input_ids", "attention_mask", "labels")}


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize(("rows", "count"), [(6, 2), (7, 3), (2, 4)])
def test_the_gradient_is_the_mean_over_the_shares(rows, count):
    model, inputs = make_model(dropout=0, dtype=np.float64), batch(rows)
    loss = Replicas(model, count).forward_backward(step, inputs, 0.5)
    ours = gradients(model)
    model.zero_grad()
    shares = min(rows, count)
    losses = [
        step(model, {name: values[i::shares] for name, values in inputs.items()}, 0.5 / shares) for i in range(shares)
    ]
    assert loss == pytest.approx(np.mean(losses), rel=1e-13)
    for name, expected in gradients(model).items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-9, atol=1e-14, err_msg=name)


def test_gradients_are_added_and_weights_stay_shared():
    model, inputs = make_model(dropout=0, dtype=np.float64), batch(8)
    replicas = Replicas(model, 2)
    replicas.forward_backward(step, inputs)
    once = {name: grad.copy() for name, grad in gradients(model).items()}
    replicas.forward_backward(step, inputs)
    for name, grad in gradients(model).items():
        np.testing.assert_allclose(grad, 2 * once[name], rtol=1e-12, atol=1e-15)
    before = replicas.forward_backward(step, inputs)
    next(model.parameters()).data += 0.5
    bias = model.classifier.bias
    bias.data = bias.data + np.array([0.5, -0.5])  # another array, as after an update of a read-only one
    model.zero_grad()
    after = replicas.forward_backward(step, inputs)
    assert after != before
    assert after == pytest.approx(np.mean([step(model, {k: v[i::2] for k, v in inputs.items()}, 1) for i in (0, 1)]))


def test_dropout_depends_on_the_model_s_generator_and_not_on_threads(monkeypatch):
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(parallel, "num_threads", lambda threads=threads: threads)
        model = make_model(dropout=0.5, dtype=np.float64).train()
        replicas = Replicas(model, 3)
        losses = [replicas.forward_backward(step, batch(9)) for _ in range(2)]
        assert losses[0] != losses[1]
        results.append((losses, gradients(model)))
    assert results[0][0] == results[1][0]
    for name, grad in results[0][1].items():
        np.testing.assert_array_equal(grad, results[1][1][name])


def test_copies_follow_the_model_into_eval_mode_and_past_the_padding():
    model = make_model(dropout=0.5, dtype=np.float64).train()
    replicas = Replicas(model, 2)
    model.eval().skip_padding()
    first, second = (replicas.forward_backward(step, batch(8)) for _ in range(2))
    assert first == second
    assert all(copy.bert.skips_padding for copy in replicas.copies)


@pytest.mark.skipif(not blas.can_be_switched(), reason="NumPy's BLAS is not OpenBLAS here")
def test_a_run_with_replicas_is_resumed_to_the_bit(tmp_path):
    whole = make_trainer(tmp_path / "whole", make_model(), num_replicas=2, max_steps=8, save_steps=4)
    whole.train()
    part = make_trainer(tmp_path / "whole", make_model(), num_replicas=2, max_steps=8, save_steps=4)
    part.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(part.model.state_dict()[name], array)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"arrays have \[2, 3\] rows cannot be divided; set num_replicas to 1"):
        Replicas(make_model(), 2).forward_backward(step, {"a": np.ones(3), "b": np.ones((2, 2))})
