"""Names to numbers and back."""

from __future__ import annotations

import numpy as np
import pytest

from bert_numpy.configuration import BertConfig
from bert_numpy.data import LabelMap


def test_integers_are_sorted_as_numbers_and_names_as_text() -> None:
    assert LabelMap.from_values(["10", "9", " 2 ", "-1", "9"]).names == ("-1", "2", "9", "10")
    assert LabelMap.from_values(["b", "B", "10", "9"]).names == ("10", "9", "B", "b")
    assert LabelMap.from_values([True, np.int64(3), False]).names == ("3", "False", "True")


def test_a_map_survives_the_configuration(tmp_path) -> None:
    labels = LabelMap(["spam", "ham", "eggs"])
    BertConfig(id2label=labels.id2label).save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path)
    assert LabelMap.of(config.label2id) == LabelMap.of(config.id2label) == labels
    assert hash(LabelMap.of(config.id2label)) == hash(labels)
    assert [labels.id_of(name) for name in ("spam", "ham", "eggs ")] == [0, 1, 2]


def test_numbers_are_ids_only_where_the_labels_have_no_names() -> None:
    fresh = LabelMap.of(BertConfig(num_labels=3).label2id)
    assert [fresh.id_of(label) for label in ("2", 0, "LABEL_1")] == [2, 0, 1]
    with pytest.raises(ValueError, match="'0' is unknown"):
        LabelMap(["1", "2"]).id_of(0)


@pytest.mark.parametrize("label", [1.0, None, " ", ["a"], np.float32(1)])
def test_what_is_no_label(label) -> None:
    with pytest.raises(ValueError, match="label"):
        LabelMap.from_values([label])
