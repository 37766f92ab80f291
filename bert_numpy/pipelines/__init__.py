"""Text in, answer out: a tokenizer, a model, and what to do with its outputs.

    from bert_numpy.pipelines import pipeline

    classify = pipeline("text-classification", model="my-model")
    classify("to be or not to be")                     # [{'label': ..., 'score': ...}]

BERT reads a whole text at once and gives a vector for every token.  So it can fill a gap, classify, tag, find an answer
in a text and turn texts into vectors.  It does not generate, translate or write abstracts.

In the order in which to read them:

- `base`: what all share; `windows`: texts that are too long
- `classification`: one label for a text
- `tagging`, `entities`: a label for every token, and what becomes of it
- `answering`: where in a text the answer stands
- `fill_mask`: the words that [MASK] stands for
- `embedding`, `summary`: vectors, and the sentences that stand for a text
- `factory`: `pipeline`, which makes any of them by the name of its task

Not here: reading texts from files and printing answers (`cli/`).
"""

from .answering import QuestionAnswerer
from .base import check_finite, load_tokenizer
from .classification import TextClassifier
from .embedding import POOLINGS, Embedder, FeatureExtractor, sentence_settings
from .factory import pipeline
from .fill_mask import FillMask
from .summary import Summarizer, split_sentences
from .tagging import TokenTagger

__all__ = [
    "POOLINGS",
    "Embedder",
    "FeatureExtractor",
    "FillMask",
    "QuestionAnswerer",
    "Summarizer",
    "TextClassifier",
    "TokenTagger",
    "check_finite",
    "load_tokenizer",
    "pipeline",
    "sentence_settings",
    "split_sentences",
]
