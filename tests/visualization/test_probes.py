"""Probes by layer: the accuracies at their layers, and one clear error for what is none."""

import pytest

from bert_numpy.visualization.probes import draw_probes


def test_accuracies_stand_over_their_layers():
    axes = draw_probes({"label": [0.5, 0.7, 0.9], "control": [0.5, 0.5, 0.6]}, chance=0.5, title="who").axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines[:2]] == [
        [[0, 0.5], [1, 0.7], [2, 0.9]],
        [[0, 0.5], [1, 0.5], [2, 0.6]],
    ]
    assert axes.lines[2].get_ydata() == [0.5, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["embeddings", "layer 1", "layer 2"]
    assert axes.get_ylim()[0] == 0
    assert axes.get_title() == "who"


def test_without_chance_there_is_no_line_for_it():
    assert len(draw_probes({"label": [0.5, 0.7]}).axes[0].lines) == 1


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ({}, "no probe"),
        ({"a": []}, "one number for each layer"),
        ({"a": [0.5, 0.6], "b": [0.5]}, "one number for each layer"),
        ({"a": [[0.5]]}, "one number for each layer"),
        ({"a": [0.5, 60.0]}, "an accuracy of 'a' is not between 0 and 1"),
        ({"a": [float("nan")]}, "an accuracy of 'a' is not between 0 and 1"),
    ],
)
def test_what_is_no_accuracy_is_named(accuracies, message):
    with pytest.raises(ValueError, match=message):
        draw_probes(accuracies)
