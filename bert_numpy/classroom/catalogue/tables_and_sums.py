"""Embedding and linear, forward and backward: a table that is looked up, and weighted sums."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake


def _tables(rng: np.random.Generator) -> Cases:
    def case(V: int, H: int, *shape: int, padding_idx: int | None = None) -> tuple[object, ...]:
        ids = rng.integers(0, V, shape)
        ids.flat[:3] = 0, V - 1, 0  # an id that stands twice, and the last row of the table
        return ids, rng.standard_normal((V, H)), padding_idx

    return [case(6, 8, 3, 5), case(5, 7, 11, padding_idx=0), case(4, 9, 2, 3, 4, padding_idx=2)]


def _linear(rng: np.random.Generator) -> Cases:
    def case(n_out: int, *shape: int) -> tuple[np.ndarray, ...]:
        return rng.standard_normal(shape), rng.standard_normal((n_out, shape[-1])), rng.standard_normal(n_out)

    return [case(6, 3, 5, 4), case(3, 7, 2), case(2, 2, 3, 4, 5)]


CHAPTER = Chapter(
    slug="tables_and_sums",
    title="A table and a weighted sum",
    about="An embedding takes a row out of a table for each token; a linear layer takes weighted sums.  Nearly all "
    "weights of BERT stand in these two.  The backwards are the first two of many: what reached the output, times what "
    "the input had to do with it, summed over every place where the weight was used.  Tutorial 2 has the tables, "
    "tutorial 3 the chain rule.",
    exercises=(
        Exercise(
            target="bert_numpy.nn.functional:embedding_forward",
            title="Embedding, forward",
            points=2,
            minutes=5,
            tutorial=2,
            inputs=_tables,
            notes="`padding_idx` changes nothing here; put it into the cache, with the ids and the table.",
            hints=(
                "How do you take row 3 of an array?  NumPy takes an array of row numbers in the same place.",
                "The result has the shape of the ids, with one more axis behind them: a row of the table.",
                "Index the table with the ids: one pair of brackets, no loop.",
            ),
            mistakes=(
                Mistake(
                    "ids counted from 1",
                    "return weight[ids]",
                    "return weight[ids - 1]",
                    "Each id takes the row before its own.  Ids count from 0; id 0 found the last row, because NumPy "
                    "counts -1 from the end without a word.",
                ),
                Mistake(
                    "columns instead of rows",
                    "return weight[ids]",
                    "return weight[:, ids]",
                    "You take columns of the table.  A token has a row, along the first axis of `weight`.",
                ),
                Mistake(
                    "zeros at the padding",
                    "return weight[ids]",
                    "return np.where((ids == padding_idx)[..., None], 0, weight[ids])",
                    "The row of `padding_idx` is replaced by zeros.  It is looked up as any other; only its gradient "
                    "is special.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:embedding_backward",
            of="bert_numpy.nn.functional:embedding_forward",
            title="Embedding, backward",
            points=8,
            minutes=20,
            needs=("embedding_forward",),
            tutorial=2,
            inputs=_tables,
            notes="In the cache: ids (...); weight (V, H), the table; padding_idx, an int or None.  Any way to add up "
            "that is right will pass, a loop too.",
            hints=(
                "The gradient of the table has the shape of the table.  Which of its rows are zero?",
                "A row that was taken three times receives three gradients, and they add up.  What does NumPy do when "
                "the same index stands twice on the left of `+=`?",
                "Begin with zeros like the table.  `np.add.at(table, rows, values)` adds for each index, also for "
                "equal ones; fold the leading axes of ids and dy into one first.  At last, clear the row of the "
                "padding, if there is one.",
            ),
            mistakes=(
                Mistake(
                    "assigned where ids repeat",
                    "dweight[found] = np.add.reduceat(_rows(dy)[order], starts, axis=0)",
                    "dweight[ids.ravel()] = _rows(dy)",
                    "Where an id stands twice, only the last of its gradients is kept.  `dweight[ids] += ...` looks "
                    "like a sum and is not one.",
                ),
                Mistake(
                    "averaged where ids repeat",
                    "np.add.reduceat(_rows(dy)[order], starts, axis=0)",
                    "np.add.reduceat(_rows(dy)[order], starts, axis=0) / np.diff([*starts, ids.size])[:, None]",
                    "The gradients of equal ids are averaged.  The loss depends on the row through each of its places, "
                    "and these effects add up.",
                ),
                Mistake(
                    "the padding learns",
                    "if padding_idx is not None:",
                    "if False:",
                    "The row of `padding_idx` receives a gradient.  It is looked up in the forward, but it never "
                    "learns.",
                ),
                Mistake(
                    "row 0 never learns",
                    "if padding_idx is not None:\n        dweight[padding_idx] = 0",
                    "dweight[padding_idx or 0] = 0",
                    "Row 0 receives no gradient even where there is no `padding_idx`.  None is another thing than 0.",
                ),
                Mistake(
                    "padding id 0 taken for none",
                    "if padding_idx is not None:",
                    "if padding_idx:",
                    "Where `padding_idx` is 0, its row receives a gradient: to `if`, 0 is as false as None.",
                ),
                Mistake(
                    "float64 from np.zeros",
                    "np.zeros_like(weight)",
                    "np.zeros(weight.shape)",
                    "For a table in float32 the gradient is float64: np.zeros makes float64 unless it is told the "
                    "dtype.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:linear_forward",
            title="Linear, forward",
            points=3,
            minutes=10,
            tutorial=3,
            inputs=_linear,
            notes="`_rows` is given: it folds all axes but the last into one.  You may do without it.",
            hints=(
                "Write down the shapes: x is (..., in), W is (out, in), y is (..., out).  What has to happen to W?",
                "`@` multiplies the last axis of its left side by the last but one of its right side, for any leading "
                "axes.  The bias broadcasts.",
                "Multiply x by the transposed W and add b.  The backward will need x and W.",
            ),
            mistakes=(
                Mistake(
                    "no bias",
                    "    y += bias\n",
                    "",
                    "The bias does not take part.",
                ),
                Mistake(
                    "reshaped instead of transposed",
                    "@ weight.T",
                    "@ weight.reshape(weight.shape[::-1])",
                    "W has the right shape for the product, but its numbers are in the wrong places: a reshape fills "
                    "rows in another width, a transpose swaps the axes.",
                ),
                Mistake(
                    "leading axes not restored",
                    "return y.reshape(*x.shape[:-1], len(weight)), (",
                    "return y, (",
                    "The leading axes of x are folded into one and not unfolded again.  y has all axes of x but the "
                    "last.",
                ),
                Mistake(
                    "float64 from np.zeros",
                    "y = _rows(x) @ weight.T",
                    "y = np.zeros((len(_rows(x)), len(weight)))\n    y += _rows(x) @ weight.T",
                    "For inputs in float32 the output is float64: np.zeros and np.empty make float64 unless they are "
                    "told the dtype.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.nn.functional:linear_backward",
            of="bert_numpy.nn.functional:linear_forward",
            title="Linear, backward",
            points=8,
            minutes=20,
            needs=("linear_forward",),
            tutorial=3,
            inputs=_linear,
            notes="In the cache: x (..., in) and weight (out, in).  dy has the shape of y, (..., out).  Return three "
            "gradients, in the order x, W, b, each with the shape of what it belongs to.",
            hints=(
                "Each gradient has the shape of its own thing: dx (..., in), dweight (out, in), dbias (out,).  Shapes "
                "alone leave hardly a choice.",
                "W and b are the same for every row of x, so what the rows say is added up.  `_rows` folds the leading "
                "axes into one, over which a matrix product sums by itself.",
                "For one row, ∂L/∂W is the outer product of dy and x, and ∂L/∂x is dy times W.  For N rows: dx is (N, "
                "out) by (out, in); dweight is (out, N) by (N, in); dbias is the sum of N rows.",
            ),
            mistakes=(
                Mistake(
                    "weight gradient not summed over the batch",
                    "_rows(dy).T @ _rows(x)",
                    "dy.swapaxes(-1, -2) @ x",
                    "dweight still has an axis of the batch.  One W served all sequences, so their gradients are "
                    "summed.",
                ),
                Mistake(
                    "weight gradient transposed",
                    "_rows(dy).T @ _rows(x)",
                    "_rows(x).T @ _rows(dy)",
                    "dweight is (in, out).  W is stored (out, in), and its gradient has the same shape.",
                ),
                Mistake(
                    "weight gradient averaged",
                    "_rows(dy).T @ _rows(x)",
                    "_rows(dy).T @ _rows(x) / len(_rows(x))",
                    "dweight is divided by the number of rows.  If there is a mean, it stands in the loss, and dy has "
                    "it already.",
                ),
                Mistake(
                    "bias gradient averaged",
                    "_rows(dy).sum(axis=0)",
                    "_rows(dy).mean(axis=0)",
                    "dbias is a mean over the rows.  b was added to each of them: what does it receive from each?",
                ),
                Mistake(
                    "bias gradient summed over one axis only",
                    "_rows(dy).sum(axis=0)",
                    "dy.sum(axis=0)",
                    "dbias is summed over the first axis alone.  b has one axis; all others of dy are summed away.",
                ),
                Mistake(
                    "reshaped instead of transposed",
                    "(_rows(dy) @ weight)",
                    "(_rows(dy) @ weight.T.reshape(weight.shape))",
                    "dx goes through a reshaped Wᵀ.  Look at the shapes again: in this direction W fits as it is.",
                ),
            ),
        ),
    ),
)
