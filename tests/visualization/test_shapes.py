"""The picture of shapes: it shows the arrays that the layer really made, to scale, and leaves the layer as it was."""

import numpy as np
import pytest

from bert_numpy import BertConfig, BertModel
from bert_numpy.nn import functional as F
from bert_numpy.visualization.shapes import Step, draw_layer_shapes, record_shapes

SIZES = [  # B, S, H, A, I
    (2, 9, 20, 4, 27),
    (1, 3, 12, 1, 48),
    (3, 120, 64, 8, 256),
    (1, 5, 10, 2, 3),
]


def layer_of(H, A, intermediate, **settings):
    config = BertConfig(
        vocab_size=9,
        hidden_size=H,
        num_attention_heads=A,
        intermediate_size=intermediate,
        num_hidden_layers=1,
        **settings,
    )
    return BertModel(config, rng=0).eval().encoder.layer[0]


def steps_of(B, S, H, A, intermediate):
    return record_shapes(layer_of(H, A, intermediate), np.ones((B, S, H), np.float32), None)


@pytest.mark.parametrize(("B", "S", "H", "A", "intermediate"), SIZES)
def test_every_operation_is_noted_in_order(B, S, H, A, intermediate):
    D, hidden, heads = H // A, (B, S, H), (B, A, S, H // A)
    assert [(step.name, step.inputs[0], step.output) for step in steps_of(B, S, H, A, intermediate)] == [
        ("attention.self.query", hidden, hidden),
        ("attention.self.key", hidden, hidden),
        ("attention.self.value", hidden, hidden),
        ("weights", heads, (B, A, S, S)),
        ("attention", (B, A, S, D), heads),
        ("attention.output.dense", hidden, hidden),
        ("attention.output.dropout", hidden, hidden),
        ("attention.output.LayerNorm", hidden, hidden),
        ("intermediate.dense", hidden, (B, S, intermediate)),
        ("intermediate.intermediate_act_fn", (B, S, intermediate), (B, S, intermediate)),
        ("output.dense", (B, S, intermediate), hidden),
        ("output.dropout", hidden, hidden),
        ("output.LayerNorm", hidden, hidden),
    ]


def test_parameters_are_noted_with_their_operation():
    steps = {step.name: step.parameters for step in steps_of(1, 2, 20, 4, 27)}
    assert steps["intermediate.dense"] == {"weight": (27, 20), "bias": (27,)}
    assert steps["output.LayerNorm"] == {"weight": (20,), "bias": (20,)}
    assert steps["weights"] == {}


@pytest.mark.parametrize("fails", [False, True])
def test_the_layer_is_left_as_it_was(fails):
    layer, attention = layer_of(20, 4, 27), F.scaled_dot_product_attention_forward
    before = {path: set(vars(module)) for path, module in layer.named_modules()}
    if fails:
        with pytest.raises(ValueError, match="matmul"):
            record_shapes(layer, np.ones((1, 3, 19), np.float32), None)
    else:
        record_shapes(layer, np.ones((1, 3, 20), np.float32), None)
    assert {path: set(vars(module)) for path, module in layer.named_modules()} == before
    assert F.scaled_dot_product_attention_forward is attention


@pytest.mark.parametrize(("B", "S", "H", "A", "intermediate"), SIZES)
def test_the_picture_says_the_shapes(B, S, H, A, intermediate):
    figure = draw_layer_shapes(steps_of(B, S, H, A, intermediate), title="A layer")
    words = [text.get_text() for text in figure.axes[0].texts]
    assert [w for w in words if w.startswith("(")] == [
        f"(B, S, H) = {(B, S, H)}",
        f"(B, A, S, D) = {(B, A, S, H // A)}",
        f"(B, A, S, S) = {(B, A, S, S)}",
        f"(B, A, S, D) = {(B, A, S, H // A)}",
        f"(B, S, H) = {(B, S, H)}",
        f"(B, S, H) = {(B, S, H)}",
        f"(B, S, I) = {(B, S, intermediate)}",
        f"(B, S, H) = {(B, S, H)}",
        f"(B, S, H) = {(B, S, H)}",
    ]
    assert any(f"W₁ {(intermediate, H)}" in word for word in words)
    assert any(f"W₂ {(H, intermediate)}" in word for word in words)


@pytest.mark.parametrize(("B", "S", "H", "A", "intermediate"), SIZES)
def test_rectangles_are_to_scale_and_words_are_inside(B, S, H, A, intermediate):
    figure = draw_layer_shapes(steps_of(B, S, H, A, intermediate), title="A layer")
    axes = figure.axes[0]
    frames = [patch for patch in axes.patches if hasattr(patch, "get_width") and not patch.get_fill()]
    assert len(frames) == 3 * A + A + A + 6  # queries, keys, values; weights; context; six arrays without heads
    widths = [round(frame.get_width(), 6) for frame in frames]
    unit = widths[0] / H
    assert widths[1 : 1 + 3 * A] == [pytest.approx(unit * H / A)] * (3 * A)
    assert widths[-3] == pytest.approx(unit * intermediate)
    weights = frames[1 + 3 * A : 1 + 4 * A]
    assert all(frame.get_width() == pytest.approx(frame.get_height()) for frame in weights)
    assert all(frame.get_x() >= 69 and frame.get_x() + frame.get_width() <= 521 for frame in frames)
    assert all(1 < frame.get_height() <= 64.001 for frame in frames)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert min(box.xmin for box in boxes) >= 0
    assert max(box.xmax for box in boxes) <= 800
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_other_steps_are_one_clear_error():
    with pytest.raises(ValueError, match=r"not those of a BertLayer: there is no input; use record_shapes"):
        draw_layer_shapes([Step("dense", ((1, 2),), {"weight": (3, 2)}, (1, 3))])
    with pytest.raises(ValueError, match=r"there is no output\.LayerNorm"):
        draw_layer_shapes(steps_of(1, 3, 20, 4, 27)[:-1])
