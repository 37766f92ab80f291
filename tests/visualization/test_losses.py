"""Losses beside a floor and beside a check: the numbers that were given, and the verdict that follows from them."""

import numpy as np
import pytest

from bert_numpy.visualization.losses import draw_checked_losses, draw_losses

CURVES = {"right": [3.0, 2.0, 1.0], "wrong": [3.0, 2.5, 2.0]}


def test_curves_begin_at_step_1():
    axes = draw_losses(CURVES, {}).axes[0]
    assert [line.get_xydata().tolist() for line in axes.lines] == [
        [[1, 3], [2, 2], [3, 1]],
        [[1, 3], [2, 2.5], [3, 2]],
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["right", "wrong"]


def test_levels_are_lines_with_their_numbers():
    axes = draw_losses(CURVES, {"floor": 0.381, "start": 6.22}).axes[0]
    levels = [line.get_ydata()[0] for line in axes.lines[2:]]
    assert levels == [6.22, 0.381]
    assert [text.get_text() for text in axes.texts] == ["start: 6.22", "floor: 0.38"]
    low, high = axes.get_ylim()
    assert low == 0
    assert high > 6.22


def test_the_axis_of_the_steps_is_logarithmic_if_asked_for():
    assert draw_losses(CURVES, {}).axes[0].get_xscale() == "linear"
    assert draw_losses(CURVES, {}, logarithmic=True).axes[0].get_xscale() == "log"


def test_smoothed_curves_lie_over_the_numbers_themselves():
    losses = np.random.default_rng(0).normal(size=200) + 5
    raw, smoothed = draw_losses({"run": losses}, {}, smoothing=20).axes[0].lines
    np.testing.assert_array_equal(raw.get_ydata(), losses)
    assert np.ptp(smoothed.get_ydata()) < 0.5 * np.ptp(losses)
    assert abs(smoothed.get_ydata().mean() - losses.mean()) < 0.1


def test_bars_are_as_long_as_the_error_and_only_passed_checks_are_hatched():
    figure = draw_checked_losses(CURVES, {"right": 1e-9, "wrong": 0.1}, bound=1e-6)
    bars = figure.axes[1].patches
    assert [bar.get_x() + bar.get_width() for bar in bars] == pytest.approx([-9, -1])
    assert [bool(bar.get_hatch()) for bar in bars] == [True, False]
    assert figure.axes[1].lines[0].get_xdata()[0] == pytest.approx(-6)


def test_a_bar_has_the_colour_of_its_curve():
    figure = draw_checked_losses(CURVES, {"right": 1e-9, "wrong": 0.1}, bound=1e-6)
    colors = [line.get_color() for line in figure.axes[0].lines]
    from matplotlib.colors import to_hex

    assert [to_hex(bar.get_facecolor()).upper() for bar in figure.axes[1].patches] == [
        color.upper() for color in colors
    ]


def test_more_runs_than_colours_are_told_apart_by_the_line():
    curves = {str(i): [2.0, 1.0] for i in range(12)}
    lines = draw_losses(curves, {}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


def test_errors_of_0_and_huge_ones_are_drawn_within_the_axes():
    axes = draw_checked_losses(CURVES, {"right": 0.0, "wrong": 1e12}, bound=1.0).axes[1]
    low, high = axes.get_xlim()
    for bar in axes.patches:
        assert low <= bar.get_x()
        assert bar.get_x() + bar.get_width() <= high


@pytest.mark.parametrize("curves", [{}, {"run": []}, {"run": [[1.0, 2.0]]}])
def test_without_a_curve_there_is_no_picture(curves):
    with pytest.raises(ValueError, match=r"no curve|one number for each step"):
        draw_losses(curves, {})


def test_curves_and_errors_must_have_the_same_names():
    with pytest.raises(ValueError, match="curves of right, wrong and errors of right"):
        draw_checked_losses(CURVES, {"right": 0.0}, bound=1.0)
