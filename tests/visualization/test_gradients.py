"""The curve of a gradient check: what is drawn is what was measured, on two logarithmic axes."""

import numpy as np
import pytest

from bert_numpy.visualization import draw_gradient_check


def test_each_curve_is_drawn_with_its_name():
    steps = [1e-3, 1e-2, 1e-1]
    figure = draw_gradient_check(steps, {"central": [1e-6, 1e-4, 1e-2], "wrong": [0.1, 0.1, 0.1]}, title="check")
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_title()) == ("log", "log", "check")
    drawn = {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines}
    assert drawn == {"central": (steps, [1e-6, 1e-4, 1e-2]), "wrong": (steps, [0.1, 0.1, 0.1])}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["central", "wrong"]
    low, high = axes.get_ylim()
    assert low < 1e-6
    assert high > 0.1


def test_an_error_of_zero_is_a_gap():
    (axes,) = draw_gradient_check([1e-3, 1e-2], {"central": [0.0, 1e-4]}).axes
    assert np.isnan(axes.lines[0].get_ydata()[0])


@pytest.mark.parametrize(
    ("steps", "errors", "message"),
    [
        ([], {}, "above 0"),
        ([0.0, 1.0], {}, "above 0"),
        ([1.0], {"central": [1.0, 2.0]}, r"central has errors of shape \(2,\), the steps have \(1,\)"),
    ],
)
def test_what_does_not_fit_is_refused(steps, errors, message):
    with pytest.raises(ValueError, match=message):
        draw_gradient_check(steps, errors)
