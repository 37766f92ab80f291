"""What students are told: words first, the mistake by its name where it is one, else numbers."""

import re

import numpy as np
import pytest

from bert_numpy.classroom.catalogue import find
from bert_numpy.classroom.comparing import Answers
from bert_numpy.classroom.feedback import give_feedback
from bert_numpy.classroom.source import solution
from bert_numpy.tokenization.batch import PADDING_VALUES, pad_columns
from bert_numpy.training import parameter_groups

FORWARD, BACKWARD, WORDS = find("layer_norm_forward"), find("layer_norm_backward"), find("WordPiece.split")


def told(exercise, function):
    answers = Answers(exercise, seed=5)
    feedback = give_feedback(answers, answers.of(function))
    return feedback.rung, "\n".join(feedback.lines)


def normalize(x, weight, bias, eps=1e-12):
    """The formula, written in another way than the library's."""
    mean, std = x.mean(-1, keepdims=True), np.sqrt(x.var(-1, keepdims=True) + eps)
    return (x - mean) / std * weight + bias


def norm_gradients(dy, cache):
    """The gradients, written in another way than the library's: with the matrix of the derivatives."""
    x_hat, rstd, weight = cache
    H = x_hat.shape[-1]
    jacobian = np.eye(H, dtype=dy.dtype) - x_hat[..., :, None] * x_hat[..., None, :] / H - np.ones((), dy.dtype) / H
    dx = ((dy * weight)[..., None, :] @ jacobian)[..., 0, :] * rstd
    leading = tuple(range(dy.ndim - 1))
    return dx, (dy * x_hat).sum(axis=leading), dy.sum(axis=leading)


def test_numbers_are_shown_as_long_as_it_takes_to_tell_them_apart():
    for factor in (1 + 1e-7, 1 + 3e-9):
        _, text = told(FORWARD, lambda *args, factor=factor: ((normalize(*args) * factor).astype(args[0].dtype), None))
        shown, expected = re.search(r"\] is (\S+), expected ([^\s;]+);", text).groups()
        assert shown != expected
        assert float(shown) == pytest.approx(float(expected), rel=1e-6)
    _, text = told(FORWARD, lambda *args: (normalize(*args) * 2, None))
    assert all(len(digits) <= 8 for digits in re.search(r"\] is -?(\S+), expected -?([^\s;]+);", text).groups())


@pytest.mark.parametrize("instead", [np.nan, -np.inf])
def test_an_infinite_number_is_expected_to_be_that_one(instead):
    exercise = find("widen")
    right = solution(exercise)
    assert told(exercise, lambda bits: np.where(np.isinf(right(bits)), np.float32(np.inf), right(bits)))[0] == "passed"
    rung, text = told(exercise, lambda bits: np.where(np.isinf(right(bits)), np.float32(instead), right(bits)))
    assert rung == "words"
    assert f"is {instead}, expected inf, for widen" in text


def test_another_way_of_writing_it_passes():
    assert told(FORWARD, lambda *args: (normalize(*args), None)) == ("passed", "")
    assert told(BACKWARD, norm_gradients) == ("passed", "")


def overwriting(x, weight, bias, eps):
    y = normalize(x, weight, bias, eps)
    x -= x.mean()
    return y, None


def outside_the_root(x, weight, bias, eps):
    return (x - x.mean(-1, keepdims=True)) / (x.std(-1, keepdims=True) + eps) * weight + bias, None


WRONG = [
    (lambda *args: None, "words", "returns None; is there a `return`?"),
    (lambda *args: normalize(*args), "words", "it returns one array; a forward returns two things"),
    (lambda *args: (normalize(*args), None, None), "words", "it returns 3 values"),
    (lambda *args: (None, None), "words", "the first thing that it returns is None"),
    (lambda *args: ("y", None), "words", "y is 'y', not an array"),
    (lambda *args: (normalize(*args)[..., :1], None), "words", "y has shape (3, 5, 1), expected (3, 5, 7)"),
    (lambda *args: (normalize(*args).astype(np.float64), None), "words", "y is float64, expected float32"),
    (lambda *args: (normalize(*args).astype(np.float32), None), "words", "y is float32, expected float64"),
    (lambda *args: (normalize(*args) / 0 * 0, None), "words", "is nan, expected a finite number"),
    (overwriting, "words", "the argument x is changed afterwards"),
    (lambda x, *args: x.no_such, "words", "raises AttributeError"),
    (lambda *args: (1.01 * normalize(*args), None), "numbers", "max|d|/RMS is 0.0"),
    (lambda *args: ((1 + 1e-7) * normalize(*args), None), "numbers", "about 1e-15 of the RMS"),
    (outside_the_root, "mistake", "ε outside the root: "),
    (lambda x, w, b, eps: (normalize(x.copy(), w, np.zeros_like(b), eps) + w * b, 0), "mistake", "β added before γ"),
]


