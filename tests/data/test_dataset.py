"""What programs call on a dataset, as the `datasets` library answers it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.data import Dataset, DatasetDict, LabelMap
from bert_numpy.tokenization import BertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c"]


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.from_dict({"text": ["a b", "c", "a", "b c b"], "label": [0, 1, 1, 0]}, LabelMap(["no", "yes"]))


def test_the_usual_article_runs(dataset: Dataset) -> None:
    tokenizer = BertTokenizer(TOKENS)
    encoded = dataset.map(
        lambda e: tokenizer(e["text"], truncation=True, padding="max_length", max_length=4), batched=True
    )
    encoded = encoded.rename_column("label", "labels").remove_columns(["text"])
    assert encoded.column_names == ["labels", "input_ids", "token_type_ids", "attention_mask"]
    assert encoded["input_ids"] == [[2, 5, 6, 3], [2, 7, 3, 0], [2, 5, 3, 0], [2, 6, 7, 3]]
    encoded.set_format("numpy", columns=["input_ids", "labels"])
    np.testing.assert_array_equal(encoded[:]["input_ids"], [[2, 5, 6, 3], [2, 7, 3, 0], [2, 5, 3, 0], [2, 6, 7, 3]])
    np.testing.assert_array_equal(encoded[1]["input_ids"], [2, 7, 3, 0])
    assert sorted(encoded[0]) == ["input_ids", "labels"]
    assert encoded.labels == LabelMap(["no", "yes"])


def test_indexing(dataset: Dataset) -> None:
    assert len(dataset) == dataset.num_rows == 4
    assert dataset[-1] == {"text": "b c b", "label": 0}
    assert dataset[np.int64(1)] == {"text": "c", "label": 1}
    assert dataset[1:3] == dataset[[1, 2]] == {"text": ["c", "a"], "label": [1, 1]}
    assert [row["label"] for row in dataset] == dataset["label"] == [0, 1, 1, 0]
    assert dataset.unique("label") == [0, 1]
    for outside in (4, -5, [0, 4]):
        with pytest.raises(IndexError, match="outside a dataset of 4 rows"):
            dataset[outside]
    with pytest.raises(KeyError, match="no column 'body'; the columns are 'text', 'label'"):
        dataset["body"]


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_map_by_batches_is_map_by_rows(dataset: Dataset, batch_size: int) -> None:
    by_rows = dataset.map(lambda row: {"n": len(row["text"]), "label": row["label"] + 1})
    by_batches = dataset.map(
        lambda b: {"n": np.array([len(t) for t in b["text"]]), "label": [i + 1 for i in b["label"]]}, True, batch_size
    )
    assert by_rows[:] == by_batches[:] == {"text": dataset["text"], "label": [1, 2, 2, 1], "n": [3, 1, 1, 5]}
    assert type(by_batches["n"][0]) is int
    assert dataset["label"] == [0, 1, 1, 0]


def test_a_batched_map_may_change_the_number_of_rows(dataset: Dataset) -> None:
    def words(batch: Any) -> Any:
        return {"word": [word for text in batch["text"] for word in text.split()]}

    split = dataset.map(words, batched=True, batch_size=2, remove_columns=dataset.column_names)
    assert split[:] == {"word": ["a", "b", "c", "a", "b", "c", "b"]}
    with pytest.raises(ValueError, match="7 rows out of 4, so the columns text, label no longer fit; give remove_col"):
        dataset.map(words, batched=True)
    assert dataset.map(lambda b: {"text": ["x"], "label": [0]}, batched=True)[:] == {"text": ["x"], "label": [0]}


@pytest.mark.parametrize(
    ("function", "batched", "error", "message"),
    [
        (lambda row: None, False, TypeError, "must return a mapping of columns, not NoneType"),
        (lambda row: {row["text"]: 1}, False, ValueError, r"row 1 has the columns \['c'\], row 0 has \['a b'\]"),
        (lambda batch: {"n": 5}, True, TypeError, "one value for each row, not int"),
        (lambda batch: {"n": "four"}, True, TypeError, "one value for each row, not str"),
        (lambda batch: {"n": [1] * 5, "m": [1] * 4}, True, ValueError, "5 rows out of 4"),
    ],
)
def test_what_map_refuses(dataset: Dataset, function: Any, batched: bool, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        dataset.map(function, batched)


@given(n=st.integers(2, 60), share=st.floats(0.01, 0.99), seed=st.integers(0, 9), shuffle=st.booleans())
def test_a_split_loses_and_repeats_nothing(n: int, share: float, seed: int, shuffle: bool) -> None:
    dataset = Dataset({"x": range(n)})
    if not np.ceil(share * n) < n:
        with pytest.raises(ValueError, match="leaves one part"):
            dataset.train_test_split(share, seed, shuffle)
        return
    parts = dataset.train_test_split(share, seed, shuffle)
    assert len(parts["test"]) == np.ceil(share * n)
    assert sorted(parts["train"]["x"] + parts["test"]["x"]) == list(range(n))
    assert parts["train"]["x"] == dataset.train_test_split(share, seed, shuffle)["train"]["x"]
    if not shuffle:
        assert parts["train"]["x"] + parts["test"]["x"] == list(range(n))


def test_orders_depend_on_the_seed_alone() -> None:
    dataset = Dataset({"x": range(50)})
    assert dataset.shuffle(1)["x"] == dataset.shuffle(np.random.default_rng(1))["x"] != dataset.shuffle(2)["x"]
    assert dataset.shuffle(1)["x"] != dataset["x"]
    assert dataset.train_test_split(5, seed=1)["test"]["x"] != dataset.train_test_split(5, seed=2)["test"]["x"]


@pytest.mark.parametrize("test_size", [0, 4, 0.0, 1.0, -1, 2.5, float("nan")])
def test_an_empty_part_is_refused(dataset: Dataset, test_size: float) -> None:
    with pytest.raises(ValueError, match=r"test_size=.* leaves one part of 4 rows empty"):
        dataset.train_test_split(test_size)


def test_columns(dataset: Dataset) -> None:
    more = dataset.add_column("id", range(4)).select_columns(["id", "text"])
    assert more.column_names == ["id", "text"]
    assert Dataset.from_list(list(dataset))[:] == dataset[:]
    assert len(Dataset({})) == 0
    with pytest.raises(ValueError, match=r"must have one length, not \{'a': 1, 'b': 2\}"):
        Dataset({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="a column 'label' already"):
        dataset.rename_column("text", "label")
    with pytest.raises(ValueError, match="a column 'text' already"):
        dataset.add_column("text", range(4))
    with pytest.raises(KeyError, match="no column 'body'"):
        dataset.remove_columns("body")
    with pytest.raises(ValueError, match="format 'torch' is not available; use 'numpy'"):
        dataset.set_format("torch")


def test_rows_of_different_lengths_have_a_format_too() -> None:
    rows = Dataset({"ids": [[1], [1, 2]], "name": ["a", "b"]}).with_format("np")
    assert [row.tolist() for row in rows[:]["ids"]] == [[1], [1, 2]]
    assert rows[0]["name"] == "a"


def test_names_become_numbers() -> None:
    parts = DatasetDict(train=Dataset({"label": ["b", "c", "b"]}), test=Dataset({"label": ["c", "a"]}))
    encoded = parts.class_encode_column("label")
    assert {name: part["label"] for name, part in encoded.items()} == {"train": [1, 2, 1], "test": [2, 0]}
    assert encoded["train"].labels == encoded["test"].labels == LabelMap(["a", "b", "c"])
    with pytest.raises(ValueError, match="label 'a' is unknown"):
        parts["test"].class_encode_column("label", LabelMap(["b", "c"]))


def test_a_dict_of_datasets_does_the_same_to_each(dataset: Dataset) -> None:
    parts = dataset.train_test_split(1, seed=0)
    assert isinstance(parts, DatasetDict)
    parts = parts.map(lambda row: {"n": len(row["text"])}).rename_column("n", "length").remove_columns("label")
    assert parts.column_names == {"train": ["text", "length"], "test": ["text", "length"]}
    assert {len(part) for part in parts.filter(lambda row: False).shuffle(seed=1).values()} == {0}
    parts.set_format("numpy", ["length"])
    assert isinstance(parts["test"][:]["length"], np.ndarray)
    assert parts["train"].labels == dataset.labels
