"""The grid of attention maps: each map at its place, with the weights that were given, and nothing cut off."""

import numpy as np
import pytest

from bert_numpy import BertConfig, BertModel
from bert_numpy.visualization.attention import draw_attention

TOKENS = ["[CLS]", "tea", "and", "cake", "[SEP]"]


def weights_of(L, A, S, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(S), (L, A, S))


def test_each_map_stands_in_the_row_of_its_layer_and_the_column_of_its_head():
    weights = weights_of(3, 4, 5)
    figure = draw_attention(weights, TOKENS)
    maps = np.array(figure.axes).reshape(3, 4)
    for layer, head in np.ndindex(3, 4):
        np.testing.assert_array_equal(maps[layer, head].images[0].get_array(), weights[layer, head])
    lefts = np.array([[axes.get_position().x0 for axes in row] for row in maps])
    tops = np.array([[axes.get_position().y1 for axes in row] for row in maps])
    assert (np.diff(lefts, axis=1) > 0).all()
    assert (np.diff(tops, axis=0) < 0).all()
    assert [axes.get_title() for axes in maps[0]] == ["head 1", "head 2", "head 3", "head 4"]
    assert [row[0].get_ylabel() for row in maps] == ["layer 1", "layer 2", "layer 3"]


def test_all_maps_have_one_scale():
    figure = draw_attention(weights_of(2, 2, 5), TOKENS)
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0, 1)}


def test_queries_are_named_on_the_left_and_keys_below():
    first, second = draw_attention(weights_of(2, 1, 5), TOKENS).axes
    assert [label.get_text() for label in first.get_yticklabels()] == TOKENS
    assert [label.get_text() for label in second.get_xticklabels()] == TOKENS
    assert first.get_xticklabels() == []


def test_the_attentions_of_a_model_can_be_drawn():
    config = BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=2, num_hidden_layers=3, intermediate_size=5)
    outputs = BertModel(config, rng=0)(np.array([[2, 5, 6, 7, 3], [2, 5, 3, 0, 0]]), output_attentions=True)
    figure = draw_attention([weights[1] for weights in outputs.attentions], TOKENS)
    assert len(figure.axes) == 6
    np.testing.assert_array_equal(figure.axes[3].images[0].get_array(), outputs.attentions[1][1, 1])


@pytest.mark.parametrize(("L", "A", "S"), [(1, 1, 2), (3, 4, 15), (2, 12, 40), (12, 12, 9)])
def test_no_name_of_a_token_is_cut_off_or_covers_another(L, A, S):
    tokens = [f"token{i}" for i in range(S)]
    figure = draw_attention(weights_of(L, A, S), tokens, title="a title")
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    assert width <= 800
    for axes, labels in [(figure.axes[0], "get_yticklabels"), (figure.axes[-A], "get_xticklabels")]:
        boxes = [label.get_window_extent() for label in getattr(axes, labels)()]
        assert boxes
        for box in boxes:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
        along = "y" if labels == "get_yticklabels" else "x"
        centres = sorted(getattr(box, f"{along}0") + getattr(box, f"{along}1") for box in boxes)
        assert np.diff(centres).min(initial=99) / 2 >= 6  # pixels, for letters of at least 6 points


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones((2, 2, 4, 4)) / 4, r"attention weights of shape \(2, 2, 4, 4\) for 5 tokens"),
        (np.ones((2, 1, 2, 5, 5)) / 5, "one sequence alone"),
        (np.ones((1, 17, 5, 5)) / 5, "17 heads are too many"),
        (np.full((1, 1, 5, 5), 1.25), "not between 0 and 1"),
        (np.full((1, 1, 5, 5), np.nan), "not between 0 and 1"),
    ],
)
def test_what_cannot_be_drawn_is_named(weights, message):
    with pytest.raises(ValueError, match=message):
        draw_attention(weights, TOKENS)


def test_names_must_be_as_many_as_maps():
    with pytest.raises(ValueError, match="1 names for 2 heads"):
        draw_attention(weights_of(1, 2, 5), TOKENS, heads=["a"])
