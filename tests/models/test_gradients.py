"""Whole models: slopes along random directions, the rules of the caches, and what must have no influence."""

import numpy as np
import pytest
from support import HEADS, randomize

from bert_numpy import models
from bert_numpy.models.encoder import CACHE_POLICIES
from bert_numpy.models.outputs import BaseModelOutputWithPooling
from bert_numpy.nn import functional as F
from bert_numpy.verification import directional_errors
from bert_numpy.verification.goldens import flatten, zero_gradients

every_head = pytest.mark.parametrize("class_name", HEADS)


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_equal(actual, expected, **tolerance):
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], **{"rtol": 0, "atol": 0, **tolerance}, err_msg=name)


@every_head
@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new", "tanh"])
def test_the_loss_of_every_head_has_the_slope_that_backward_says(class_name, hidden_act, make_model, labelled, rng):
    model, inputs = make_model(class_name, hidden_act=hidden_act), labelled(class_name)
    _, cache = model.forward(**inputs)
    model.backward(1.0, cache)
    errors = directional_errors(model, lambda: float(model(**inputs).loss), rng)
    assert len(errors) > 50
    assert max(errors.values()) < 1e-5


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "labels"),
    [
        (1, None, np.array([0.5, -1.0, 2.0])),
        (3, "regression", np.linspace(-1, 1, 9).reshape(3, 3)),
        (3, None, np.array([[1.0, 0, 1], [0, 0, 1], [1, 1, 0]])),
        (3, None, np.array([2, 0, 1])),
    ],
    ids=["regression", "regression of three", "several labels", "one label"],
)
def test_the_other_losses_of_sequence_classification(num_labels, problem_type, labels, make_model, batch, rng):
    model = make_model("BertForSequenceClassification", num_labels=num_labels, problem_type=problem_type)
    _, cache = model.forward(**batch, labels=labels)
    model.backward(1.0, cache)
    errors = directional_errors(model, lambda: float(model(**batch, labels=labels).loss), rng)
    assert max(errors.values()) < 1e-5


@every_head
def test_every_parameter_receives_a_gradient_except_those_that_cannot(class_name, make_model, labelled):
    model = make_model(class_name)
    model.backward(1.0, model.forward(**labelled(class_name))[1])
    without = zero_gradients(model)
    assert sum(name.endswith("key.bias") for name in without) == 3
    for name, gradient in gradients(model).items():
        size = np.abs(gradient).max()
        assert (size < 1e-13) == (name in without), f"{name}: {size}"


def test_a_gradient_can_be_given_for_every_output_of_the_bare_model(make_model, batch, rng):
    model = make_model("BertModel")
    asked = {**batch, "output_hidden_states": True, "output_attentions": True}
    outputs, cache = model.forward(**asked)
    doutputs = BaseModelOutputWithPooling(
        rng.normal(size=outputs.last_hidden_state.shape),
        rng.normal(size=outputs.pooler_output.shape),
        tuple(rng.normal(size=h.shape) for h in outputs.hidden_states),
        (None, rng.normal(size=outputs.attentions[1].shape), None),
    )

    def loss():
        now, given = model(**asked), flatten({**doutputs, "attentions": ()})
        return float(
            sum((flatten(now)[name] * gradient).sum() for name, gradient in given.items())
            + (now.attentions[1] * doutputs.attentions[1]).sum()
        )

    model.backward(doutputs, cache)
    assert max(directional_errors(model, loss, rng).values()) < 1e-5


@every_head
def test_word_vectors_can_be_given_and_their_gradient_is_returned(class_name, make_model, labelled, rng):
    model, inputs = make_model(class_name), labelled(class_name)
    ids = inputs.pop("input_ids")
    vectors = model.bert.embeddings.word_embeddings.weight.data[ids]
    outputs, cache = model.forward(**inputs, inputs_embeds=vectors)
    assert_equal(flatten(outputs), flatten(model(**inputs, input_ids=ids)))
    dvectors = model.backward(1.0, cache)
    assert dvectors.shape == vectors.shape
    direction, h = rng.normal(size=vectors.shape), 1e-5
    above = float(model(**inputs, inputs_embeds=vectors + h * direction).loss)
    below = float(model(**inputs, inputs_embeds=vectors - h * direction).loss)
    assert (dvectors * direction).sum() == pytest.approx((above - below) / (2 * h), rel=1e-6)
    words = model.bert.embeddings.word_embeddings.weight
    tied = class_name in ("BertForPreTraining", "BertForMaskedLM")
    assert (words.grad is not None) == tied, "nothing was looked up, so only a tied decoder reaches the table"


