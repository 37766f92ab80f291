"""Masks: which tokens are to be found, and what the model sees in their place."""

from __future__ import annotations

import numpy as np

from ...data.masking import DataCollatorForLanguageModeling
from ...tokenization import BertTokenizer
from ..exercise import Cases, Chapter, Exercise, Mistake

_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _collator(rng: np.random.Generator, **settings: float) -> DataCollatorForLanguageModeling:
    tokenizer = BertTokenizer([*_SPECIALS, *"abcdefghijklmnopqrstuvwxyz"])
    return DataCollatorForLanguageModeling(tokenizer, seed=int(rng.integers(99)), **settings)  # type: ignore[arg-type]


def _ids(rng: np.random.Generator, *lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """Sequences [CLS] ... [SEP] with padding, and which of their tokens are special."""
    S = max(lengths)
    input_ids = rng.integers(len(_SPECIALS), 31, (len(lengths), S))
    input_ids[:, 0] = 2
    for row, length in enumerate(lengths):
        input_ids[row, length - 1] = 3
        input_ids[row, length:] = 0
    return input_ids, input_ids < len(_SPECIALS)


def _word_starts(rng: np.random.Generator, is_special: np.ndarray) -> np.ndarray:
    """Words of one to three tokens; the token behind a special one starts a word."""
    starts = rng.random(is_special.shape) < 0.5
    starts[:, 1:] |= is_special[:, :-1]
    return starts & ~is_special


def _to_mask(rng: np.random.Generator) -> Cases:
    cases: Cases = []
    for settings in ({}, {"mask_replace_prob": 0.3, "random_replace_prob": 0.4}):
        cases.append((_collator(rng, mlm_probability=0.5, **settings), *_ids(rng, 17, 29, 40)))
    input_ids, is_special = _ids(rng, 21, 30)
    whole_words = _collator(rng, mlm_probability=0.6, mask_replace_prob=1.0, random_replace_prob=0.0)
    cases.append((whole_words, input_ids, is_special, _word_starts(rng, is_special)))
    return cases


def _starts(rng: np.random.Generator) -> Cases:
    return [(_word_starts(rng, _ids(rng, *lengths)[1]),) for lengths in ((9, 12, 5), (20,), (3, 7))]


def _to_choose(rng: np.random.Generator) -> Cases:
    cases: Cases = []
    for lengths in ((24, 30, 18, 30), (20, 12, 20)):
        input_ids, is_special = _ids(rng, *lengths)
        starts = _word_starts(rng, is_special)
        starts[0] = ~is_special[0]  # one row of words of one token
        n_wanted = np.array([max(2, length // 4) for length in lengths])
        cases.append((starts, is_special, rng.random(input_ids.shape), n_wanted))
    by_hand = np.array([[False, True, False, False, True, True, False, False]])
    special = np.array([[True, False, False, False, False, False, False, True]])
    keys = np.array([[0.2, 0.5, 0.3, 0.1, 0.4, 0.6, 0.0, 0.7]])
    cases += [(by_hand, special, keys, np.array([n])) for n in (1, 2, 3, 4)]
    return cases


CHAPTER = Chapter(
    slug="masking",
    title="Masking",
    about="BERT learns by finding words that were hidden from it: 15 % of the tokens are chosen; of these, 80 % become "
    "[MASK], 10 % another token, and 10 % stay what they are, so that no token can be trusted.  The loss counts the "
    "chosen ones alone, which the labels say: the old id where a token was chosen, -100 elsewhere.  Tutorial 8.",
    exercises=(
        Exercise(
            target="bert_numpy.data.masking:start_of_word",
            title="Where the word of a token starts",
            points=3,
            minutes=10,
            tutorial=8,
            inputs=_starts,
            hints=(
                "For each token: the last place, at or before it, where a word starts.",
                "Write the place itself where a word starts, and 0 elsewhere.  What is the largest number so far?",
                "`np.where` for the places; `np.maximum.accumulate` along the axis of the tokens for the largest so "
                "far.",
            ),
            mistakes=(
                Mistake(
                    "the number of the word",
                    "return np.maximum.accumulate(",
                    "return np.cumsum(word_starts, axis=1)\n    return np.maximum.accumulate(",
                    "You number the words.  The place is asked for where each starts, so that something can be looked "
                    "up there.",
                ),
                Mistake(
                    "only at the starts",
                    "return np.maximum.accumulate(np.where(word_starts, np.arange(word_starts.shape[1]), 0), axis=1)",
                    "return np.where(word_starts, np.arange(word_starts.shape[1]), 0)",
                    "The later tokens of a word say 0.  They belong to the start before them.",
                ),
                Mistake(
                    "along the batch",
                    "0), axis=1)",
                    "0), axis=0)",
                    "The largest number is taken over the sequences above.  Go along the tokens, the second axis.",
                ),
                Mistake(
                    "-1 before the first word",
                    "np.arange(word_starts.shape[1]), 0)",
                    "np.arange(word_starts.shape[1]), -1)",
                    "Before the first word you say -1, which as an index is the last token.  0 is asked for.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.data.masking:DataCollatorForLanguageModeling.mask_tokens",
            title="80, 10, 10",
            points=10,
            minutes=30,
            needs=("start_of_word",),
            tutorial=8,
            inputs=_to_mask,
            ids="*",
            notes="So that everybody draws the same: `self._happens(probability, shape)` is given, and draws True with "
            "a probability, or with one for each place.  Call it first for which tokens are chosen "
            "(`self.mlm_probability`, but 0 at places that may not be), then for which of the chosen become [MASK], "
            "then, only where `self.mask_replace_prob` is below 1 and `self.random_replace_prob` above 0, for which of "
            "the others become random; each time for the whole shape of `input_ids`.  Draw the random ids at last, "
            "with one call of `self.generator.integers` below `len(self.tokenizer)`, with `size` as many as are needed "
            "and `dtype=np.int64`.  The id of [MASK] is `self.tokenizer.mask_token_id`.  With `word_starts`, only the "
            "starts of words are drawn, and a token is chosen if the place is that `start_of_word`, which you have "
            "written, names for it; `np.take_along_axis` looks that up.  Special tokens are never chosen.",
            hints=(
                "Make arrays of bool, one after the other: chosen, to_mask, to_random, each a part of the one before "
                "or of the rest.  `&` and `~` join them.",
                "10 % of the chosen are more than 10 % of what is left when 80 % have become [MASK]: which share of "
                "the rest is it?",
                "Chosen; of these, [MASK] with `mask_replace_prob`; of the chosen that are not [MASK], random with "
                "random / (1 - mask).  Write into a copy.  The labels are the ids as they came where chosen, IGNORED "
                "elsewhere.",
            ),
            mistakes=(
                Mistake(
                    "share of all taken for a share of the rest",
                    "share_of_rest = self.random_replace_prob / (1 - self.mask_replace_prob)",
                    "share_of_rest = self.random_replace_prob",
                    "Too few tokens become random: 10 % of those that did not become [MASK] are 2 % of the chosen.",
                ),
                Mistake(
                    "labels taken from the masked ids",
                    "np.where(chosen, input_ids, IGNORED)",
                    "np.where(chosen, masked, IGNORED)",
                    "The labels say [MASK] where the old token is to be found: they were taken after the ids had "
                    "changed.",
                ),
                Mistake(
                    "every token has a label",
                    "np.where(chosen, input_ids, IGNORED)",
                    "input_ids.copy()",
                    "All ids are labels.  The loss would be a mean over all positions, and the model learns to copy.",
                ),
                Mistake(
                    "kept tokens have no label",
                    "np.where(chosen, input_ids, IGNORED)",
                    "np.where(masked != input_ids, input_ids, IGNORED)",
                    "Chosen tokens that stay what they are have no label.  They are to be found too: that is why the "
                    "model cannot rely on what it sees.",
                ),
                Mistake(
                    "0 for the labels that do not count",
                    "np.where(chosen, input_ids, IGNORED)",
                    "np.where(chosen, input_ids, 0)",
                    "Where nothing is to be found the label is 0.  0 is an id as any other, and the loss would count "
                    "it; it passes over IGNORED.",
                ),
                Mistake(
                    "random tokens drawn over [MASK]",
                    "& chosen & ~to_mask",
                    "& chosen",
                    "Tokens that have become [MASK] are drawn once more and become random ones.",
                ),
                Mistake(
                    "special tokens are masked",
                    "may_be_drawn = ~is_special if",
                    "may_be_drawn = np.ones_like(is_special) if",
                    "[CLS], [SEP] or padding are chosen.  They are there to be seen, not to be found.",
                ),
                Mistake(
                    "[MASK] where nothing was chosen",
                    "to_mask = self._happens(self.mask_replace_prob, input_ids.shape) & chosen",
                    "to_mask = self._happens(self.mask_replace_prob, input_ids.shape)",
                    "Tokens that were not chosen become [MASK], too.  Only a share of the chosen ones does.",
                ),
                Mistake(
                    "writes into input_ids",
                    "masked = input_ids.copy()",
                    "masked = input_ids",
                    "The ids that you were given are overwritten, and with them the labels that are taken from them.",
                ),
                Mistake(
                    "only the first token of a word",
                    "np.take_along_axis(chosen, start_of_word(word_starts), axis=1)",
                    "chosen",
                    "Of a chosen word only the first token is masked.  What is left gives it away.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.data.masking:choose_words",
            parts=("_filling_up",),
            title="Whole words, up to a number of tokens",
            points=10,
            minutes=30,
            needs=("start_of_word",),
            tutorial=8,
            inputs=_to_choose,
            notes="`start_of_word` is the one that you have written.  A word is its start and all tokens up to the "
            "next start that are not special.  Loops over rows and words are fine.",
            hints=(
                "One row at a time: which words are there, and how many tokens has each?  Then go through them in the "
                "order of their keys.",
                "A word is taken if it still fits: tokens taken so far plus its own are no more than wanted.  If it "
                "does not fit, look at the next; it may be shorter.",
                "The starts of the row, sorted by their keys; for each, the places that belong to it and are not "
                "special; if they fit, set them True and add their number.",
            ),
            mistakes=(
                Mistake(
                    "stops at the first word that does not fit",
                    "fits[:, k] = n_chosen + lengths[:, k] <= n_wanted",
                    "fits[:, k] = (n_chosen + lengths[:, k] <= n_wanted) & fits[:, :k].all(axis=1)",
                    "You stop at the first word that would exceed the number.  It is passed over, and a shorter one "
                    "may follow.",
                ),
                Mistake(
                    "more tokens than wanted",
                    "fits[:, k] = n_chosen + lengths[:, k] <= n_wanted",
                    "fits[:, k] = n_chosen < n_wanted",
                    "The last word exceeds the number.  Look before you take it, not afterwards.",
                ),
                Mistake(
                    "words counted, not tokens",
                    "fits = _filling_up(sorted_lengths, n_wanted)",
                    "fits = np.arange(S) < n_wanted[:, None]",
                    "`n_wanted` words are chosen.  It counts tokens.",
                ),
                Mistake(
                    "largest keys first",
                    "np.where(word_starts, keys, np.inf)",
                    "np.where(word_starts, -keys, np.inf)",
                    "The words come in the opposite order: the smallest key is first.",
                ),
                Mistake(
                    "from left to right",
                    "np.argsort(np.where(word_starts, keys, np.inf), axis=1)",
                    'np.argsort(~word_starts, axis=1, kind="stable")',
                    "The words are taken as they stand in the text, so the beginning is always masked.  The keys "
                    "decide.",
                ),
                Mistake(
                    "special tokens are chosen",
                    "return np.take_along_axis(chosen_words, belongs_to, axis=1) & ~is_special",
                    "return np.take_along_axis(chosen_words, belongs_to, axis=1)",
                    "The special tokens behind a word are chosen with it.  They belong to no word.",
                ),
                Mistake(
                    "special tokens are counted",
                    "(rows, belongs_to), ~is_special)",
                    "(rows, belongs_to), 1)",
                    "The lengths of words count the special tokens behind them, so some words seem too long.",
                ),
                Mistake(
                    "only the first token of a word",
                    "return np.take_along_axis(chosen_words, belongs_to, axis=1) & ~is_special",
                    "return chosen_words & word_starts",
                    "Of a chosen word only the first token is True.  What is left would give it away.",
                ),
            ),
        ),
    ),
)
