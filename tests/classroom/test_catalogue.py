"""The catalogue is as it says; and its self-test finds whatever is not."""

import dataclasses

import numpy as np
import pytest

from bert_numpy.classroom import self_check
from bert_numpy.classroom.catalogue import CHAPTERS, all_exercises, find
from bert_numpy.classroom.exercise import Mistake, Variant
from bert_numpy.classroom.self_check import problems_of, problems_of_catalogue
from bert_numpy.cli import main


def alone(name):
    """An exercise with the first of its mistakes and no variant: its checks take less time."""
    exercise = find(name)
    return dataclasses.replace(exercise, mistakes=exercise.mistakes[:1], variants=())


FORWARD, BACKWARD, METHOD = map(alone, ("layer_norm_forward", "layer_norm_backward", "BertOutput.forward"))


QUICK = {"WordPiece.split", "layer_norm_forward", "layer_norm_backward", "gelu_forward", "BertOutput.forward"}
EACH = [  # `bert-numpy exercises check` does the same to all of them
    pytest.param(exercise, id=exercise.name, marks=() if exercise.name in QUICK else pytest.mark.slow)
    for exercise in all_exercises()
]


@pytest.mark.parametrize("exercise", EACH)
def test_an_exercise_is_as_it_says(exercise):
    assert problems_of(exercise) == []


def test_the_exercises_fit_together():
    assert problems_of_catalogue() == []


def changed(exercise, **changes):
    return dataclasses.replace(exercise, **changes)


def with_mistake(exercise, old, new, name="new"):
    return changed(exercise, mistakes=(*exercise.mistakes, Mistake(name, old, new, "Look there.")))


BROKEN = [
    (changed(FORWARD, minutes=50), "50 minutes"),
    (changed(FORWARD, points=0), "0 points"),
    (changed(FORWARD, tutorial=0), "tutorial 0"),
    (changed(FORWARD, hints=("one",)), "fewer than two hints"),
    (changed(FORWARD, hints=("one", " ")), "an empty one"),
    (changed(FORWARD, mistakes=()), "no known mistake"),
    (
        changed(FORWARD, hints=("a", "Try rstd = 1 / np.sqrt(variance + eps).")),
        "is shown: rstd=1/np.sqrt",
    ),
    (changed(FORWARD, notes="variance = np.square(x_hat).mean(axis=-1, keepdims=True)"), "is shown: variance="),
    (changed(FORWARD, omits=("Warns",)), "'Warns', to be omitted, occurs 0 times"),
    (changed(FORWARD, omits=("ndarray of shape",)), "'ndarray of shape', to be omitted, occurs 3 times"),
    (changed(FORWARD, target="bert_numpy.nn.functional:no_such_forward"), "has no no_such_forward"),
    (with_mistake(FORWARD, "np.sqrt(variance - eps)", "0"), "occurs 0 times"),
    (with_mistake(FORWARD, "x_hat", "y_hat"), "times in the source, not once"),
    (with_mistake(FORWARD, "rstd = 1 / np", "rstd = = np"), "leaves no Python"),
    (
        with_mistake(FORWARD, "1 / np.sqrt(variance + eps)", "(variance + eps) ** -0.5"),
        "'new' from the solution",
    ),
    (with_mistake(FORWARD, "np.sqrt(variance + eps)", "(eps + np.sqrt(variance))"), "from 'ε outside the root'"),
    (with_mistake(FORWARD, "np.sqrt(variance + eps)", "np.linalg.inv(variance)"), "raises LinAlgError"),
    (changed(FORWARD, inputs=lambda rng: [(rng.standard_normal((2, 3)), np.ones(3), np.zeros(3))]), "no input tells"),
    (changed(FORWARD, inputs=lambda rng: [(rng.standard_normal((2, 3)), np.ones(4))]), "the solution raises TypeError"),
    (changed(BACKWARD, of="bert_numpy.nn.functional:no_forward"), "has no no_forward"),
    (
        changed(FORWARD, variants=(Variant("same", "y += bias", "y = y + bias", "Another way."),)),
        "the library's own code passes as variant 'same'",
    ),
    (
        changed(METHOD, variants=(Variant("lost", "h + residual", "residual + oh", "Another way."),)),
        "the solution raises NameError: name 'oh' is not defined (variant 'lost')",
    ),
]


@pytest.mark.parametrize(("exercise", "complaint"), BROKEN, ids=[complaint for _, complaint in BROKEN])
def test_a_wrong_table_is_found(exercise, complaint):
    assert complaint in "\n".join(problems_of(exercise))


def test_a_backward_that_is_not_the_slope_is_found():
    gelu = changed(find("gelu_backward"), variants=(), of="bert_numpy.nn.functional:relu_forward")  # caches x, as gelu
    assert "but the slope of the forward in x is" in "\n".join(problems_of(gelu))
    assert problems_of(changed(gelu, of="bert_numpy.nn.functional:gelu_forward")) == []


def test_prerequisites_come_first(monkeypatch):
    first, *rest = CHAPTERS
    late = dataclasses.replace(first, exercises=(changed(first.exercises[0], needs=("gelu_forward",)),))
    monkeypatch.setattr(self_check, "CHAPTERS", (late, *rest))
    monkeypatch.setattr(self_check, "all_exercises", lambda: [*late.exercises, *(e for c in rest for e in c.exercises)])
    assert any("needs gelu_forward, which does not come before" in problem for problem in problems_of_catalogue())


def test_two_exercises_of_one_name(monkeypatch):
    monkeypatch.setattr(self_check, "all_exercises", lambda: [FORWARD, changed(FORWARD)])
    assert "layer_norm_forward: two exercises have this name" in problems_of_catalogue()


def test_a_line_of_a_solution_in_another_stub(monkeypatch):
    shown = changed(find("gelu_forward"), notes="Begin with x_hat = x - x.mean(axis=-1, keepdims=True).")
    chapter = dataclasses.replace(CHAPTERS[0], exercises=(shown,))
    monkeypatch.setattr(self_check, "CHAPTERS", (chapter,))
    assert any("x_hat=x-x.mean" in problem for problem in self_check._survivors())


def test_the_command(capsys):
    assert main(["exercises", "check", "gelu_forward"]) == 0
    assert capsys.readouterr().out.startswith("1 exercises, ")
    assert main(["exercises", "check", "gelu_forwards"]) == 1
    assert "like it: gelu_forward" in capsys.readouterr().err


def test_the_command_fails_where_a_table_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr("bert_numpy.classroom.catalogue.find", lambda name: changed(FORWARD, minutes=50))
    assert main(["exercises", "check", "layer_norm_forward"]) == 1
    assert "50 minutes" in capsys.readouterr().out