def test_position_ids_and_per_query_masks_carry_gradients(make_model, batch, rng):
    model = make_model("BertModel")
    B, S = batch["input_ids"].shape
    causal = np.tri(S, dtype=int) * batch["attention_mask"][:, np.newaxis]
    asked = {**batch, "attention_mask": causal, "position_ids": rng.integers(0, 19, (B, S))}
    outputs, cache = model.forward(**asked)
    dy = rng.normal(size=outputs.last_hidden_state.shape)
    model.backward(dy, cache)
    model.pooler = None  # it received no gradient
    assert max(directional_errors(model, lambda: (model(**asked).last_hidden_state * dy).sum(), rng).values()) < 1e-5


def test_a_causal_mask_hides_what_comes_later(make_model, batch):
    model = make_model("BertModel")
    S = batch["input_ids"].shape[1]
    causal = np.tri(S, dtype=int)[np.newaxis].repeat(3, axis=0)
    changed = batch["input_ids"].copy()
    changed[:, -1] += 1
    first = model(batch["input_ids"], causal).last_hidden_state
    second = model(changed, causal).last_hidden_state
    np.testing.assert_array_equal(first[:, :-1], second[:, :-1])
    assert (first[:, -1] != second[:, -1]).all(axis=-1).all()


# ---- caches -----------------------------------------------------------------


@every_head
def test_two_forwards_may_come_before_two_backwards(class_name, make_model, labelled):
    model, inputs = make_model(class_name), labelled(class_name)
    other = {**inputs, "token_type_ids": 1 - inputs["token_type_ids"]}
    for one in (inputs, other):
        model.backward(1.0, model.forward(**one)[1])
    expected = {name: gradient.copy() for name, gradient in gradients(model).items()}
    model.zero_grad()
    caches = [model.forward(**one)[1] for one in (inputs, other)]
    for cache in caches:
        model.backward(1.0, cache)
    assert_equal(gradients(model), expected)


def test_recomputing_gives_the_same_gradients_with_dropout_too(make_model, labelled):
    found = {}
    for policy in ("keep", "recompute"):
        model = make_model("BertForPreTraining").train()
        outputs, cache = model.forward(**labelled("BertForPreTraining"), cache_policy=policy)
        model.backward(1.0, cache)
        found[policy] = {**gradients(model), "loss": outputs.loss, "next draw": model.rng.random()}
    assert_equal(found["recompute"], found["keep"])


def test_memory_falls_as_backward_goes_and_a_second_backward_is_refused(make_model, batch):
    model = make_model("BertModel")
    outputs, cache = model.forward(**batch)
    kept = cache.parts[1][0]
    assert len(kept) == 3
    model.backward(np.ones_like(outputs.last_hidden_state), cache)
    assert kept == []
    with pytest.raises(RuntimeError, match="used by a backward before; run forward again"):
        model.backward(np.ones_like(outputs.last_hidden_state), cache)


def test_a_refused_backward_adds_nothing(make_model, labelled):
    model = make_model("BertForPreTraining")
    _, dropped = model.forward(**labelled("BertForPreTraining"), cache_policy="drop")
    _, kept = model.forward(**labelled("BertForPreTraining"))
    with pytest.raises(RuntimeError, match="nothing was kept"):
        model.backward(1.0, dropped)
    with pytest.raises(ValueError, match="the gradient of prediction_logits has shape"):
        model.backward({"loss": 1.0, "prediction_logits": np.ones(3)}, kept)
    assert all(parameter.grad is None for parameter in model.parameters())
    model.backward(1.0, kept)  # the refusal has not used it up
    once = {name: gradient.copy() for name, gradient in gradients(model).items()}
    with pytest.raises(RuntimeError, match="used by a backward before"):
        model.backward(1.0, kept)
    assert_equal(gradients(model), once)


def test_half_a_cache_is_refused(make_model, rng):
    """The encoder by itself: a backward that broke off has taken some layers' caches."""
    encoder = make_model("BertModel").encoder
    states = rng.normal(size=(1, 4, 32))
    _, cache = encoder.forward(states, None)
    cache[0].pop()
    with pytest.raises(RuntimeError, match="used by a backward before"):
        encoder.backward(states, None, None, cache)


