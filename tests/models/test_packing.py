"""Leaving the padding out changes no output and no gradient at real tokens."""

import numpy as np
import pytest

from bert_numpy.models import bert
from bert_numpy.models.packing import Packing
from bert_numpy.nn import blas, parallel

MASKS = {
    "right": [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]],
    "left and holes": [[0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]],
    "an empty sequence": [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]],
}


@pytest.fixture(params=MASKS.values(), ids=MASKS.keys())
def padded(request, config, rng):
    mask = np.array(request.param)
    ids = rng.integers(1, config.vocab_size, mask.shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 2}


def run(model, batch, gradients, policy="keep"):
    """Outputs, gradient of the inputs and gradients of all parameters."""
    model.zero_grad()
    outputs, cache = model.forward(**batch, output_hidden_states=True, output_attentions=True, cache_policy=policy)
    dinputs = model.backward(gradients(outputs), cache)
    return outputs, dinputs, {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.filterwarnings("ignore:sequence . of the batch is all padding")
@pytest.mark.parametrize("policy", ["keep", "recompute"])
def test_real_tokens_have_the_outputs_and_gradients_of_the_padded_batch(make_model, padded, rng, policy):
    model = make_model("BertModel").eval()
    real = padded["attention_mask"] == 1
    pairs = real[:, None, :, None] & real[:, None, None, :]
    noise = {name: rng.normal(size=2000) for name in ("last", "pooled", "state", "attention")}

    def draw(name, shape):
        return np.resize(noise[name], shape)

    def gradients(outputs):  # zero at padding, and for sequences that are nothing else
        states = [draw("state", h.shape) * real[..., None] for h in outputs.hidden_states]
        states[1] = None
        attentions = [draw("attention", a.shape) * pairs for a in outputs.attentions]
        attentions[0] = None
        return {
            "last_hidden_state": draw("last", outputs.last_hidden_state.shape) * real[..., None],
            "pooler_output": draw("pooled", outputs.pooler_output.shape) * real[:, :1],
            "hidden_states": tuple(states),
            "attentions": tuple(attentions),
        }

    expected = run(model, padded, gradients, policy)
    outputs, dinputs, dparameters = run(model.skip_padding(), padded, gradients, policy)
    starts_real = real[:, 0]
    np.testing.assert_allclose(outputs.pooler_output[starts_real], expected[0].pooler_output[starts_real], atol=1e-12)
    for ours, theirs in zip(outputs.hidden_states, expected[0].hidden_states, strict=True):
        np.testing.assert_allclose(ours[real], theirs[real], atol=1e-12)
        assert not ours[~real].any()
    for ours, theirs in zip(outputs.attentions, expected[0].attentions, strict=True):
        np.testing.assert_allclose(ours, theirs * pairs, atol=1e-12)
    np.testing.assert_allclose(dinputs[real], expected[1][real], atol=1e-11)
    for name, gradient in expected[2].items():
        np.testing.assert_allclose(dparameters[name], gradient, atol=1e-10, err_msg=name)


def test_a_batch_without_padding_and_a_mask_for_every_query_are_computed_as_ever(make_model, rng):
    model = make_model("BertModel").eval()
    ids = rng.integers(1, 50, (2, 5))
    for mask in (None, np.ones((2, 5)), np.tri(5) * np.ones((2, 1, 1))):
        expected = model.skip_padding(False)(ids, mask)
        np.testing.assert_array_equal(model.skip_padding()(ids, mask).last_hidden_state, expected.last_hidden_state)


def test_the_switch_reaches_the_model_inside_a_head(make_model, rng):
    model = make_model("BertForTokenClassification").eval()
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    ids = rng.integers(1, 50, mask.shape)
    expected = model(ids, mask).logits
    assert model.skip_padding() is model
    logits = model(ids, mask).logits
    np.testing.assert_allclose(logits[mask == 1], expected[mask == 1], atol=1e-12)
    assert np.abs(logits - expected)[mask == 0].min() > 1e-6
    np.testing.assert_array_equal(model.skip_padding(False)(ids, mask).logits, expected)


def test_packing_and_unpacking_are_each_other_s_backward(rng):
    packing = Packing(np.array(MASKS["left and holes"]) == 1)
    x, y = rng.normal(size=(4, 6, 3)), rng.normal(size=(1, 14, 3))
    assert np.sum(packing.pack(x) * y) == pytest.approx(np.sum(x * packing.unpack(y)))
    np.testing.assert_array_equal(packing.join(packing.split(y)), y)


@pytest.mark.skipif(not blas.can_be_switched(), reason="a batch is divided only where BLAS leaves the threads alone")
@pytest.mark.filterwarnings("ignore:sequence . of the batch is all padding")
@pytest.mark.parametrize("skip", [True, False])
def test_a_batch_that_is_divided_among_threads_has_the_outputs_of_the_whole(make_model, padded, skip, monkeypatch):
    model = make_model("BertModel").eval().skip_padding(skip)
    options = {"output_hidden_states": True, "output_attentions": True}
    whole, _ = model.forward(**padded, **options)
    monkeypatch.setattr(parallel, "num_threads", lambda: 3)
    monkeypatch.setattr(bert, "TOKENS_PER_PART", 1)
    divided = []
    monkeypatch.setattr(bert, "in_parts", lambda f, parts: divided.append(len(parts)) or parallel.in_parts(f, parts))
    parts = model(**padded, **options)
    assert divided == [3]
    np.testing.assert_allclose(parts.last_hidden_state, whole.last_hidden_state, atol=1e-13)
    np.testing.assert_allclose(parts.pooler_output, whole.pooler_output, atol=1e-13)
    for name in ("hidden_states", "attentions"):
        for ours, theirs in zip(parts[name], whole[name], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-13)
