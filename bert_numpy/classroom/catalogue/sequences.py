"""From tokens to the ids of one text or two with special tokens, and back to text."""

from __future__ import annotations

import numpy as np

from ...tokenization.tokens import TokenVocabulary
from ..exercise import Cases, Chapter, Exercise, Mistake, Variant

_TOKENS = "[CLS] a play ##ing [UNK] em ##bed ##ding [SEP] is fun ! . don n't ' [PAD] [MASK] he 's"


def _vocabulary(rng: np.random.Generator) -> TokenVocabulary:
    """A vocabulary in which no special token has the id that one might guess."""
    tokens = _TOKENS.split()
    return TokenVocabulary(["x", *rng.permutation(tokens).tolist()])


def _names(rng: np.random.Generator) -> Cases:
    vocabulary = _vocabulary(rng)
    questions = [["em", "##bed", "unheard", "fun"], "play", "unheard", [], ["[SEP]", "a", "a"]]
    return [(vocabulary, question) for question in questions]


def _strings(rng: np.random.Generator) -> Cases:
    vocabulary = _vocabulary(rng)
    texts = [
        "em ##bed ##ding is 2 fun !",
        "##ding is a",
        "he 's do n't . . .",
        "a",
        "! ! a ##bed , b",
        "x ##y ##z , ##a ...",
    ]
    return [(vocabulary, text.split()) for text in texts] + [(vocabulary, [])]


def _pairs(rng: np.random.Generator) -> Cases:
    vocabulary = _vocabulary(rng)
    lengths: list[tuple[int, int | None]] = [(3, None), (3, 2), (1, 4), (0, None), (2, 0)]
    return [
        (vocabulary, rng.integers(1, 20, n).tolist(), None if m is None else rng.integers(1, 20, m).tolist())
        for n, m in lengths
    ]


