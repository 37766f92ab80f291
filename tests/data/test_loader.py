"""Order and batches of an epoch, and the collator for rows of equal length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.data.loader import (
    check_dataset,
    default_data_collator,
    epoch_batches,
    example_lengths,
    fetch,
    sequential_batches,
)
from bert_numpy.tokenization import BertTokenizer


@given(
    n=st.integers(0, 300),
    size=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 5),
    by_length=st.booleans(),
    drop_last=st.booleans(),
)
def test_every_example_comes_once_in_full_batches(n, size, seed, epoch, by_length, drop_last):
    lengths = np.random.default_rng(n).integers(1, 50, n) if by_length else None
    batches = epoch_batches(n, size, seed=seed, epoch=epoch, lengths=lengths, drop_last=drop_last)
    sizes = [len(batch) for batch in batches]
    seen = [int(i) for batch in batches for i in batch]
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(range(n))
    assert sizes == [size] * (n // size) + ([n % size] if n % size and not drop_last else [])


def test_seed_and_epoch_alone_decide():
    def order(**changes):
        return np.concatenate(epoch_batches(100, 7, **{"seed": 1, "epoch": 2, **changes})).tolist()

    assert order() == order() == np.random.default_rng((1, 2)).permutation(100).tolist()
    assert len({tuple(order(seed=seed, epoch=epoch)) for seed in range(5) for epoch in range(5)}) == 25
    assert order(shuffle=False) == list(range(100))


def test_orders_are_uniform():
    """Of the 24 orders of four examples each comes about as often: χ² below its 0.999 quantile for 23 degrees."""
    counts = {}
    for epoch in range(4800):
        order = tuple(np.concatenate(epoch_batches(4, 4, seed=3, epoch=epoch)))
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 49.7


def test_batches_by_length_pad_little_and_are_mixed():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 129, 3000)
    batches = epoch_batches(3000, 16, seed=0, lengths=lengths)
    plain = epoch_batches(3000, 16, seed=0)

    def padding(batches):
        return sum(lengths[batch].max() * len(batch) for batch in batches) / lengths.sum() - 1

    assert padding(plain) > 0.6
    assert 0.01 < padding(batches) < 0.06  # not 0: batches of all equal lengths would always hold the same examples
    means = np.array([lengths[batch].mean() for batch in batches[:-1]])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2  # the next batch may have any length
    first = {tuple(sorted(batch)) for batch in batches}
    second = {tuple(sorted(batch)) for batch in epoch_batches(3000, 16, seed=0, epoch=1, lengths=lengths)}
    assert len(first & second) < 3  # the next epoch combines other examples


def test_equal_lengths_are_left_to_chance():
    order = np.concatenate(epoch_batches(40, 4, seed=1, lengths=[7] * 40)).tolist()
    assert sorted(order) == list(range(40)) != order


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_examples": 3, "batch_size": 0}, "3 examples in batches of 0: a batch needs at least one example"),
        ({"num_examples": -1, "batch_size": 1}, "-1 examples in batches of 1"),
        ({"num_examples": 3, "batch_size": 1, "lengths": [1, 2]}, "2 lengths for 3 examples; give one for each"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        epoch_batches(**arguments)


def test_consecutive_batches():
    assert [batch.tolist() for batch in sequential_batches(5, 2)] == [[0, 1], [2, 3], [4]]
    assert list(sequential_batches(0, 2)) == []


def test_lengths_of_examples():
    assert example_lengths([{"input_ids": np.zeros(4)}, {"size": np.array(9), "input_ids": [1]}], "size") == [4, 9]
    with pytest.raises(
        ValueError, match="example 1 has neither 'length' nor 'input_ids', which batches by length need"
    ):
        example_lengths([{"length": 3}, {"text": "x"}])


def test_what_is_no_data_set_is_refused():
    encodings = BertTokenizer(["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]"])(["a", "b"])
    with pytest.raises(TypeError, match="train_dataset is a BatchEncoding of columns; pass a sequence of examples"):
        check_dataset(encodings)
    with pytest.raises(TypeError, match="eval_dataset is a generator; pass a sequence"):
        check_dataset((i for i in range(3)), "eval_dataset")
    with pytest.raises(TypeError, match="train_dataset is a str; pass a sequence"):
        check_dataset("train.csv")
    with pytest.raises(ValueError, match="train_dataset is empty; it needs at least one example"):
        check_dataset([])
    with pytest.raises(TypeError, match="example 1 of train_dataset is a list; it must be a mapping"):
        fetch([{}, []], [0, 1])


def test_the_collator_stacks_numbers_lists_and_arrays():
    batch = default_data_collator(
        [
            {
                "input_ids": [2, 5, 3],
                "attention_mask": np.ones(3, np.int8),
                "label": 1,
                "score": 0.5,
                "text": "a",
                "x": None,
            },
            {
                "input_ids": (2, 6, 3),
                "attention_mask": [1, 1, 0],
                "label": np.int64(0),
                "score": 2,
                "text": "b",
                "x": None,
            },
        ]
    )
    assert {name: (array.shape, array.dtype.kind) for name, array in batch.items()} == {
        "input_ids": ((2, 3), "i"),
        "attention_mask": ((2, 3), "i"),
        "labels": ((2,), "i"),
        "score": ((2,), "f"),
    }
    assert batch["input_ids"].tolist() == [[2, 5, 3], [2, 6, 3]]
    assert batch["labels"].tolist() == [1, 0]
    assert default_data_collator([{"label_ids": [1, 2]}])["labels"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "a batch needs at least one example"),
        ([{"a": 1}, {"a": 2}, {"a": 3, "b": 0}], "row 2 of the batch differs from row 0 in its columns: b"),
        (
            [{"input_ids": [1, 2]}, {"input_ids": [1, 2]}, {"input_ids": [1]}],
            r"input_ids of row 2 has shape \(1,\), that of row 0 \(2,\); tokenize with padding=True, or let "
            r"DataCollatorWithPadding\(tokenizer\) pad each batch",
        ),
        ([{"labels": 1}, {"labels": "2"}], "labels of row 1 holds no numbers, or lists of unequal lengths"),
        ([{"a": [[1], [1, 2]]}], "a of row 0 holds no numbers, or lists of unequal lengths"),
        ([{"a": 1}, {"a": None}], "a of row 1 holds no numbers"),
    ],
)
def test_rows_that_do_not_fit_are_named(features, message):
    with pytest.raises(ValueError, match=message):
        default_data_collator(features)


def test_only_numpy_arrays_are_returned():
    with pytest.raises(ValueError, match="return_tensors is 'pt'; there are only NumPy arrays here: 'np'"):
        default_data_collator([{"a": 1}], return_tensors="pt")


class ManyAtOnce:
    """Makes examples only all at once, as torch's convention allows, and knows its lengths."""

    lengths = np.array([4, 2, 4])

    def __init__(self, surplus=0):
        self.asked, self.surplus = [], surplus

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise AssertionError("one by one")

    def __getitems__(self, indices):
        self.asked.append(indices)
        return [{"labels": 10 * i} for i in indices] + [{}] * self.surplus


def test_a_data_set_may_make_a_batch_at_once():
    dataset = ManyAtOnce()
    assert fetch(dataset, np.array([2, 0])) == [{"labels": 20}, {"labels": 0}]
    assert dataset.asked == [[2, 0]]
    assert type(dataset.asked[0]) is list
    assert {type(i) for i in dataset.asked[0]} == {int}


def test_a_batch_of_another_size_than_asked_for_is_refused():
    with pytest.raises(ValueError, match="__getitems__ of train_dataset returned 3 examples where 2 were wanted"):
        fetch(ManyAtOnce(surplus=1), [0, 1])


def test_a_data_set_may_know_its_lengths():
    assert example_lengths(ManyAtOnce()) == [4, 2, 4]
