"""The picture of a comparison: what is drawn is what was measured, and the arrow points to the first divergence."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from own_port import dump_of

from bert_numpy.verification import compare
from bert_numpy.verification.report import CaseReport, Report, TapResult
from bert_numpy.visualization import plot_errors
from bert_numpy.visualization.canvas import png_bytes


@pytest.fixture
def reports(make_model, labelled):
    """The report on a correct port, and on one whose second layer has another epsilon; with gradients."""
    model, other = (make_model("BertForPreTraining", np.float32) for _ in range(2))
    other.bert.encoder.layer[1].output.LayerNorm.eps = 1e-3
    inputs = labelled("BertForPreTraining")
    return tuple(compare(model, {f"batch/{n}": a for n, a in dump_of(port, inputs).items()}) for port in (model, other))


def points(axes):
    """{legend: [places, heights]} of the markers."""
    markers = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
    return {found.get_label(): np.asarray(found.get_offsets()).T.tolist() for found in markers}


def title_of(figure):
    return figure._suptitle.get_text()  # get_suptitle() is of matplotlib 3.8


def test_every_tap_is_drawn_at_its_error_beside_its_noise(reports):
    figure = plot_errors(reports[1])
    taps = reports[1].cases[0].taps
    passes = [[tap for tap in taps if tap.is_gradient == backward] for backward in (False, True)]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["forward", "backward"]
    words = {"equal": "ok", "wrong": "differs", "right on its own input": "inherits", "drifts": "drifts"}
    for axes, expected in zip(figure.axes, passes, strict=True):
        assert axes.get_yscale() == "log"
        drawn = {label: found for label, found in points(axes).items() if label in words}
        assert sum(len(places) for places, _ in drawn.values()) == len(expected)
        low, high = axes.get_ylim()
        for label, (places, heights) in drawn.items():
            for place, height in zip(places, heights, strict=True):
                tap = expected[int(place)]
                assert tap.verdict == words[label]
                assert height == pytest.approx(min(max(tap.times_noise * tap.noise, low), high))
        (band,) = [c for c in axes.collections if c.get_label() == "noise floor, up to 8 x"]
        edge = band.get_paths()[0].vertices
        for i in (1, len(expected) - 2):
            heights = sorted({y for x, y in edge.tolist() if x == i})
            assert heights == pytest.approx([expected[i].noise, 8 * expected[i].noise])


def test_the_arrow_points_to_the_first_divergence_and_names_the_mistake(reports):
    figure = plot_errors(reports[1])
    assert title_of(figure) == "first wrong: encoder.layer.1.output  (float32, case batch)"
    (text,) = [text for axes in figure.axes for text in axes.texts]
    assert text.get_text() == "encoder.layer.1.output\nLayerNorm epsilon 0.001"
    taps = [tap for tap in reports[1].cases[0].taps if not tap.is_gradient]
    place, height = text.xy
    first = taps[place]
    assert first.name == "encoder.layer.1.output"
    assert height == pytest.approx(first.times_noise * first.noise)


def test_a_correct_port_has_no_arrow(reports):
    figure = plot_errors(reports[0])
    assert title_of(figure) == "equal to rounding  (float32, case batch)"
    assert not [text for axes in figure.axes for text in axes.texts]
    assert set(points(figure.axes[0])) == {"equal"}


def test_the_parts_are_named_below(reports):
    forward, backward = plot_errors(reports[0]).axes
    assert [label.get_text() for label in forward.get_xticklabels()] == ["emb", "0", "1", "2", "head"]
    assert [label.get_text() for label in backward.get_xticklabels()] == ["head", "2", "1", "0", "emb"]
    assert (forward.get_xlabel(), backward.get_xlabel()) == ("", "layer")


def test_the_same_report_gives_the_same_picture_of_800_pixels(reports):
    png = png_bytes(plot_errors(reports[1]))
    assert png == png_bytes(plot_errors(reports[1]))
    assert int.from_bytes(png[16:20], "big") == 800


def report_of(*cases):
    return Report("model", "dump", "float32", "float32", 8.0, list(cases))


MEASURED = TapResult("embeddings", noise=1e-7, times_noise=0.0, alone=0.0)


def test_an_error_of_zero_lies_on_the_lower_edge():
    (axes,) = plot_errors(report_of(CaseReport("", [MEASURED]))).axes
    (((_,), (height,)),) = points(axes).values()
    assert height == axes.get_ylim()[0] > 0


@pytest.mark.parametrize(("verdict", "label"), [("not finite", "NaN or infinite"), ("shape", "of another shape")])
def test_a_tensor_without_an_error_stands_at_the_upper_edge(verdict, label):
    wrong = TapResult("encoder.layer.0.output", verdict=verdict)
    (axes,) = plot_errors(report_of(CaseReport("", [MEASURED, wrong]))).axes
    assert points(axes)[label] == [[1.0], [axes.get_ylim()[1]]]
    (text,) = axes.texts
    assert (text.get_text(), text.xy) == ("encoder.layer.0.output", (1, axes.get_ylim()[1]))
    png_bytes(plot_errors(report_of(CaseReport("", [wrong]))))  # nothing measured at all


def test_the_case_that_is_asked_for_or_that_differs():
    good, bad = CaseReport("good", [MEASURED]), CaseReport("bad", [TapResult("pooler", verdict="not finite")])
    report = report_of(good, bad)
    assert title_of(plot_errors(report)) == "first wrong: pooler  (float32, case bad)"
    assert title_of(plot_errors(report, "good")) == "equal to rounding  (float32, case good)"
    with pytest.raises(ValueError, match=r"^no case 'ugly'; there are good, bad$"):
        plot_errors(report, "ugly")
    with pytest.raises(ValueError, match="there is no tap to draw"):
        plot_errors(report_of(CaseReport("", problems=["no tap"])))