CHAPTER = Chapter(
    slug="sequences",
    title="From pieces to sequences",
    about="[CLS] A [SEP] B [SEP]: one row of ids for one text or two, and a second row that says which text each is "
    "from.  Tutorial 1.",
    exercises=(
        Exercise(
            target="bert_numpy.tokenization.tokens:TokenVocabulary.convert_tokens_to_ids",
            title="Tokens to ids",
            points=2,
            minutes=5,
            tutorial=1,
            inputs=_names,
            ids="*",
            notes="`self.vocab` is a mapping from tokens to ids, and `self.unk_token_id` is the id of [UNK].",
            hints=(
                "Two kinds of question: one token, or several.  A str can be looped over as well; what comes out then?",
                "`mapping.get(key, other)` has an answer for keys that are not there.",
                "If it is a str: the id of this one, or that of [UNK].  Else a list of the same for each.",
            ),
            mistakes=(
                Mistake(
                    "a word taken as its letters",
                    "if isinstance(tokens, str):",
                    "if False:",
                    "One token is taken as a list of its characters.  A str gives one id, not a list.",
                ),
                Mistake(
                    "unknown tokens become 0",
                    "[self._ids.get(token, self.unk_token_id) for",
                    "[self._ids.get(token, 0) for",
                    "Unknown tokens get the id 0, which belongs to another token.  [UNK] is there for them.",
                    also=(("return self._ids.get(tokens, self.unk_token_id)", "return self._ids.get(tokens, 0)"),),
                ),
                Mistake(
                    "unknown tokens left out",
                    "[self._ids.get(token, self.unk_token_id) for token in tokens]",
                    "[self._ids[token] for token in tokens if token in self._ids]",
                    "Unknown tokens are left out of the list.  Each token has an id, so that places and labels still "
                    "fit.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.tokens:TokenVocabulary.build_inputs_with_special_tokens",
            title="Special tokens around one text or two",
            points=2,
            minutes=5,
            tutorial=1,
            inputs=_pairs,
            ids="*",
            notes="`self.cls_token_id` and `self.sep_token_id` are given.",
            hints=(
                "The docstring shows both forms.  How many [CLS] and how many [SEP] are there in each?",
                "The form for two texts begins with the form for one.  An empty second text is a text; None is none.",
                "[CLS], the first ids, [SEP]; if there is a second text, its ids and another [SEP].",
            ),
            mistakes=(
                Mistake(
                    "[CLS] before the second text too",
                    "[*first, *token_ids_1,",
                    "[*first, self.cls_token_id, *token_ids_1,",
                    "There are two [CLS].  It stands at the beginning of the sequence, once.",
                ),
                Mistake(
                    "no [SEP] at the end of a pair",
                    "*token_ids_1, self.sep_token_id]",
                    "*token_ids_1]",
                    "A pair ends without [SEP].  It closes each of the two texts.",
                ),
                Mistake(
                    "an empty second text is overlooked",
                    "token_ids_1 is None",
                    "not token_ids_1",
                    "An empty list is taken for no second text.  It is a text, though an empty one, and has its [SEP].",
                ),
                Mistake(
                    "no [CLS]",
                    "[self.cls_token_id, *token_ids_0,",
                    "[*token_ids_0,",
                    "[CLS] is missing: the place from which the pooler reads.",
                ),
                Mistake(
                    "no [SEP] between the texts",
                    "[*first, *token_ids_1,",
                    "[*first[:-1], *token_ids_1,",
                    "In a pair, nothing stands between the two texts.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.tokens:TokenVocabulary.create_token_type_ids_from_sequences",
            title="Which text a token is from",
            points=2,
            minutes=5,
            needs=("TokenVocabulary.build_inputs_with_special_tokens",),
            tutorial=1,
            inputs=_pairs,
            hints=(
                "As many numbers as `build_inputs_with_special_tokens` returns ids; nothing but lengths matters.",
                "The first [SEP] closes the first text and belongs to it; the last one belongs to the second.",
                "As many zeros as the first text has ids and two more; then ones: the ids of the second text and one "
                "more.",
            ),
            mistakes=(
                Mistake(
                    "all types 0",
                    "first + [1] *",
                    "first + [0] *",
                    "All types are 0, so the model cannot tell the texts apart.  The second one has type 1.",
                ),
                Mistake(
                    "last [SEP] has no type",
                    "(len(token_ids_1) + 1)",
                    "len(token_ids_1)",
                    "One number too few: the [SEP] at the end has a type too.",
                ),
                Mistake(
                    "first [SEP] belongs to the second text",
                    "[0] * (len(token_ids_0) + 2)",
                    "[0] * (len(token_ids_0) + 1)",
                    "The [SEP] between the texts has type 1.  It closes the first text, and has its type.",
                    also=(
                        ("return first if", "return first + [0] if"),
                        ("(len(token_ids_1) + 1)", "(len(token_ids_1) + 2)"),
                    ),
                ),
                Mistake(
                    "[CLS] not counted",
                    "[0] * (len(token_ids_0) + 2)",
                    "[0] * (len(token_ids_0) + 1)",
                    "One 0 too few.  Before the second text stand [CLS], the first text and a [SEP].",
                ),
                Mistake(
                    "types count from 1",
                    "[0] * (len(token_ids_0) + 2)",
                    "[1] * (len(token_ids_0) + 2)",
                    "The types are 1 and 2.  BERT has two rows for them, 0 and 1.",
                    also=(("first + [1] *", "first + [2] *"),),
                ),
            ),
            variants=(
                Variant(
                    "sep-opens",
                    "first + [1] * (len(token_ids_1) + 1)",
                    "first[1:] + [1] * (len(token_ids_1) + 2)",
                    "Here, the [SEP] between the texts belongs to the second one: its type is 1.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.tokens:TokenVocabulary.convert_tokens_to_string",
            title="Tokens back to text",
            points=4,
            minutes=10,
            tutorial=1,
            inputs=_strings,
            notes="A blank stands before each token, but not before the first one, not before a piece that continues a "
            "word, and not before one that begins with any of these: . ? ! , n't 'm 's 've 're.",
            hints=(
                "Go from token to token and decide what is put before each.  What is special about the first?",
                'A first token "##ding" continues nothing: it stays as it is.  `str.startswith` takes a tuple of '
                "beginnings, too.",
                "Three cases, in this order: something is there already and the token has the mark: cut its two first "
                "characters off; something is there and it is none of the list: a blank before it; else as it is.",
            ),
            mistakes=(
                Mistake(
                    "a first ## is cut off",
                    'if text and token.startswith("##")',
                    'if token.startswith("##")',
                    "A ## at the very beginning is cut off too.  There it continues nothing, and stays.",
                ),
                Mistake(
                    "blank before punctuation",
                    """elif text and not token.startswith((".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")):""",
                    "elif text:",
                    "A blank stands before . ? ! , and the endings in the list.  These follow the word directly.",
                ),
                Mistake(
                    "blank before an ending",
                    """, ",", "n't", "'m", "'s", "'ve", "'re"))""",
                    ', ","))',
                    "A blank stands before endings such as n't and 's.  They follow the word directly, as punctuation "
                    "does.",
                ),
                Mistake(
                    "blank at the beginning",
                    "elif text and not",
                    "elif not",
                    "The text begins with a blank.  There is one between tokens, so none before the first.",
                ),
                Mistake(
                    "## stays",
                    "token = token[2:]",
                    "pass",
                    "The pieces are joined, but the marks are still in between.",
                ),
                Mistake(
                    "pieces not joined",
                    'if text and token.startswith("##")',
                    "if False",
                    "Pieces that continue a word stand apart from it, with their ##.",
                ),
                Mistake(
                    "a blank in place of ##",
                    "token = token[2:]",
                    'token = " " + token[2:]',
                    "The pieces of a word are separated by blanks, so that nobody can tell which were one word.",
                ),
            ),
        ),
    ),
)
