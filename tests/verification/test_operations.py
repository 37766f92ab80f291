"""Every operation of a step, and every setting that is a function of its own, against finite differences."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from bert_numpy.nn.layers import ACTIVATIONS
from bert_numpy.verification import numeric_gradient, relative_error
from bert_numpy.verification.operations import GATES, OPERATIONS, merge_heads, split_heads

B, S, H, V, A, C = 3, 5, 8, 11, 2, 6
D = H // A

IDS = np.array([[1, 0, 1, 4, 10], [4, 4, 0, 1, 9], [0, 0, 0, 2, 1]])
MASK = (np.arange(S) < np.array([[5], [3], [1]])).astype(np.int64)
LABELS = np.array([[1, -100, 5, 0, 2], [0, 3, -100, -100, 1], [4, 0, 0, -100, 5]])
WORDS = np.array([[1, 2, 5, 0, 2], [0, 3, 3, 4, 1], [4, 0, 0, 1, 5]])


class Case(NamedTuple):
    """An operation with its settings; a shape stands for a random array, whose gradient is checked."""

    operation: str
    inputs: tuple[Any, ...]
    parameters: tuple[Any, ...] = ()
    settings: dict[str, Any] = {}  # noqa: RUF012  read only


def linear(*norm, **settings):
    return Case("linear", ((B, S, H),), ((C, H), (C,), *norm), settings)


def norm(*more, **settings):
    return Case("layer_norm", ((B, S, H), *more), ((H,), (H,)), {"eps": 0.1, **settings})


def scores(**settings):
    return Case("scores", ((B, S, H), (B, S, H)), (), {"heads": A, **settings})


def probs(**settings):
    return Case("probs", ((B, A, S, S), MASK), (), settings)


def context(heads=A, **settings):
    return Case("context", ((B, heads, S, S), (B, S, H)), (), {"heads": heads, **settings})


def loss(**settings):
    return Case("cross_entropy", ((B, S, C), LABELS, WORDS), (), settings)


def token(**settings):
    return Case("token", ((B, S, H), MASK), (), settings)


CASES = {
    "embedding": Case("embedding", (IDS,), ((V, H),)),
    "embedding of changed ids": Case("embedding", (IDS,), ((V, H),), {"ids": lambda ids, table: len(table) - 1 - ids}),
    "add": Case("add", ((B, S, H), (B, S, H))),
    "add, the same for the whole batch": Case("add", ((B, S, H), (1, S, H), (B, S, H))),
    "add of one": Case("add", ((B, S, H),)),
    "add of a multiple": Case("add", ((B, S, H), (1, S, H)), (), {"first_times": 3.0}),
    "add of losses": Case("add", ((), ())),
    "identity": Case("identity", ((B, S, H),)),
    "token": token(),
    "token 1": token(index=1),
    "token beyond the end": token(index=9),
    "last token": token(index="last"),
    "mean of tokens": token(index="mean"),
    "column": Case("column", ((B, S, 2),), (), {"column": 1}),
    "linear": linear(),
    "linear of rows": Case("linear", ((B, H),), ((C, H), (C,))),
    "linear behind a norm": linear((H,), (H,), eps=0.1),
    "norm": norm(),
    "norm with n-1": norm(ddof=1),
    "norm with epsilon outside": norm(outside=True),
    "norm with both": norm(outside=True, ddof=1),
    "norm without a mean": norm(uncentred=True),
    "norm added to its input": norm(added=True),
    "norm with a residual behind": norm((B, S, H)),
    **{
        f"activation {act}": Case("activation", ((B, S, H),), (), {"act": act})
        for act in (*ACTIVATIONS, *GATES, "identity")
        if act != "relu"
    },
    "scores": scores(),
    "scores not scaled": scores(scale=1.0),
    "scores of interleaved heads": scores(split="interleaved"),
    "scores of reshaped heads": scores(split="reshaped"),
    "scores of one head": scores(heads=1),
    "probs": probs(),
    "probs without a mask": probs(mask="none"),
    "probs, mask added after": probs(mask="added after", hidden_value=-10.0),
    "probs, mask multiplied after": probs(mask="multiplied after"),
    "causal probs": probs(causal=True),
    "probs over the queries": probs(axis=-2, mask="none"),
    "context": context(),
    "context of interleaved heads": context(split="interleaved"),
    "context of reshaped heads": context(split="reshaped"),
    "context merged otherwise": context(merge="reshaped"),
    "context of one head": context(heads=1),
    "cross-entropy": loss(),
    "cross-entropy, 0 ignored": loss(ignore_index=0),
    "cross-entropy over all": loss(unlabelled="own"),
    "cross-entropy over all as 0": loss(unlabelled="zero"),
    "cross-entropy divided by all": loss(unlabelled="divided"),
    "cross-entropy, mean times mask": loss(unlabelled="masked mean"),
    "cross-entropy, a sum": loss(unlabelled="summed"),
    "cross-entropy of probabilities": loss(softmax_before=True),
    "mse": Case("mse", ((B, 1), np.array([0.5, -1.0, 2.0]))),
    "binary cross-entropy": Case("binary_cross_entropy", ((B, 2), np.array([[1, 0], [1, 1], [0, 0]]))),
    "span": Case("span", ((B, S), np.array([1, 7, 4]))),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def drawn(arrays, rng, dtype=np.float64):
    """Random arrays for the shapes; what is an array stays as it is."""
    made = []
    for array in arrays:
        if isinstance(array, tuple):
            array = np.asarray(rng.standard_normal(array) + (1.0 if len(array) == 1 else 0)).astype(dtype)
        made.append(array)
    return tuple(made)


def forward(case, inputs, parameters):
    return OPERATIONS[case.operation].forward(inputs, parameters, case.settings)


def backward(case, dy, cache):
    dinputs, dparameters = OPERATIONS[case.operation].backward(dy, cache)
    return (*dinputs, *dparameters)


@every_case
def test_gradients_are_the_slopes(case, rng):
    inputs, parameters = drawn(case.inputs, rng), drawn(case.parameters, rng)
    y, cache = forward(case, inputs, parameters)
    dy = np.asarray(rng.standard_normal(np.shape(y)))
    found = backward(case, dy if dy.ndim else dy[()], cache)

    def slope():
        return float((forward(case, inputs, parameters)[0] * dy).sum())

    checked = 0
    for array, shape, gradient in zip((*inputs, *parameters), (*case.inputs, *case.parameters), found, strict=True):
        if not isinstance(shape, tuple):
            assert gradient is None
            continue
        assert np.shape(gradient) == shape
        assert relative_error(gradient, numeric_gradient(slope, array)) < 5e-8
        checked += 1
    assert checked > 0


@every_case
def test_nothing_is_written_to_and_the_dtype_stays(case, rng):
    inputs, parameters = drawn(case.inputs, rng, np.float32), drawn(case.parameters, rng, np.float32)
    before = [array.copy() for array in (*inputs, *parameters)]
    y, cache = forward(case, inputs, parameters)
    assert y.dtype == np.float32
    dy = np.asarray(rng.standard_normal(np.shape(y)), np.float32)
    kept = dy.copy()
    found = backward(case, dy if dy.ndim else dy[()], cache)
    assert all(gradient.dtype == np.float32 for gradient in found if gradient is not None)
    assert all(np.array_equal(a, b) for a, b in zip((*inputs, *parameters, dy), (*before, kept), strict=True))


def test_every_operation_is_checked():
    assert {case.operation for case in CASES.values()} == set(OPERATIONS)
    assert {case.settings["act"] for case in CASES.values() if case.operation == "activation"} == {
        *ACTIVATIONS,
        *GATES,
        "identity",
    } - {"relu"}


def test_relu_away_from_its_corner(rng):
    case = Case("activation", (), (), {"act": "relu"})
    x = rng.standard_normal((B, S, H))
    x[np.abs(x) < 0.01] = 0.5
    y, cache = forward(case, (x,), ())
    dy = rng.standard_normal(y.shape)
    (dx,) = backward(case, dy, cache)
    np.testing.assert_array_equal(dx, np.where(x > 0, dy, 0))
    np.testing.assert_array_equal(y, np.where(x > 0, x, 0))


# ---- the row of padding, and backwards that are wrong on purpose ----


def test_the_row_of_padding_has_no_gradient(rng):
    case = Case("embedding", (IDS,), ((V, H),), {"padding_idx": 0})
    _, cache = forward(case, (IDS,), drawn(case.parameters, rng))
    dy = rng.standard_normal((B, S, H))
    _, dweight = backward(case, dy, cache)
    assert not dweight[0].any()
    np.testing.assert_allclose(dweight[4], dy[0, 3] + dy[1, 0] + dy[1, 1], rtol=1e-15)


@pytest.mark.parametrize("padding_idx", [None, 0])
def test_an_assigned_gradient_is_that_of_the_last_place(padding_idx, rng):
    case = Case("embedding", (IDS,), ((V, H),), {"assigned": True, "padding_idx": padding_idx})
    _, cache = forward(case, (IDS,), drawn(case.parameters, rng))
    dy = rng.standard_normal((B, S, H))
    _, dweight = backward(case, dy, cache)
    for row, place in ((1, (2, 4)), (4, (1, 1)), (10, (0, 4)), (0, (2, 2))):
        expected = dy[place] if (padding_idx, row) != (0, 0) else np.zeros(H)
        np.testing.assert_array_equal(dweight[row], expected)
    assert not dweight[3].any()


@pytest.mark.parametrize(("batch", "kept"), [("first", slice(0, 1)), ("last", slice(2, 3)), ("mean", slice(None))])
def test_gradients_of_weights_of_a_part_of_the_batch(batch, kept, rng):
    wrong, right = linear(batch=batch), linear()
    inputs, parameters = drawn(right.inputs, rng), drawn(right.parameters, rng)
    dy = rng.standard_normal((B, S, C))
    dx, dweight, dbias = backward(wrong, dy, forward(wrong, inputs, parameters)[1])
    divisor = B if batch == "mean" else 1
    np.testing.assert_allclose(dweight, np.einsum("bsc,bsh->ch", dy[kept], inputs[0][kept]) / divisor, rtol=1e-12)
    np.testing.assert_allclose(dbias, dy[kept].sum(axis=(0, 1)) / divisor, rtol=1e-12)
    np.testing.assert_array_equal(dx, backward(right, dy, forward(right, inputs, parameters)[1])[0])


def test_a_gain_outside_of_the_backward(rng):
    wrong, right = norm(gain_outside=True), norm()
    inputs, parameters = drawn(right.inputs, rng), drawn(right.parameters, rng)
    dy = rng.standard_normal((B, S, H))
    found = backward(wrong, dy, forward(wrong, inputs, parameters)[1])
    x, gain = inputs[0], parameters[0]
    centred = x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 0.1)
    unit = centred * rstd
    means = dy.mean(axis=-1, keepdims=True) + unit * (dy * unit).mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(found[0], gain * rstd * (dy - means), rtol=1e-9, atol=1e-12)
    expected = backward(right, dy, forward(right, inputs, parameters)[1])
    assert relative_error(found[0], expected[0]) > 0.01
    for actual, wanted in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_the_gradient_of_another_activation(rng):
    case = Case("activation", ((B, S, H),), (), {"act": "gelu", "gradient": "gelu_new"})
    (x,) = drawn(case.inputs, rng)
    dy = rng.standard_normal(x.shape)
    y, cache = forward(case, (x,), ())
    erf, tanh = (Case("activation", (), (), {"act": act}) for act in ("gelu", "gelu_new"))
    np.testing.assert_array_equal(y, forward(erf, (x,), ())[0])
    np.testing.assert_array_equal(backward(case, dy, cache)[0], backward(tanh, dy, forward(tanh, (x,), ())[1])[0])


def both_backwards(wrong, right, rng):
    """Gradients by an operation with a mistake in its backward and by one without; their forwards are the same."""
    inputs, parameters = drawn(right.inputs, rng), drawn(right.parameters, rng)
    (y, cache), (expected, right_cache) = forward(wrong, inputs, parameters), forward(right, inputs, parameters)
    np.testing.assert_array_equal(y, expected)
    dy = np.asarray(rng.standard_normal(np.shape(y)))
    dy = dy if dy.ndim else dy[()]
    return dy, inputs, parameters, backward(wrong, dy, cache), backward(right, dy, right_cache)


@pytest.mark.parametrize("constant", ["mean", "variance", "both"])
def test_a_norm_whose_statistics_are_taken_for_constant(constant, rng):
    """What is constant moves along with x in the plain formula: there it is held, and the slope is measured."""
    dy, (x,), (gain, shift), found, right = both_backwards(norm(constant=constant), norm(), rng)
    mean, deviation = x.mean(axis=-1, keepdims=True), np.sqrt(x.var(axis=-1, keepdims=True) + 0.1)

    def slope():
        m = mean if constant in ("mean", "both") else x.mean(axis=-1, keepdims=True)
        centre = mean if constant == "mean" else x.mean(axis=-1, keepdims=True)
        squares = ((x - centre) ** 2).mean(axis=-1, keepdims=True)
        s = np.sqrt(squares + 0.1) if constant == "mean" else deviation
        return float(((gain * (x - m) / s + shift) * dy).sum())

    assert relative_error(found[0], numeric_gradient(slope, x)) < 5e-8
    assert relative_error(found[0], right[0]) > 0.01
    for actual, wanted in zip(found[1:], right[1:], strict=True):
        np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("dropped", [0, 1])
def test_a_sum_that_hands_its_gradient_to_one_side_only(dropped, rng):
    case = Case("add", ((B, S, H), (B, S, H)))
    dy, *_, found, _ = both_backwards(case._replace(settings={"dropped": dropped}), case, rng)
    assert found[dropped] is None
    np.testing.assert_array_equal(found[1 - dropped], dy)


def test_a_weight_that_receives_no_gradient(rng):
    *_, found, right = both_backwards(linear(dropped=True), linear(), rng)
    assert not found[1].any()
    for i in (0, 2):
        np.testing.assert_array_equal(found[i], right[i])
    table = Case("embedding", (IDS,), ((V, H),))
    *_, found, right = both_backwards(table._replace(settings={"dropped": True}), table, rng)
    assert not found[1].any()
    assert right[1].any()


def test_a_softmax_whose_backward_forgets_that_rows_sum_to_one(rng):
    for gradient, slope in (("elementwise", lambda p: p), ("diagonal", lambda p: p * (1 - p))):
        dy, inputs, _, found, right = both_backwards(probs(gradient=gradient), probs(), rng)
        np.testing.assert_allclose(found[0], dy * slope(forward(probs(), inputs, ())[0]), rtol=1e-12, atol=1e-300)
        assert relative_error(found[0], right[0]) > 0.01


def test_scores_whose_backward_has_another_scale(rng):
    *_, found, right = both_backwards(scores(gradient_scale=1.0), scores(), rng)
    for actual, wanted in zip(found, right, strict=True):
        np.testing.assert_allclose(actual, wanted * np.sqrt(D), rtol=1e-12)


def test_gradients_of_logits_without_the_divisor(rng):
    *_, found, right = both_backwards(loss(gradient_summed=True), loss(), rng)
    np.testing.assert_allclose(found[0], right[0] * (LABELS != -100).sum(), rtol=1e-12)


def test_probabilities_that_a_kernel_computes_again(rng):
    """A row no longer sums to 1, by some roundings of its scores; what is hidden stays hidden."""
    case = probs(recomputed=1e-6)
    inputs = drawn(case.inputs, rng)
    large = inputs[0] * 50
    plain, again = forward(probs(), (large, MASK), ())[0], forward(case, (large, MASK), ())[0]
    off = np.abs(again.sum(axis=-1) - 1)
    assert 1e-6 < off.max() < 1e-6 * np.abs(large).max()
    assert not again[plain == 0].any()
    np.testing.assert_allclose(again, plain, rtol=1e-6 * np.abs(large).max())


# ---- heads ----


@pytest.mark.parametrize("split", ["blocks", "interleaved", "reshaped"])
def test_heads_are_merged_as_they_were_split(split, rng):
    x = rng.standard_normal((B, S, H))
    heads = split_heads(x, A, split)
    assert heads.shape == (B, A, S, D)
    np.testing.assert_array_equal(merge_heads(heads, split), x)


def test_where_each_head_takes_its_numbers(rng):
    x = rng.standard_normal((B, S, H))
    for a, s in np.ndindex(A, S):
        np.testing.assert_array_equal(split_heads(x, A)[1, a, s], x[1, s, a * D : (a + 1) * D])
        np.testing.assert_array_equal(split_heads(x, A, "interleaved")[1, a, s], x[1, s, a::A])
        flat = x[1].ravel()[(a * S + s) * D : (a * S + s + 1) * D]
        np.testing.assert_array_equal(split_heads(x, A, "reshaped")[1, a, s], flat)


def test_probabilities_of_padding_are_zero_and_rows_sum_to_one(rng):
    y, _ = forward(probs(), drawn(probs().inputs, rng), ())
    assert not y[1, :, :, 3:].any()
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-12)
    multiplied, _ = forward(probs(mask="multiplied after"), drawn(probs().inputs, rng), ())
    assert multiplied[1].sum(axis=-1).max() < 1


def test_probabilities_of_a_loss_that_are_a_little_too_large(rng):
    """Each p is p (1 + ε), in backward alone; of a certain label, that is most of what p - 1 is."""
    (logits,) = drawn([(B, S, C)], rng)
    spans = Case("span", (), ())
    for case, inputs, share in (
        (loss(), (logits, LABELS, WORDS), 1 / (LABELS != -100).sum()),
        (spans, (logits[..., 0], np.array([1, 7, 4])), 1 / (2 * 2)),  # 7 is beyond the text; half of the sum of two
    ):
        right, found = (forward(case._replace(settings=s), inputs, ()) for s in ({}, {"recomputed": 1e-3}))
        assert found[0] == right[0]
        before, after = (backward(case, np.float64(1), cache)[0] for _, cache in (right, found))
        live = before.any(axis=-1, keepdims=True)
        probs = np.exp(inputs[0]) / np.exp(inputs[0]).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(after - before, live * probs * np.expm1(1e-3) * share, rtol=1e-9, atol=1e-18)