def test_calling_a_model_keeps_nothing(make_model, batch, monkeypatch):
    model, seen = make_model("BertModel"), []
    original = model.encoder.forward

    def recording(*arguments):
        outputs, cache = original(*arguments)
        seen.append((arguments[-1], cache[0]))
        return outputs, cache

    monkeypatch.setattr(model.encoder, "forward", recording)
    model(**batch)
    assert seen == [("drop", [])]


def test_the_mode_may_change_between_a_recomputing_forward_and_its_backward(make_model, labelled):
    found = []
    for switch in (False, True):
        model = make_model("BertForPreTraining").train()
        _, cache = model.forward(**labelled("BertForPreTraining"), cache_policy="recompute")
        if switch:
            model.eval()
        model.backward(1.0, cache)
        assert {layer.training for layer in model.bert.encoder.layer} == {not switch}
        found.append(gradients(model))
    assert_equal(found[1], found[0])


def test_the_arrays_passed_in_may_be_filled_anew_before_backward(make_model, labelled):
    found = []
    for overwrite in (False, True):
        model = make_model("BertForPreTraining")
        inputs = {name: values.copy() for name, values in labelled("BertForPreTraining").items()}
        _, cache = model.forward(**inputs)
        if overwrite:
            for values in inputs.values():
                values[...] = 0
        model.backward(1.0, cache)
        found.append(gradients(model))
    assert_equal(found[1], found[0])


def test_no_array_that_an_operation_returned_is_written_to(make_model, labelled, monkeypatch):
    """Whoever replaces an operation may keep what it returns."""
    model, returned = make_model("BertForPreTraining"), []

    def recording(dy, cache):
        result = original(dy, cache)
        returned.extend((array, array.copy()) for array in result)
        return result

    original = F.linear_backward
    monkeypatch.setattr(F, "linear_backward", recording)
    model.backward(1.0, model.forward(**labelled("BertForPreTraining"))[1])
    assert len(returned) == 3 * (3 * 6 + 4)
    for array, before in returned:
        np.testing.assert_array_equal(array, before)


def test_what_was_not_kept_cannot_be_used(make_model, batch):
    model = make_model("BertModel")
    outputs, cache = model.forward(**batch, cache_policy="drop")
    with pytest.raises(RuntimeError, match="nothing was kept for backward; run forward with cache_policy='keep'"):
        model.backward(np.ones_like(outputs.last_hidden_state), cache)
    with pytest.raises(ValueError, match="cache_policy 'all' is unknown; choose from keep, drop, recompute"):
        model.forward(**batch, cache_policy="all")
    assert CACHE_POLICIES == ("keep", "drop", "recompute")


def test_nothing_that_was_passed_in_is_written_to(make_model, labelled):
    model, inputs = make_model("BertForPreTraining"), labelled("BertForPreTraining")
    inputs_before = {name: values.copy() for name, values in inputs.items()}
    weights_before = {name: array.copy() for name, array in model.state_dict().items()}
    outputs, cache = model.forward(**inputs, output_hidden_states=True, output_attentions=True)
    outputs_before = {name: array.copy() for name, array in flatten(outputs).items()}
    doutputs = {name: np.ones_like(outputs[name]) for name in ("prediction_logits", "seq_relationship_logits")}
    model.backward({"loss": 1.0, **doutputs}, cache)
    assert_equal(inputs, inputs_before)
    assert_equal(model.state_dict(), weights_before)
    assert_equal(flatten(outputs), outputs_before)
    assert all((gradient == 1).all() for gradient in doutputs.values())


# ---- invariances ------------------------------------------------------------


def test_padding_does_not_change_real_positions(make_model, batch):
    model = make_model("BertModel")
    padded = model(**batch).last_hidden_state
    for row, length in enumerate(batch["attention_mask"].sum(axis=1)):
        alone = model(**{name: values[row : row + 1, :length] for name, values in batch.items()})
        np.testing.assert_allclose(padded[row, :length], alone.last_hidden_state[0], atol=1e-12)


def test_eval_is_deterministic_and_train_draws_from_the_generator_of_the_model(make_model, batch):
    def first_output(seed):
        return make_model("BertModel", seed=3).train()

    model = make_model("BertModel")
    np.testing.assert_array_equal(model(**batch)[0], model(**batch)[0])
    model.train()
    assert (model(**batch)[0] != model(**batch)[0]).mean() > 0.9
    first, second = first_output(3), first_output(3)
    np.random.seed(0)  # noqa: NPY002  the global state must not matter
    expected = first(**batch)[0]
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(second(**batch)[0], expected)


