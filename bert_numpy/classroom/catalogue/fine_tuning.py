"""Fine-tuning: answers in long texts, and how answers and entities are scored."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake


def _span_inputs(rng: np.random.Generator) -> Cases:
    logits = 2 * rng.standard_normal((5, 7))
    return [
        ("start_positions", logits, np.array([3, 0, 7, 6, 12])),
        ("end_positions", rng.standard_normal((4, 6)), np.array([-1, 5, 2, 6])),
        ("end_positions", rng.standard_normal((2, 6)), np.array([[1], [4]])),
    ]


def _answer_inputs(rng: np.random.Generator) -> Cases:
    answers = ["The  Bishop's  House.", "A B C, 1,000 times", "another an Athens", "it's THE end", "U.S.A.", "the", ""]
    return [(answer,) for answer in ["in 1815, the battle", *rng.permutation(answers).tolist()]]


def _pair_inputs(rng: np.random.Generator) -> Cases:
    pairs = [
        ("the river Thames", "Thames Valley"),
        ("to be or not to be", "to be, be, be"),
        ("", "the"),
        ("", "Thames"),
        ("Thames", ""),
        ("12 May 1999", "May 1999"),
        ("a cat", "the dog"),
        ("yes yes no", "yes"),
    ]
    return [pairs[i] for i in rng.permutation(len(pairs))]


def _tag_inputs(rng: np.random.Generator) -> Cases:
    sentences = [
        ["B-PER", "I-PER", "O", "I-LOC"],
        ["O", "B-PER", "B-PER", "I-PER"],
        ["B-ORG", "I-LOC", "I-LOC", "O", "O"],
        ["O", "O"],
        ["I-PER", "O", "I-PER"],
        ["O", "B-LOC", "I-LOC", "I-LOC"],
    ]
    return [(sentences[i],) for i in rng.permutation(len(sentences))]


CHAPTER = Chapter(
    slug="fine_tuning",
    title="Fine-tuning: answers and entities",
    about="A question is answered by pointing at the text: one softmax over all tokens for the start, one for the "
    "end.  What comes out is scored as text, and so are the entities of a sentence: whole, or not at all.  Tutorial "
    "11.",
    exercises=(
        Exercise(
            target="bert_numpy.models.head_ops:span_cross_entropy",
            title="The loss of an answer's place",
            points=3,
            minutes=10,
            needs=("cross_entropy_forward",),
            tutorial=11,
            call="forward",
            inputs=_span_inputs,
            notes="The check of the positions is not asked for, and `name` is for its message.  Return what "
            "`F.cross_entropy_forward(logits, labels, ignore_index)` returns, the loss and a cache.",
            hints=(
                "The classes are the S tokens.  Which label could stand for an answer that is in another window?",
                "`np.clip` moves what is outside to the nearest end.  Positions may be of shape (B, 1).",
                "Let 0 be the lower end and S the upper one: S is no token, and cross-entropy can be told to ignore "
                "it.",
            ),
            mistakes=(
                Mistake(
                    "answers elsewhere count as the last token",
                    "np.clip(positions.reshape(B), 0, S)",
                    "np.clip(positions.reshape(B), 0, S - 1)",
                    "An answer behind the window is taught as its last token.  It lies in another window and does not "
                    "count.",
                ),
                Mistake(
                    "positions before the text ignored",
                    "np.clip(positions.reshape(B), 0, S)",
                    "np.where(positions.reshape(B) < 0, S, np.minimum(positions.reshape(B), S))",
                    "A position below 0 does not count.  It is to be taken as 0, the place of [CLS].",
                ),
                Mistake(
                    "mean over all sequences",
                    "return F.cross_entropy_forward(logits, np.clip(positions.reshape(B), 0, S), ignore_index=S)",
                    "labels = np.clip(positions.reshape(B), 0, S)\n"
                    "    loss, cache = F.cross_entropy_forward(logits, labels, ignore_index=S)\n"
                    "    return loss * np.mean(positions < S, dtype=logits.dtype), cache",
                    "The sum is divided by B.  The mean is over the sequences whose answer is in this window.",
                ),
                Mistake(
                    "text begins at 1",
                    "np.clip(positions.reshape(B), 0, S)",
                    "np.clip(positions.reshape(B), 1, S)",
                    "Position 0 is moved to 1.  [CLS] may be the right one: it says that there is no answer.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.answer_metrics:normalize_answer",
            title="What of an answer counts",
            points=2,
            minutes=10,
            tutorial=11,
            inputs=_answer_inputs,
            notes="Given are `_WITHOUT_PUNCTUATION`, a table for `str.translate`, and `_ARTICLES`, a pattern for "
            "articles as whole words.",
            hints=(
                "Four steps; the docstring names them.",
                "Does an article that touches punctuation count?  That tells which of the two goes first.",
                "`split()` without argument and `join` make any run of spaces one, and drop those at the ends.",
            ),
            mistakes=(
                Mistake(
                    "articles before punctuation",
                    "    bare = text.lower().translate(_WITHOUT_PUNCTUATION)\n"
                    '    return " ".join(_ARTICLES.sub(" ", bare).split())',
                    '    bare = _ARTICLES.sub(" ", text.lower()).translate(_WITHOUT_PUNCTUATION)\n'
                    '    return " ".join(bare.split())',
                    "Articles are taken away first: in U.S.A. the last letter stands alone between dots, and is no "
                    "article.",
                ),
                Mistake(
                    "capitals kept",
                    "text.lower().translate",
                    "text.translate",
                    "Upper case is kept, and an article in upper case with it.",
                ),
                Mistake(
                    "punctuation becomes a space",
                    "translate(_WITHOUT_PUNCTUATION)",
                    'translate({key: " " for key in _WITHOUT_PUNCTUATION})',
                    "Punctuation leaves a space: it's becomes two words.",
                ),
                Mistake(
                    "articles kept",
                    '_ARTICLES.sub(" ", bare)',
                    "bare",
                    "The articles are still there.",
                ),
                Mistake(
                    "articles cut out of words",
                    '_ARTICLES.sub(" ", bare)',
                    're.sub("a|an|the", " ", bare)',
                    "Articles are cut out of other words: another loses its beginning.  Only whole words are articles.",
                ),
                Mistake(
                    "spaces kept",
                    '" ".join(_ARTICLES.sub(" ", bare).split())',
                    '_ARTICLES.sub(" ", bare)',
                    "Runs of spaces, and those at the ends, are left.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.answer_metrics:compute_f1",
            title="F1 of two answers",
            points=3,
            minutes=15,
            needs=("normalize_answer",),
            tutorial=11,
            inputs=_pair_inputs,
            notes="`normalize_answer` is the library's.  The result is a float.",
            hints=(
                "Precision is the share of the predicted words that are right, recall the share of the right words "
                "that were predicted; F1 is their harmonic mean.  It can be written with one fraction.",
                "A word that stands twice in one answer and once in the other is shared once: `Counter` counts, and & "
                "takes the smaller count.",
                "Empty answers first.  Then twice the shared words, over the words of both answers.",
            ),
            mistakes=(
                Mistake(
                    "sets of words",
                    "sum((Counter(wanted) & Counter(words)).values())",
                    "len(set(wanted) & set(words))",
                    "A word that both answers hold twice is counted once.",
                ),
                Mistake(
                    "every predicted word that occurs",
                    "sum((Counter(wanted) & Counter(words)).values())",
                    "sum(word in wanted for word in words)",
                    "A word that is predicted three times is right three times, though the answer holds it once.",
                ),
                Mistake(
                    "precision",
                    "2 * shared / (len(wanted) + len(words))",
                    "shared / len(words)",
                    "This is precision.  A prediction of one right word would score 1.",
                ),
                Mistake(
                    "recall",
                    "2 * shared / (len(wanted) + len(words))",
                    "shared / len(wanted)",
                    "This is recall.  A prediction of the whole text would score 1.",
                ),
                Mistake(
                    "shared words over all words",
                    "2 * shared / (len(wanted) + len(words))",
                    "shared / (len(wanted) + len(words) - shared)",
                    "This is the share of common words in all words (Jaccard).  F1 weighs precision and recall alike.",
                ),
                Mistake(
                    "no answer is never right",
                    "float(wanted == words)",
                    "0.0",
                    "Two empty answers score 0.  Where there is no answer, to say so is right.",
                ),
                Mistake(
                    "answers not normalized",
                    "normalize_answer(gold).split(), normalize_answer(prediction).split()",
                    "gold.split(), prediction.split()",
                    "Articles and punctuation count.  Normalize both answers first.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.training.tagging_metrics:get_entities",
            parts=("_lenient", "_strict", "_split"),
            omits=(
                'A tag without type, such as "B", has the type "_".',
                'mode : {None, "strict"} ... For the strict mode.',
                "Raises",
                '>>> get_entities(["B-PER", "I-PER", "O", "I-LOC"], mode="strict", scheme="IOB2") [(\'PER\', 0, 1)]',
            ),
            title="Entities from tags",
            points=5,
            minutes=20,
            tutorial=11,
            inputs=_tag_inputs,
            notes="Only what the function does without mode and scheme is asked for, with tags that are O or begin "
            "with B- or I-, and no errors.  An entity begins at every B-, and at an I- that does not continue one of "
            "its type.  Return a list of tuples (type, first word, last word).",
            hints=(
                "Walk through the tags with the one before in mind.",
                "When does an I- continue the last entity?  If the tag before is not O and of the same type.",
                "Either the last entity of the list is replaced by one that ends here, or a new one, one word long, is "
                "appended.",
            ),
            mistakes=(
                Mistake(
                    "I- alone begins nothing",
                    'elif part != "O":',
                    'elif part == "B":',
                    "An I- with nothing before it is dropped.  Models write such tags, and the entity counts.",
                ),
                Mistake(
                    "type not looked at",
                    " and before[1] == kind",
                    "",
                    "An I- of another type continues the entity before it.",
                ),
                Mistake(
                    "B- continues",
                    'part in ("I", "E")',
                    'part in ("I", "E", "B")',
                    "A B- next to an entity of the same type is taken for its continuation.  That is what B- is for: "
                    "something new begins.",
                ),
                Mistake(
                    "end behind the last word",
                    "entities[-1] = (kind, entities[-1][1], place)",
                    "entities[-1] = (kind, entities[-1][1], place + 1)",
                    "The end is one behind the last word.  Here both ends belong to the entity.",
                    also=(("entities.append((kind, place, place))", "entities.append((kind, place, place + 1))"),),
                ),
                Mistake(
                    "O does not end an entity",
                    "        before = (part, kind)",
                    '        before = (part, kind) if part != "O" else before',
                    "An entity goes on after words that are outside.  The tag just before decides.",
                ),
                Mistake(
                    "every tag an entity",
                    "entities[-1] = (kind, entities[-1][1], place)",
                    "entities.append((kind, place, place))",
                    "Every word is an entity of its own.  Those that continue one make it longer.",
                ),
            ),
        ),
    ),
)
