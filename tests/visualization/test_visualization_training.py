"""Pictures of training: what they show, read back from the figure; the same bytes again; one clear error for bad input.

That they are good to look at, only eyes can tell.  What can be tested is that nothing overlaps: labels, numbers.
"""

import json
import math
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest

from bert_numpy.checkpoints import CheckpointError
from bert_numpy.training.run_log import RunLog
from bert_numpy.visualization import plot_confusion_matrix, plot_curves, save_figure
from bert_numpy.visualization.training import _smooth

LOG = [
    {"step": 1, "epoch": 0.5, "loss": 2.0, "learning_rate": 0.0, "grad_norm": 3.0, "tokens_per_second": 9.0},
    {"step": 2, "epoch": 1.0, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": 2.0, "tokens_per_second": 9.0},
    {"step": 2, "epoch": 1.0, "eval_loss": 1.5, "eval_f1": 0.5, "eval_exact": 40.0, "eval_runtime": 0.1},
]


def curves(figure):
    """{label of the vertical axis: [(steps, values) of each line]}"""
    return {
        axes.get_ylabel(): [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines]
        for axes in figure.axes
    }


def matrix_of(classes, count):
    return np.full((classes, classes), 3) + np.diag(np.full(classes, count))


# ---- the confusion matrix ----


def test_rows_are_the_truth_and_colours_are_shares_of_rows():
    figure = plot_confusion_matrix([[3, 1], [0, 0]], ["ham", "spam"])
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert {text.get_position(): text.get_text() for text in axes.texts}[(1, 0)] == "1"  # column 1, row 0
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ham", "spam"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")


def test_numbers_stand_out_from_their_cells():
    figure = plot_confusion_matrix([[9, 0, 0], [6, 4, 0], [2, 0, 8]])
    texts, image = figure.axes[0].texts, figure.axes[0].images[0]
    for text in texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))[:3]
        ink = matplotlib.colors.to_rgb(text.get_color())
        light, dark = sorted((np.dot([0.2126, 0.7152, 0.0722], np.power(c, 2.2)) for c in (cell, ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > (4 if text.get_text() != "0" else 2)


@pytest.mark.parametrize(
    ("classes", "count", "name"),
    [(2, 8_000_000, "x"), (5, 12_000, "a name of quite some length"), (20, 99_999, "y"), (26, 800, "z" * 99)],
)
def test_labels_and_numbers_do_not_overlap(classes, count, name):
    figure = plot_confusion_matrix(matrix_of(classes, count), [f"{name} {i}" for i in range(classes)])
    axes = figure.axes[0]
    figure.canvas.draw()  # which lays it out
    widest = max(text.get_window_extent().width for text in axes.texts)
    assert widest <= axes.get_window_extent().width / classes
    for labels, low, high in ((axes.get_yticklabels(), "ymin", "ymax"), (axes.get_xticklabels(), "xmin", "xmax")):
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: getattr(box, low))
        assert min(min(box.xmin, box.ymin) for box in boxes) >= 0
        assert max(box.xmax for box in boxes) <= 800
        if labels[0].get_rotation() in (0, 90):  # the boxes of slanting ones overlap, they do not
            assert all(getattr(a, high) <= getattr(b, low) for a, b in pairwise(boxes))


def test_many_classes_show_colours_only_and_some_names():
    figure = plot_confusion_matrix(matrix_of(120, 50))
    axes = figure.axes[0]
    assert len(axes.texts) == 0
    assert [label.get_text() for label in axes.get_yticklabels()][:3] == ["0", "3", "6"]


def test_long_names_keep_both_ends_and_dollars_are_no_formula():
    names = ["sentence-transformers/one", "$a_1$ and\n$b$"]
    figure = plot_confusion_matrix([[1, 0], [0, 1]], names)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "sentence-tra…formers/one",
        "$a_1$ and $b$",
    ]
    assert not figure.axes[0].get_yticklabels()[1].get_parse_math()


@pytest.mark.parametrize(
    ("matrix", "labels", "message"),
    [
        ([[1, 2]], None, r"square, \(classes, classes\), not of shape \(1, 2\)"),
        (np.zeros((0, 0), int), None, r"not of shape \(0, 0\)"),
        ([[1, -1], [0, 1]], None, "integers of at least 0"),
        ([[0.5]], None, "integers of at least 0"),
        ([[1]], ["a", "b"], "there are 2 labels for a matrix of 1 classes"),
    ],
)
def test_bad_matrices_are_one_clear_error(matrix, labels, message):
    with pytest.raises(ValueError, match=message):
        plot_confusion_matrix(matrix, labels)


# ---- the curves ----


def test_every_number_of_the_log_is_in_its_panel():
    figure = plot_curves(LOG, title="A run")
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "loss",
        "learning rate",
        "gradient norm",
        "evaluation",
        "evaluation",
    ]
    shown = curves(figure)
    assert shown["loss"] == [([1, 2], [2.0, 1.0]), ([2], [1.5])]
    assert shown["learning rate"] == [([1, 2], [0.0, 1e-4])]
    assert shown["gradient norm"] == [([1, 2], [3.0, 2.0])]
    legends = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes[3:]]
    assert legends == [["f1"], ["exact"]]  # those above 1 do not flatten the others
    assert [text.get_text() for text in figure.texts] == ["A run"]


