"""Mistakes that come together: two in one output, one in each of several outputs, a mistake and another dtype."""

import dataclasses
import itertools

import numpy as np
import pytest

from bert_numpy.classroom.catalogue import find
from bert_numpy.classroom.comparing import Answers
from bert_numpy.classroom.exercise import Mistake
from bert_numpy.classroom.feedback import give_feedback
from bert_numpy.classroom.source import EditError, solution


def feedback(exercise, function):
    answers = Answers(find(exercise) if isinstance(exercise, str) else exercise, seed=5)
    return give_feedback(answers, answers.of(function))


def names(exercise, function):
    return [mistake.name for mistake in feedback(exercise, function).mistakes]


def overwriting(dy, cache):
    """Both common mistakes: `+=` with equal ids, and no word about the padding."""
    ids, weight, _ = cache
    dweight = np.zeros_like(weight)
    dweight[ids] += dy
    return dweight


def test_two_mistakes_in_one_output():
    found = feedback("embedding_backward", overwriting)
    assert found.rung == "mistake"
    assert found.named == "assigned where ids repeat and the padding learns"
    assert [line.partition(":")[0] for line in found.lines] == ["assigned where ids repeat", "the padding learns"]


def linear_gradients(dy, cache):
    """A mistake in each of the three."""
    x, weight = cache
    x_rows, dy_rows = (array.reshape(-1, array.shape[-1]) for array in (x, dy))
    dx = (dy_rows @ weight.T.reshape(weight.shape)).reshape(x.shape)
    return dx, x_rows.T @ dy_rows, dy_rows.mean(axis=0)


def test_a_mistake_in_each_output():
    told = {"weight gradient transposed", "bias gradient averaged", "reshaped instead of transposed"}
    assert set(names("linear_backward", linear_gradients)) == told


def test_what_is_not_known_leaves_all_unnamed():
    def wrong(dy, cache):
        dx, dweight, dbias = linear_gradients(dy, cache)
        return 1.01 * dx, dweight, dbias

    assert names("linear_backward", wrong) == []


def test_two_explanations_of_one_output_are_none():
    exercise = find("linear_backward")
    twin = Mistake("twin", "_rows(dy).sum(axis=0)", "_rows(dy).sum(axis=0) / len(_rows(dy))", "Look there.")
    ambiguous = dataclasses.replace(exercise, mistakes=(*exercise.mistakes, twin))
    assert names(ambiguous, linear_gradients) == []


@pytest.mark.parametrize("name", ["embedding_backward", "linear_backward", "adamw_update", "BertOutput.backward"])
def test_every_two_mistakes_are_told_by_their_names(name):
    exercise, told = find(name), 0
    for pair in itertools.combinations(exercise.mistakes, 2):
        try:
            both = solution(exercise, (), *pair)
        except EditError:  # they change the same line
            continue
        found = names(exercise, both)
        assert set(found) == {mistake.name for mistake in pair} or len(found) == 1  # one may hide the other
        told += len(found) == 2
    assert told > 3


def test_edits_of_the_same_text_are_no_pair():
    exercise = find("linear_backward")
    same = [mistake for mistake in exercise.mistakes if mistake.name.startswith("bias")]
    with pytest.raises(EditError):
        solution(exercise, (), *same)
    first = Mistake("first", "_rows(dy).sum(axis=0)", "2 * _rows(dy).sum(axis=0)", "Look there.")
    second = Mistake("second", "_rows(dy).sum(axis=0)", "_rows(dy).min(axis=0)", "Look there.")
    with pytest.raises(EditError):  # the second could be made in what the first has left, but not the other way round
        solution(exercise, (), first, second)


def tanh_gelu(x):
    root = np.full_like(x, np.sqrt(2 / np.pi), dtype=np.float64)  # a scalar would do so from NumPy 2 on only
    return 0.5 * x * (1 + np.tanh(root * (x + 0.044715 * x**3))), x


def test_a_mistake_and_another_dtype():
    found = feedback("gelu_forward", tanh_gelu)
    assert [mistake.name for mistake in found.mistakes] == ["the tanh form"]
    assert found.lines[1].startswith("besides, y is float64, expected float32")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x))), x),
        lambda x: (0.5 * x * (1 + np.tanh(0.79788456 * x * (1 + 0.044715 * x**2))), x),
        lambda x: (x / (1 + np.exp(-1.5957691216 * (x + 0.044715 * np.power(x, 3)))), x),
    ],
)
def test_the_tanh_form_in_any_form(function):
    assert names("gelu_forward", function) == ["the tanh form"]


def test_a_mistake_and_a_numpy_scalar_for_a_float():
    with np.errstate(all="ignore"):
        found = feedback("relative_error", lambda a, e, floor=0: np.max(np.abs(a - e), initial=0) / np.abs(e).max())
    assert [mistake.name for mistake in found.mistakes] == ["floor left out"]
    assert found.lines[1] == "besides, the result is float32; asked for is a Python float, `float(...)`"


def test_two_mistakes_and_another_dtype():
    found = feedback("embedding_backward", lambda *args: overwriting(*args).astype(np.float64))
    assert found.named == "assigned where ids repeat and the padding learns"
    assert "besides, dweight is float64" in found.lines[2]


def test_the_dtype_alone_is_no_mistake_of_another_kind():
    right = solution(find("layer_norm_forward"))
    assert feedback("layer_norm_forward", lambda *a: (right(*a)[0].astype(np.float64), 0)).rung == "words"


def test_short_texts_are_not_taken_apart():
    """By chance, a word here and a word there agree with some mistake."""
    exercise = find("WordPiece.split")
    known = {mistake.name: mistake for mistake in exercise.mistakes}
    both = solution(exercise, (), known["no limit of length"], known["places with the mark counted"])
    assert names(exercise, both) == []