def test_dropout_stands_where_the_paper_puts_it(make_model, labelled, monkeypatch):
    """After the embeddings, on the attention weights, before each residual, and before a classifier."""
    model = make_model(
        "BertForSequenceClassification",
        hidden_dropout_prob=0.25,
        attention_probs_dropout_prob=0.125,
        classifier_dropout=0.5,
    )
    seen = []

    def recording(x, p, rng):
        seen.append((x.shape, p, rng is model.rng))
        return original(x, p, rng)

    original = F.dropout_forward
    monkeypatch.setattr(F, "dropout_forward", recording)
    states, weights, pooled = (3, 11, 32), (3, 4, 11, 11), (3, 32)
    layer = [(weights, 0.125, True), (states, 0.25, True), (states, 0.25, True)]
    model.train()(**labelled("BertForSequenceClassification"))
    assert seen == [(states, 0.25, True), *3 * layer, (pooled, 0.5, True)]
    seen.clear()
    model.eval()(**labelled("BertForSequenceClassification"))
    assert {p for _, p, _ in seen} == {0}


def test_every_layer_norm_takes_its_epsilon_from_the_configuration(make_model, batch, monkeypatch):
    epsilons = []

    def recording(x, weight, bias, eps=None):
        epsilons.append(eps)
        return original(x, weight, bias, eps)

    original = F.layer_norm_forward
    monkeypatch.setattr(F, "layer_norm_forward", recording)
    make_model("BertForMaskedLM", layer_norm_eps=0.5)(**batch)
    assert epsilons == [0.5] * (1 + 2 * 3 + 1)


@every_head
def test_the_slope_is_right_with_dropout_too(class_name, make_model, labelled, rng):
    model, inputs = make_model(class_name).train(), labelled(class_name)
    state = model.rng.bit_generator.state

    def forward():
        model.rng.bit_generator.state = state
        return model.forward(**inputs)

    model.backward(1.0, forward()[1])
    assert max(directional_errors(model, lambda: float(forward()[0].loss), rng).values()) < 1e-5


@every_head
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_has_the_dtype_of_the_model(class_name, dtype, make_model, labelled):
    model = make_model(class_name, dtype=dtype).train()
    outputs, cache = model.forward(**labelled(class_name), output_hidden_states=True, output_attentions=True)
    dwords = model.backward(1.0, cache)
    found = {name: array.dtype for name, array in {**flatten(outputs), **gradients(model), "words": dwords}.items()}
    assert set(found.values()) == {np.dtype(dtype)}, found


def test_one_step_of_gradient_descent_lowers_the_loss_by_what_the_gradient_promises(make_model, labelled):
    model, inputs = make_model("BertForPreTraining"), labelled("BertForPreTraining")
    outputs, cache = model.forward(**inputs)
    model.backward(1.0, cache)
    promised = 0.0
    for parameter in model.parameters():
        promised += 1e-7 * float(np.square(parameter.grad).sum())
        parameter.data -= 1e-7 * parameter.grad
    assert float(outputs.loss - model(**inputs).loss) == pytest.approx(promised, rel=1e-3)


def test_a_fresh_model_has_the_loss_of_guessing(config):
    model = models.BertForPreTraining(config, rng=0).eval()
    ids = np.random.default_rng(0).integers(0, 99, (8, 19))
    loss = model(ids, labels=ids, next_sentence_label=np.zeros(8, int)).loss
    assert loss == pytest.approx(np.log(99) + np.log(2), abs=0.05)


def test_randomize_leaves_no_trivial_parameter(make_model):
    """The shared fixture itself: a gain of 1 or a bias of 0 would hide mistakes from every test here."""
    model = make_model("BertForPreTraining")
    randomize(model, np.random.default_rng(0))
    for name, parameter in model.named_parameters():
        assert parameter.data.std() > 0.1, name


def test_swapping_an_operation_reaches_the_whole_model(make_model, batch, monkeypatch):
    model = make_model("BertModel")
    before = model(**batch)[0]
    monkeypatch.setattr(F, "gelu_forward", F.gelu_new_forward)
    assert 1e-5 < np.abs(model(**batch)[0] - before).max() < 0.1
