"""Every operation: gradients against finite differences, values against plain formulas, and the rules of purity."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from bert_numpy.nn import functional as F
from bert_numpy.verification import numeric_gradient, relative_error

B, S, H, V, A, D, C = 3, 5, 7, 11, 2, 4, 6


class Operation(NamedTuple):
    """A pair of functions as a map from differentiable arrays to one array and back."""

    forward: callable  # (*arrays) -> (y, cache)
    backward: callable  # (dy, cache) -> tuple of gradients, one per array
    shapes: tuple  # of the arrays


def elementwise(name):
    return Operation(
        getattr(F, f"{name}_forward"), lambda dy, cache: (getattr(F, f"{name}_backward")(dy, cache),), ((B, S, H),)
    )


def dropout(p):
    return Operation(
        lambda x: F.dropout_forward(x, p, np.random.default_rng(3)),
        lambda dy, cache: (F.dropout_backward(dy, cache),),
        ((B, S, H),),
    )


IDS = np.array([[1, 0, 1, 4, 10], [4, 4, 0, 1, 9], [0, 0, 0, 2, 1]])
LABELS = np.array([[1, -100, 5], [0, 3, -100]])
KEY_MASK = np.where(np.arange(S) < [[[[5]]], [[[3]]], [[[1]]]], 0.0, -1e30)  # (B, 1, 1, S)
QUERY_MASK = np.where(np.tri(S, dtype=bool), 0.0, -1e30) * np.ones((B, 1, 1, 1))  # (B, 1, S, S)


def embedding(padding_idx):
    return Operation(
        lambda weight: F.embedding_forward(IDS, weight, padding_idx),
        lambda dy, cache: (F.embedding_backward(dy, cache),),
        ((V, H),),
    )


def attention(mask, p=0.0):
    """Context and weights in one array, so that both gradients are checked."""

    def forward(query, key, value):
        fitting = None if mask is None else mask.astype(query.dtype)
        (context, probs), cache = F.scaled_dot_product_attention_forward(
            query, key, value, fitting, p, np.random.default_rng(3)
        )
        return np.concatenate([context, probs], axis=-1), cache

    def backward(dy, cache):
        return F.scaled_dot_product_attention_backward(dy[..., :D], dy[..., D:], cache)

    return Operation(forward, backward, ((B, A, S, D),) * 3)


def loss(name, target):
    def forward(x):
        fitting = target.astype(x.dtype) if target.dtype.kind == "f" else target
        return getattr(F, f"{name}_forward")(x, fitting)

    shape = (*target.shape, C) if name == "cross_entropy" else target.shape
    return Operation(forward, lambda dloss, cache: (getattr(F, f"{name}_backward")(dloss, cache),), (shape,))


OPERATIONS = {
    "linear": Operation(F.linear_forward, F.linear_backward, ((B, S, H), (C, H), (C,))),
    "linear of rows": Operation(F.linear_forward, F.linear_backward, ((B, H), (C, H), (C,))),
    "embedding": embedding(None),
    "layer_norm": Operation(F.layer_norm_forward, F.layer_norm_backward, ((B, S, H), (H,), (H,))),
    "dropout 0": dropout(0.0),
    "dropout 0.3": dropout(0.3),
    **{name: elementwise(name) for name in ("gelu", "gelu_new", "relu", "tanh", "softmax")},
    "attention": attention(None),
    "attention, keys masked": attention(KEY_MASK),
    "attention, queries masked": attention(QUERY_MASK),
    "attention, dropout": attention(KEY_MASK, 0.3),
    "cross_entropy": loss("cross_entropy", LABELS),
    "mse_loss": loss("mse_loss", np.linspace(-1, 2, 6).reshape(2, 3)),
    "binary_cross_entropy_with_logits": loss(
        "binary_cross_entropy_with_logits", np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.25]])
    ),
}

every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


def arrays_of(operation, rng, dtype=np.float64):
    return [rng.normal(0.2, 1, shape).astype(dtype) for shape in operation.shapes]


def gradient_of(y, rng):
    """A random upstream gradient that is large enough to show a wrong scale."""
    return rng.normal(0.5, 2, np.shape(y)).astype(y.dtype) if np.ndim(y) else float(rng.normal(0.5, 2))


@every_operation
def test_analytic_gradient_equals_finite_differences(operation, rng):
    arrays = arrays_of(operation, rng)
    y, cache = operation.forward(*arrays)
    dy = gradient_of(y, rng)
    gradients = operation.backward(dy, cache)
    assert len(gradients) == len(arrays)
    for array, gradient in zip(arrays, gradients, strict=True):
        numeric = numeric_gradient(lambda: float(np.sum(operation.forward(*arrays)[0] * dy)), array)
        assert gradient.shape == array.shape
        assert relative_error(gradient, numeric) < 5e-8


@every_operation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_stay_as_they_are_and_the_dtype_does_too(operation, dtype, rng):
    arrays = arrays_of(operation, rng, dtype)
    before = [array.copy() for array in arrays]
    y, cache = operation.forward(*arrays)
    y_before = np.copy(y)
    dy = gradient_of(y, rng)
    dy_before = np.copy(dy)
    gradients = operation.backward(dy, cache)
    assert y.dtype == dtype
    assert [gradient.dtype for gradient in gradients] == [dtype] * len(arrays)
    for array, old in zip([*arrays, y, dy], [*before, y_before, dy_before], strict=True):
        np.testing.assert_array_equal(array, old)


@every_operation
def test_two_forwards_may_come_before_two_backwards(operation, rng):
    first, second = arrays_of(operation, rng), arrays_of(operation, rng)
    dy = gradient_of(operation.forward(*first)[0], rng)

    alternating = []
    for arrays in (first, second):
        _, cache = operation.forward(*arrays)
        alternating.append(operation.backward(dy, cache))

    caches = [operation.forward(*arrays)[1] for arrays in (first, second)]
    for cache, expected in zip(caches, alternating, strict=True):
        for gradient, e in zip(operation.backward(dy, cache), expected, strict=True):
            np.testing.assert_array_equal(gradient, e)


# ---- values against formulas written another way ----------------------------


def test_linear_is_the_sum_over_inputs(rng):
    x, weight, bias = rng.normal(size=(B, S, H)), rng.normal(size=(C, H)), rng.normal(size=C)
    y, _ = F.linear_forward(x, weight, bias)
    np.testing.assert_allclose(y, np.einsum("bsh,ch->bsc", x, weight) + bias, atol=1e-13)


def test_embedding_backward_adds_up_repeated_ids_and_skips_the_padding_row(rng):
    weight, dy = rng.normal(size=(V, H)), rng.normal(size=(*IDS.shape, H))
    expected = np.zeros_like(weight)
    np.add.at(expected, IDS, dy)
    np.testing.assert_allclose(F.embedding_backward(dy, F.embedding_forward(IDS, weight)[1]), expected, atol=1e-13)
    expected[0] = 0
    np.testing.assert_allclose(F.embedding_backward(dy, F.embedding_forward(IDS, weight, 0)[1]), expected, atol=1e-13)


def test_layer_norm_divides_by_the_count_and_adds_epsilon_inside_the_root():
    x = np.array([[1.0, 2.0, 6.0]])
    y, _ = F.layer_norm_forward(x, np.array([1.0, 2.0, 1.0]), np.array([0.0, 0.0, 3.0]), eps=0.5)
    # mean 3, variance (4 + 1 + 9) / 3
    expected = np.array([[-2.0, -1.0 * 2, 3.0]]) / math.sqrt(14 / 3 + 0.5) + [0, 0, 3]
    np.testing.assert_allclose(y, expected, rtol=1e-14)


def test_layer_norm_of_a_large_offset_keeps_its_precision_in_float32():
    x = np.array([[10000.0, 10001.0, 10002.0]], np.float32)
    y, _ = F.layer_norm_forward(x, np.ones(3, np.float32), np.zeros(3, np.float32))
    np.testing.assert_allclose(y, [[-1.2247449, 0, 1.2247449]], rtol=1e-6, atol=1e-6)


def test_dropout_keeps_the_expectation_and_the_probability():
    y, _ = F.dropout_forward(np.ones(200_000), 0.1, np.random.default_rng(0))
    assert abs((y == 0).mean() - 0.1) < 0.003
    assert abs(y.mean() - 1) < 0.003
    np.testing.assert_array_equal(np.unique(y), [0, 1 / 0.9])


def test_gelu_is_the_erf_form_and_gelu_new_differs_from_it_by_the_published_amount():
    x = np.linspace(-6, 6, 24001)
    exact = np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])
    assert np.abs(F.gelu_forward(x)[0] - exact).max() < 1e-15
    difference = np.abs(F.gelu_new_forward(x)[0] - exact)
    assert difference.max() == pytest.approx(4.73e-4, rel=0.01)
    assert abs(x[difference.argmax()]) == pytest.approx(2.70, abs=0.05)


def test_attention_is_the_weighted_mean_of_the_values_a_query_may_see(rng):
    query, key, value = (rng.normal(size=(B, A, S, D)) for _ in range(3))
    (context, probs), _ = F.scaled_dot_product_attention_forward(query, key, value, KEY_MASK + QUERY_MASK)
    for b, a, s in np.ndindex(B, A, S):
        visible = [t for t in range(S) if KEY_MASK[b, 0, 0, t] == 0 and t <= s]
        weights = np.array([math.exp(query[b, a, s] @ key[b, a, t] / math.sqrt(D)) for t in visible])
        weights /= weights.sum()
        np.testing.assert_allclose(context[b, a, s], weights @ value[b, a, visible], atol=1e-13)
        np.testing.assert_allclose(probs[b, a, s, visible], weights, atol=1e-13)
        assert probs[b, a, s].sum() == pytest.approx(1)


def test_a_key_bias_has_no_gradient(rng):
    query, key, value = (rng.normal(size=(B, A, S, D)) for _ in range(3))
    _, cache = F.scaled_dot_product_attention_forward(query, key, value, KEY_MASK)
    _, dkey, _ = F.scaled_dot_product_attention_backward(rng.normal(size=(B, A, S, D)), None, cache)
    assert np.abs(dkey).max() > 0.01
    assert np.abs(dkey.sum(axis=2)).max() < 1e-14


def test_softmax_and_cross_entropy_survive_huge_logits():
    x = np.array([[1e4, 0.0, -1e4]])
    np.testing.assert_array_equal(F.softmax_forward(x)[0], [[1, 0, 0]])
    loss, cache = F.cross_entropy_forward(x, np.array([1]))
    assert loss == 1e4
    np.testing.assert_array_equal(F.cross_entropy_backward(1.0, cache), [[1, -1, 0]])


def test_cross_entropy_is_the_mean_over_the_labels_that_count(rng):
    logits = rng.normal(size=(*LABELS.shape, C))
    loss, _ = F.cross_entropy_forward(logits, LABELS)
    terms = [
        math.log(sum(math.exp(v) for v in logits[i])) - logits[i][LABELS[i]]
        for i in np.ndindex(LABELS.shape)
        if LABELS[i] != -100
    ]
    assert len(terms) == 4
    assert loss == pytest.approx(sum(terms) / 4, rel=1e-14)


def test_cross_entropy_without_any_label_is_zero_and_has_no_gradient(rng):
    loss, cache = F.cross_entropy_forward(rng.normal(size=(2, C)), np.array([-100, -100]))
    assert loss == 0
    np.testing.assert_array_equal(F.cross_entropy_backward(1.0, cache), np.zeros((2, C)))


def test_binary_cross_entropy_survives_huge_logits():
    x, target = np.array([1e4, -1e4, 1e4]), np.array([1.0, 1.0, 0.0])
    loss, cache = F.binary_cross_entropy_with_logits_forward(x, target)
    assert loss == pytest.approx(2e4 / 3)
    np.testing.assert_allclose(F.binary_cross_entropy_with_logits_backward(1.0, cache), [0, -1 / 3, 1 / 3], atol=1e-15)
