"""The picture of a model's inputs: every number stands below its token, and colours are segments."""

import matplotlib
import pytest

from bert_numpy import BertTokenizer
from bert_numpy.visualization import draw_inputs
from bert_numpy.visualization.tokens import PADDING_COLOR, SEGMENT_COLORS

tokenizer = BertTokenizer.from_pretrained("tiny-random")
TEXTS = [("to be or not", "to be"), ("to be", "not")]


def draw(**settings):
    batch = tokenizer(TEXTS, padding=True)
    return batch, draw_inputs([batch.tokens(0), batch.tokens(1)], batch, **settings)


def test_numbers_stand_below_their_tokens():
    batch, figure = draw()
    for number, axes in enumerate(figure.axes):
        columns = {}
        for text in sorted(axes.texts, key=lambda text: -text.get_position()[1]):
            if text.get_ha() == "center":
                columns.setdefault(text.get_position()[0], []).append(text.get_text())
        names = ("input_ids", "token_type_ids", "attention_mask")
        rows = [batch.tokens(number), *(batch[name][number] for name in names)]
        assert [columns[x] for x in sorted(columns)] == [list(map(str, column)) for column in zip(*rows, strict=True)]


def test_colours_are_segments_and_padding_is_grey():
    batch, figure = draw()
    for number, axes in enumerate(figure.axes):
        found = [matplotlib.colors.to_hex(patch.get_facecolor()) for patch in axes.patches]
        pairs = zip(batch["token_type_ids"][number], batch["attention_mask"][number], strict=True)
        assert found == [SEGMENT_COLORS[segment] if kept else PADDING_COLOR for segment, kept in pairs]
    assert PADDING_COLOR in found


@pytest.mark.parametrize(("token", "count"), [("[CLS]", 4), ("##able", 11), ("[MASK]", 16)])
def test_every_token_fits_into_its_box(token, count):
    ones = [[1] * count]
    inputs = {"input_ids": ones, "token_type_ids": ones, "attention_mask": ones}
    (axes,) = draw_inputs([[token] * count], inputs, title="Two pairs").axes
    axes.figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in axes.patches]
    names = [text.get_window_extent() for text in axes.texts if text.get_text() == token]
    assert len(names) == len(boxes) == count
    for box, name in zip(boxes, names, strict=True):
        assert box.x0 <= name.x0 < name.x1 <= box.x1


@pytest.mark.parametrize(
    ("tokens", "ids", "message"),
    [
        ([["a", "b"]], [[1, 2, 3]], r"input_ids has shape \(1, 3\), which is not that of the tokens, \(1, 2\)"),
        ([["a", "b"], ["c"]], [[1, 2], [3, 4]], "pad the batch"),
        ([["a"] * 17], [[1] * 17], "17 tokens stand beside each other in a picture of 1 to 16"),
        ([[]], [[]], "0 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(tokens, ids, message):
    with pytest.raises(ValueError, match=message):
        draw_inputs(tokens, {"input_ids": ids, "token_type_ids": ids, "attention_mask": ids})
