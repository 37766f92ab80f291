"""The map of words: dots where they belong, names beside them that can be read."""

from itertools import combinations

import numpy as np
import pytest

from bert_numpy.visualization.canvas import COLORS
from bert_numpy.visualization.embeddings import draw_embedding_map

POINTS = np.array([[0.0, 0.0], [2.0, 1.0], [4.0, 0.0], [2.0, -1.0]])


def dots_of(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines if line.get_marker() != "None"}


def test_dots_have_the_places_and_the_colour_of_their_group():
    figure = draw_embedding_map(POINTS, ["a", "b", "c", "d"], ["x", "y", "x", "y"], axes_names=("across", "along"))
    axes = figure.axes[0]
    assert dots_of(axes) == {"x": [[0, 0], [4, 0]], "y": [[2, 1], [2, -1]]}
    assert [line.get_color() for line in axes.lines] == list(COLORS[:2])
    assert {text.get_text(): text.get_color() for text in axes.texts} == {
        "a": COLORS[0],
        "b": COLORS[1],
        "c": COLORS[0],
        "d": COLORS[1],
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("across", "along")


def test_a_joined_group_is_a_ring_in_the_given_order():
    axes = draw_embedding_map(POINTS, ["a", "b", "c", "d"], ["x"] * 4, joined=["x"]).axes[0]
    ring = axes.lines[0].get_xydata()
    np.testing.assert_array_equal(ring, [*POINTS, POINTS[0]])


def test_each_name_stands_near_its_dot():
    figure = draw_embedding_map(POINTS, ["a", "b", "c", "d"], ["x"] * 4)
    axes = figure.axes[0]
    for text, place in zip(axes.texts, axes.transData.transform(POINTS), strict=True):
        box = text.get_window_extent()
        assert np.abs(np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]) - place).max() < 40


@pytest.mark.parametrize("seed", range(3))
def test_names_do_not_cover_each_other_where_there_is_room(seed):
    points = np.random.default_rng(seed).normal(size=(40, 2))
    figure = draw_embedding_map(points, [f"word{i}" for i in range(40)], ["x"] * 40)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    collisions = sum(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert collisions <= 2


def test_a_long_name_at_the_edge_is_not_cut_off():
    figure = draw_embedding_map(POINTS, ["a", "b", "a name that is long", "d"], ["x"] * 4)
    figure.draw_without_rendering()
    (text,) = (text for text in figure.axes[0].texts if text.get_text() == "a name that is long")
    box = text.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_the_same_map_has_the_same_bytes():
    first, second = (draw_embedding_map(POINTS, list("abcd"), ["x"] * 4)._repr_png_() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("points", "groups", "joined", "message"),
    [
        (POINTS[:3], ["x"] * 4, (), r"points of shape \(3, 2\) for 4 names"),
        (np.zeros((4, 3)), ["x"] * 4, (), r"points of shape \(4, 3\)"),
        (POINTS, ["x"] * 3, (), "and 3 groups"),
        (POINTS, ["x"] * 4, ["y"], "no group 'y' to join; there are x"),
    ],
)
def test_what_does_not_fit_is_named(points, groups, joined, message):
    with pytest.raises(ValueError, match=message):
        draw_embedding_map(points, list("abcd"), groups, joined=joined)


def test_there_are_no_more_groups_than_colours():
    many = len(COLORS) + 1
    with pytest.raises(ValueError, match=f"{many} groups are more than the {len(COLORS)} colours"):
        draw_embedding_map(np.zeros((many, 2)), ["a"] * many, [str(i) for i in range(many)])
