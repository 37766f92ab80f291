"""Sequences that fit: truncation, windows over long texts, padding."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake, Variant


def _lengths(rng: np.random.Generator) -> Cases:
    n = int(rng.integers(10, 14))
    pairs: Cases = [
        (lengths, budget, "longest_first", extra)
        for lengths in ([n, n], [n + 3, n], [n, n + 3], [3, n], [n, 2])
        for budget in (9, 12, 13)
        for extra in (False, True)
    ]
    return [
        *pairs,
        ([n], 7, "longest_first"),
        ([n, 3], 9, "only_first"),
        ([11, n], 14, "only_second"),
        ([n, n], 5, "do_not_truncate"),
        ([3, 4], 9, "longest_first"),
    ]


def _windows(rng: np.random.Generator) -> Cases:
    n = int(rng.integers(20, 30))
    return [
        (n, 7, 2, "right"),
        (n + 1, 7, 2, "right"),
        (n, 7, 2, "left"),
        (n + 1, 7, 2, "left"),
        (n + 1, 8, 5, "right"),
        (n, n, 3, "right"),
        (7, 4, 1, "right"),
        (8, 4, 1, "left"),
        (3, 9, 2, "left"),
    ]


def _columns(rng: np.random.Generator) -> Cases:
    def batch(*lengths: int) -> dict[str, list[list[int]]]:
        return {
            "input_ids": [rng.integers(5, 99, n).tolist() for n in lengths],
            "token_type_ids": [[0] * (n // 2) + [1] * (n - n // 2) for n in lengths],
            "attention_mask": [[1] * n for n in lengths],
            "special_tokens_mask": [[1] + [0] * (n - 1) for n in lengths],
            "labels": [rng.integers(0, 9, n).tolist() for n in lengths],
        }

    return [(batch(3, 5, 1), 6, 3, "right"), (batch(2, 4), 4, 7, "left"), ({"input_ids": [[8, 9], [7]]}, 3, 2, "right")]


CHAPTER = Chapter(
    slug="fitting",
    title="Sequences that fit",
    about="A model reads at most so many tokens, and all sequences of a batch must be equally long.  What is too long "
    "is cut, or read through windows; what is too short is padded, with a row that says which tokens are there at all. "
    " Tutorial 1.",
    exercises=(
        Exercise(
            target="bert_numpy.tokenization.truncation:lengths_that_fit",
            omits=("Raises",),
            title="Where a pair is cut",
            points=8,
            minutes=25,
            tutorial=1,
            inputs=_lengths,
            notes="You need not check for errors: each input can be met.  Think of `longest_first` as taking one token "
            "at a time, always from the text that is longer now.",
            hints=(
                "First the easy cases: nothing has to go; one text is named; there is one text only.",
                "Taking from the longer text ends in one of two ways: the shorter text was never touched, or both end "
                "up with half of the budget.",
                "If the shorter text fits into the smaller half, the other gets what is left.  Else the halves; where "
                "they differ, the docstring says who has the larger one.  A loop that takes one token at a time is "
                "right, too.",
            ),
            mistakes=(
                Mistake(
                    "the odd place always to the first text",
                    "if extra_to_first or lengths[0] > lengths[1] else",
                    "if True else",
                    "Where the budget is odd, the first text always has one more.  That is Google's rule, asked for by "
                    "`extra_to_first`; the other looks at which text was longer.",
                ),
                Mistake(
                    "extra_to_first left out",
                    "if extra_to_first or lengths[0]",
                    "if lengths[0]",
                    "`extra_to_first` does not take part: it decides whose the odd place is.",
                ),
                Mistake(
                    "of equal texts, the first has more",
                    "lengths[0] > lengths[1]",
                    "lengths[0] >= lengths[1]",
                    "Where both texts are equally long and `extra_to_first` is not set, the odd place is the second "
                    "one's.",
                ),
                Mistake(
                    "halves, whatever the lengths",
                    "if min(lengths) <= smaller:",
                    "if False:",
                    "Each text gets half, even one that is shorter than that.  What it does not need, the other can "
                    "have.",
                ),
                Mistake(
                    "the longer text loses everything",
                    "if min(lengths) <= smaller:",
                    "if True:",
                    "The longer text is cut until all fits, even below the length of the other one.  Once they are "
                    "equally long, both lose.",
                ),
                Mistake(
                    "only_second cuts the first",
                    "lengths[which] -= excess",
                    "lengths[0] -= excess",
                    '"only_second" takes from the first text.',
                ),
                Mistake(
                    "longest_first cuts the second text only",
                    "    smaller, larger = budget // 2, budget - budget // 2\n",
                    "    return [lengths[0], budget - lengths[0]]\n    smaller = larger = 0\n",
                    'All that is too much is taken from the second text.  "longest_first" takes from the longer one.',
                ),
                Mistake(
                    "writes into lengths",
                    "    lengths = list(lengths)\n",
                    "",
                    "The result is right, but the list that you were given is changed.  Work on a copy of it.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.truncation:windows",
            omits=("Raises",),
            title="Windows over a long text",
            points=5,
            minutes=15,
            tutorial=1,
            inputs=_windows,
            notes="You need not check for errors.  No window lies wholly within another one: stop when the end is "
            "covered.",
            hints=(
                "Draw it: 10 ids, windows of 4, of which 1 is shared.  Where does each window start?",
                "From one start to the next it is the size minus what is shared.  The last window may be shorter.",
                "`range` with that step, ending so that the first window that reaches n is the last.  For the left "
                "side, make the same windows and mirror them: what was a from the left is n - a.",
            ),
            mistakes=(
                Mistake(
                    "stride taken for the step",
                    "step = size - stride",
                    "step = stride",
                    "Windows start `stride` apart.  Here it is what neighbours share; in Google's program for SQuAD "
                    "the word means the step, and many programs have mixed the two.",
                ),
                Mistake(
                    "the end is lost",
                    "range(0, n - size + step, step)",
                    "range(0, n - size + 1, step)",
                    "Only whole windows are kept, so the last ids are in none.  The last window may be shorter.",
                ),
                Mistake(
                    "one window too many",
                    "range(0, n - size + step, step)",
                    "range(0, n, step)",
                    "Windows go on after one has reached the end; those hold nothing new.",
                ),
                Mistake(
                    "nothing shared",
                    "step = size - stride",
                    "step = size",
                    "Neighbours share nothing.  An answer that lies across a border would be whole in no window.",
                ),
                Mistake(
                    "last window moved back",
                    "[(start, min(start + size, n)) for start in starts]",
                    "[(min(start, n - size), min(start + size, n)) for start in starts]",
                    "The last window is moved back until it is full.  Here it starts where the step says, and is "
                    "shorter.",
                ),
                Mistake(
                    "left is the same as right",
                    'ranges if side == "right" else',
                    "ranges if True else",
                    '`side` does not take part.  For "left", the first window ends at the end of the text.',
                ),
                Mistake(
                    "left is right backwards",
                    "[(n - stop, n - start) for start, stop in ranges]",
                    "ranges[::-1]",
                    "For the left side, the windows of the right one come in the opposite order.  Then the first one "
                    "may be short; it is to be full, and to end at the end of the text.",
                ),
            ),
            variants=(
                Variant(
                    "google-stride",
                    "step = size - stride",
                    "step = stride",
                    "Here, `stride` means what Google's program for SQuAD calls so: how far the next window begins "
                    "behind the last one.  The examples of the docstring are of the other meaning.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.batch:pad_columns",
            title="Padding",
            points=5,
            minutes=15,
            tutorial=1,
            inputs=_columns,
            notes="`PADDING_VALUES` is given: a dict from the names of columns to what fills them, without "
            "`input_ids`, which `pad_id` fills.  A column that is in neither is none of the model's inputs.",
            hints=(
                "For each column one value, or none.  Where does it come from?",
                "A row and a list of as many values as are missing; which of the two comes first, `side` says.",
                "Make a new dict of new lists: row plus [value] times what is missing, or the other way round; columns "
                "without a value as they are.",
            ),
            mistakes=(
                Mistake(
                    "everything filled with pad_id",
                    "PADDING_VALUES.get(name)",
                    "(pad_id if name in PADDING_VALUES else None)",
                    "Every column is filled with `pad_id`.  In the attention mask it would let the model look at "
                    "padding.",
                ),
                Mistake(
                    "ids filled with 0",
                    'pad_id if name == "input_ids"',
                    '0 if name == "input_ids"',
                    "The ids are filled with 0.  In this vocabulary [PAD] has another id: `pad_id`.",
                ),
                Mistake(
                    "everything filled with 0",
                    "PADDING_VALUES.get(name)",
                    "(0 if name in PADDING_VALUES else None)",
                    "All columns but the ids are filled with 0.  In `special_tokens_mask`, padding counts as special: "
                    "1.",
                ),
                Mistake(
                    "attention to padding",
                    "PADDING_VALUES.get(name)",
                    '(1 if name == "attention_mask" else PADDING_VALUES.get(name))',
                    "The attention mask is 1 at the padding.  The model would look at it, and the results for a text "
                    "would depend on how long its neighbours in the batch are.",
                ),
                Mistake(
                    "always on the right",
                    'elif side == "right":',
                    "elif True:",
                    "`side` does not take part.",
                ),
                Mistake(
                    "columns that are no inputs are padded",
                    "PADDING_VALUES.get(name)",
                    "PADDING_VALUES.get(name, 0)",
                    "Columns such as labels are filled as well, with 0, which is a class.  They are to stay as they "
                    "are.",
                ),
                Mistake(
                    "columns that are no inputs are lost",
                    "padded[name] = list(rows)",
                    "continue",
                    "Columns that are not padded are missing in the result.  They go along as they are.",
                ),
                Mistake(
                    "writes into the rows",
                    "padded[name] = [list(row) + [value] * (length - len(row)) for row in rows]",
                    "for row in rows:\n"
                    "                row += [value] * (length - len(row))\n"
                    "            padded[name] = list(rows)",
                    "The result is right, but the rows that you were given have grown.  `+=` and `extend` change a "
                    "list; `+` makes a new one.",
                    also=(
                        (
                            "padded[name] = [[value] * (length - len(row)) + list(row) for row in rows]",
                            "for row in rows:\n"
                            "                row[:0] = [value] * (length - len(row))\n"
                            "            padded[name] = list(rows)",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