@pytest.mark.parametrize(("function", "rung", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_a_wrong_forward(function, rung, words):
    found, text = told(FORWARD, function)
    assert found == rung, text
    assert words in text


def test_a_gradient_is_compared_with_the_slope():
    def wrong(dy, cache):
        dx, dweight, dbias = norm_gradients(dy, cache)
        return 1.5 * dx, dweight, dbias

    rung, text = told(BACKWARD, wrong)
    assert rung == "numbers"
    assert re.search(r"not the slope of the forward, which finite differences find to be \S+ in x\[", text)
    assert "right: dweight, dbias" in text


def test_the_slope_that_is_told_is_the_right_one():
    rung, text = told(BACKWARD, lambda *args: tuple(2 * g for g in norm_gradients(*args)))
    assert rung == "numbers"
    for mine, expected, slope in re.findall(r"is (\S+), expected ([^;]+);.*find to be (\S+) in", text):
        assert float(slope) == pytest.approx(float(expected), rel=1e-4)
        assert float(mine) == pytest.approx(2 * float(expected), rel=1e-4)
    assert text.count("find to be") == 3


def test_an_output_is_missing():
    rung, text = told(BACKWARD, lambda *args: norm_gradients(*args)[:2])
    assert (rung, text) == ("words", "layer_norm_backward returns 2 outputs; asked for is 3 outputs")


def test_text_is_shown_as_text():
    rung, text = told(WORDS, lambda self, word: [])
    assert rung == "words"
    assert text.startswith("WordPiece.split('unaffable') returns [], expected [[")


def test_gradients_of_parameters_are_no_outputs():
    def dx_alone(self, dy, cache):
        dense_cache, dropout_cache, norm_cache = cache
        dsum = self.LayerNorm.backward(dy, norm_cache)
        return self.dense.backward(self.dropout.backward(dsum, dropout_cache), dense_cache)

    words = "BertOutput.backward returns one output; asked for is 2 outputs"
    assert told(find("BertOutput.backward"), dx_alone) == ("words", words)


def test_the_place_that_is_built_otherwise():
    def padded_with_labels(columns, length, pad_id, side):
        values = {**PADDING_VALUES, "input_ids": pad_id}
        padded = pad_columns(columns, length, pad_id, side)
        return {name: rows if name in values else [[*row, 0] for row in rows] for name, rows in padded.items()}

    _, text = told(find("pad_columns"), padded_with_labels)
    assert re.search(r"\(..., 6, 3, 'right'\): the result\['labels'\] is \[\[.*, 0\]\], expected \[\[", text), text

    def exchanged(*args):
        groups = parameter_groups(*args)
        return [{**group, "params": [(p, name) for name, p in group["params"]]} for group in groups]

    _, text = told(find("parameter_groups"), exchanged)
    name = "bert.embeddings.word_embeddings.weight"
    wrong, right = f"[[array[29, 12], None], '{name}']", f"['{name}', [array[29, 12], None]]"
    assert f"the result[0]['params'][0] is {wrong}, expected {right}" in text


def test_an_axis_that_is_gone():
    rung, text = told(FORWARD, lambda x, *args: (x - x.mean(axis=-1), None))
    assert rung == "words"
    assert text.endswith("`keepdims=True` leaves it there with length 1")
    assert "keepdims" not in told(FORWARD, lambda x, *args: (x - x[..., :2], None))[1]
    assert "keepdims" not in told(FORWARD, lambda x, *args: (x[[0, 1], np.zeros((2, 5), int)], None))[1]


def test_the_call_is_told_once_and_rounding_only_of_floats():
    _, text = told(BACKWARD, lambda *args: tuple(2 * g for g in norm_gradients(*args)))
    assert text.startswith("for layer_norm_backward(array[3, 5, 7], ...), dx is wrong: dx[")
    assert text.count("layer_norm_backward(") == 1
    assert text.endswith("a correct float64 answer differs by about 1e-15 of the RMS")
    _, text = told(find("start_of_word"), lambda starts: starts.astype(int))
    assert "is wrong: " in text
    assert "RMS" not in text


def test_a_python_float_is_asked_for():
    error = find("relative_error")
    right = solution(error)
    assert told(error, lambda *args: np.float32(right(*args))) == (
        "words",
        "the result is float32; asked for is a Python float, `float(...)`",
    )


def test_ids_are_shown_with_their_tokens():
    _, text = told(WORDS, lambda self, word: [])
    pieces = dict(re.findall(r"(\d+) is '([^']+)'", text))
    assert list(pieces.values()) == ["unaff", "##able"]
    assert set(pieces) <= set(re.findall(r"\d+", text.partition(";")[0]))
    to_ids = find("TokenVocabulary.convert_tokens_to_ids")
    _, text = told(to_ids, lambda self, tokens: self.cls_token_id if isinstance(tokens, str) else [0] * len(tokens))
    assert re.search(r"expected (\d+); \d+ is 'x', \1 is 'em'$", text), text
    assert ";" not in told(find("windows"), lambda *args: [])[1]


def sgd_by_name(data, grad, scratch, *, lr, weight_decay):
    data = data - lr * (grad + weight_decay * data)


def adamw_by_name(data, grad, exp_avg, exp_avg_sq, scratch, *, beta1, beta2, step_size, eps, decay):
    exp_avg[...] = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad**2
    data = decay * data - step_size * exp_avg / (np.sqrt(exp_avg_sq) + eps)


def clip_by_name(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    norm = float(np.sqrt(sum(np.square(grad).sum() for grad in grads)))
    grads = [grad * max_norm / norm for grad in grads]
    return norm


def rule_by_name(self, parameter, group):
    state = self.state.setdefault(
        parameter, {"step": 0, "exp_avg": parameter.data * 0, "exp_avg_sq": parameter.data * 0}
    )

    def update(data, grad, exp_avg, exp_avg_sq, scratch):
        data = data - group["lr"] * grad

    return update, [state["exp_avg"], state["exp_avg_sq"]]


@pytest.mark.parametrize(
    ("name", "function", "unchanged"),
    [
        ("sgd_update", sgd_by_name, "the array that you were given is unchanged: data."),
        ("adamw_update", adamw_by_name, "the arrays that you were given are unchanged: data, exp_avg_sq."),
        ("clip_grad_norm_", clip_by_name, "are unchanged: gradients[0], gradients[2]."),
        ("AdamW._rule", rule_by_name, "are unchanged: weights[0], weights[1]."),
    ],
)
def test_a_name_given_to_a_new_array_changes_no_array(name, function, unchanged):
    rung, text = told(find(name), function)
    assert rung == "words"
    assert unchanged in text
    assert "`p -= ...` or `p[...] = ...`" in text


def test_an_array_that_was_written_into_wrongly_gets_numbers():
    def half(data, grad, scratch, *, lr, weight_decay):
        data -= 0.5 * lr * (grad + weight_decay * data)

    assert told(find("sgd_update"), half)[0] == "numbers"


def test_an_untouched_stub():
    def stub(*args):
        raise NotImplementedError("layer_norm_forward: this body is yours to write")

    said = "layer_norm_forward is still the stub: it raises NotImplementedError"
    assert told(FORWARD, stub) == ("not begun", said)


def test_no_feedback_shows_the_solution():
    from bert_numpy.classroom.cutter import solution_lines, squeezed

    for function, _, _ in WRONG:
        shown = squeezed(told(FORWARD, function)[1])
        assert not [line for line in solution_lines(FORWARD) if line in shown]
