"""A pipeline by the name of its task, as programs written for transformers ask for it.

Here: `pipeline`, and which class each task means.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..models import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from ..models.pretrained import BertPreTrainedModel
from ..tokenization import BertTokenizer
from .answering import QuestionAnswerer
from .classification import TextClassifier
from .embedding import FeatureExtractor
from .fill_mask import FillMask
from .tagging import TokenTagger

TASKS: dict[str, tuple[Any, type[BertPreTrainedModel]]] = {
    "fill-mask": (FillMask, BertForMaskedLM),
    "text-classification": (TextClassifier, BertForSequenceClassification),
    "sentiment-analysis": (TextClassifier, BertForSequenceClassification),
    "token-classification": (TokenTagger, BertForTokenClassification),
    "ner": (TokenTagger, BertForTokenClassification),
    "question-answering": (QuestionAnswerer, BertForQuestionAnswering),
    "feature-extraction": (FeatureExtractor, BertModel),
}
_GENERATING = ("text-generation", "text2text-generation", "summarization", "conversational")


def pipeline(
    task: str,
    model: BertPreTrainedModel | str | os.PathLike[str] | None = None,
    tokenizer: BertTokenizer | str | os.PathLike[str] | None = None,
    device: Any = None,
    **settings: Any,
) -> Any:
    """Make a pipeline.

    BERT is an encoder: it fills gaps, classifies, tags, finds answers in a text and turns texts into vectors.  It does
    not generate, translate or write abstracts; `Summarizer` picks sentences.

    Parameters
    ----------
    task : str
        "fill-mask", "text-classification" (or "sentiment-analysis"), "token-classification" (or "ner"),
        "question-answering" or "feature-extraction".
    model : model, path or str
        A model, or the folder or name of one.
    tokenizer : BertTokenizer, path or str, optional
        Needed beside a model; that of the folder otherwise.
    device
        Accepted and not used: there is one.
    **settings
        Keyword arguments of the class that does the task, such as `aggregation_strategy="simple"` or `top_k=3`.

    Returns
    -------
    FillMask, TextClassifier, TokenTagger, QuestionAnswerer or FeatureExtractor

    Raises
    ------
    ValueError
        If there is no such task, no model, or the model has not the head for it.
    TypeError
        If the model is of another class than the task needs, or a setting is unknown.

    Examples
    --------
    >>> fill = pipeline("fill-mask", model="tiny-random", top_k=1)     # random weights: the guess means nothing
    >>> len(fill("to be or [MASK]"))
    1
    """
    if task not in TASKS:
        does = "; BERT is an encoder and does not generate" if task in _GENERATING or "translation" in task else ""
        raise ValueError(f"there is no pipeline {task!r}{does}; choose from {', '.join(TASKS)}")
    made, model_class = TASKS[task]
    if model is None:
        raise ValueError(f'pipeline({task!r}) needs a model: model="FOLDER", or a model and its tokenizer')
    own = BertTokenizer.from_pretrained(tokenizer) if isinstance(tokenizer, str | os.PathLike) else tokenizer
    if isinstance(model, str | os.PathLike):
        found = made.from_pretrained(Path(model) if isinstance(model, os.PathLike) else model, **settings)
        return found if own is None else made(found.model, own, **settings)
    if not isinstance(model, model_class):
        raise TypeError(f"{task} needs a {model_class.__name__}, not a {type(model).__name__}")
    if own is None:
        raise ValueError("a model does not know its words; give tokenizer=... too")
    return made(model, own, **settings)