def test_a_folder_its_log_and_the_history_give_the_same_picture(tmp_path):
    log = RunLog(tmp_path)
    for record in LOG:
        log.append(record)
    log.close()
    expected = curves(plot_curves(LOG))
    assert curves(plot_curves(tmp_path)) == curves(plot_curves(str(tmp_path / "train_log.jsonl"))) == expected


def test_a_single_step_without_evaluation():
    figure = plot_curves(LOG[:1])
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "learning rate", "gradient norm"]
    assert all(axes.lines[0].get_marker() == "o" for axes in figure.axes)  # a line of one point cannot be seen
    assert figure.axes[0].get_xlim() == (0, 2)
    figure.canvas.draw()
    assert all(float(tick.get_text()) % 1 == 0 for tick in figure.axes[0].get_xticklabels())


def test_losses_that_are_not_finite_leave_a_gap_only(tmp_path):
    log = RunLog(tmp_path)
    for step, loss in enumerate((1.0, math.nan, 3.0), start=1):
        log.append({"step": step, "loss": loss})
    log.close()
    assert "nan" in (tmp_path / "train_log.jsonl").read_text(encoding="utf-8")
    assert curves(plot_curves(tmp_path))["loss"] == [([1, 3], [1.0, 3.0])]


def test_long_runs_are_smoothed_and_say_so():
    log = [{"step": step, "loss": float(step % 2), "grad_norm": 1.0 + 99 * (step == 50)} for step in range(1, 401)]
    figure = plot_curves(log)
    pale, bold = figure.axes[0].lines
    assert pale.get_ydata().tolist() == [float(step % 2) for step in range(1, 401)]
    assert np.abs(bold.get_ydata() - 0.5).max() < 0.15
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "training, mean over about 10 points"
    assert figure.axes[1].get_yscale() == "log"  # one peak of 100 times the rest
    assert len(plot_curves(log, smoothing=1).axes[0].lines) == 1


def test_smoothing_is_the_weighted_mean_it_claims_to_be():
    values = np.random.default_rng(0).standard_normal(40)
    distance = np.abs(np.arange(40)[:, None] - np.arange(40))
    weights = np.exp(-2 * distance / 8)
    np.testing.assert_allclose(_smooth(values, 8), weights @ values / weights.sum(1), rtol=0, atol=1e-14)


def test_metrics_can_be_chosen_and_the_first_eight_are_drawn():
    log = [{"step": 5, **{f"eval_{i}": 0.5 for i in range(12)}}]
    assert len(plot_curves(log).axes[0].lines) == 8
    figure = plot_curves(log, metrics=["eval_11"])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["11"]
    with pytest.raises(ValueError, match="no metric 'eval_f1'; it holds eval_0, eval_1"):
        plot_curves(log, metrics=["eval_f1"])


def test_bad_logs_are_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="the log holds nothing to draw"):
        plot_curves([{"step": 1, "epoch": 1.0}])
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        plot_curves(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"train_log\.jsonl"):
        plot_curves(tmp_path)
    (tmp_path / "other.txt").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"is a file named train_log\.jsonl, or the folder"):
        plot_curves(tmp_path / "other.txt")
    (tmp_path / "train_log.jsonl").write_text(json.dumps(LOG[0]) + "\n{\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"train_log\.jsonl:2: not JSON"):
        plot_curves(tmp_path)
    with pytest.raises(ValueError, match="smoothing must be at least 1 point, not 0"):
        plot_curves(LOG, smoothing=0)


# ---- files ----


def test_the_same_numbers_give_the_same_bytes_800_pixels_wide(tmp_path):
    for name, draw in (
        ("matrix", lambda: plot_confusion_matrix([[5, 1], [2, 9]])),
        ("curves", lambda: plot_curves(LOG)),
    ):
        first, second = tmp_path / f"{name}1.png", tmp_path / f"{name}2.png"
        save_figure(draw(), first)
        save_figure(draw(), str(second))
        content = first.read_bytes()
        assert content == second.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(content[16:20], "big") == 800
        for chunk in (b"tEXt", b"iTXt", b"zTXt", b"tIME"):  # of the program or the time
            assert chunk not in content


def test_a_failure_leaves_the_old_picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    class Broken:
        dpi = 100

        def savefig(self, file, **kwargs):
            file.write(b"half")
            raise MemoryError

    with pytest.raises(MemoryError):
        save_figure(Broken(), path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_bad_paths_are_one_clear_error(tmp_path):
    figure = plot_confusion_matrix([[1]])
    with pytest.raises(ValueError, match=r"picture\.pdf: pictures are written as PNG"):
        save_figure(figure, tmp_path / "picture.pdf")
    with pytest.raises(CheckpointError, match="cannot be written: no such file or folder"):
        save_figure(figure, tmp_path / "nowhere" / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_pyplot_is_not_needed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    save_figure(plot_confusion_matrix([[1]]), tmp_path / "matrix.png")
    save_figure(plot_curves(LOG), tmp_path / "curves.png")
    assert len(list(tmp_path.iterdir())) == 2
