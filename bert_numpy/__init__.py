"""BERT in NumPy: every forward and backward pass written by hand, every number checked against the reference.

    from bert_numpy import BertModel, BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder)
    outputs = model(**tokenizer("Hello, world!", return_tensors="np"))

To read the package, follow `configuration.py`, `tokenization/`, `nn/functional.py`, `nn/module.py`, `nn/layers.py`,
`models/encoder.py`, `models/bert.py`, `models/pretraining_heads.py`, `models/task_heads.py`.

A public name is imported when it is first asked for, so that `import bert_numpy` costs next to nothing.
"""

import os
from typing import TYPE_CHECKING, Any

# OpenBLAS reads this when NumPy is first imported; see `nn/parallel.py`.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")

if TYPE_CHECKING:  # the same table of contents, for editors and type checkers
    from .configuration import BertConfig
    from .models import (
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        BertModel,
    )
    from .tokenization import BertTokenizer

__version__ = "0.1.0"

_HOMES = {
    "BertConfig": "configuration",
    "BertForMaskedLM": "models",
    "BertForMultipleChoice": "models",
    "BertForNextSentencePrediction": "models",
    "BertForPreTraining": "models",
    "BertForQuestionAnswering": "models",
    "BertForSequenceClassification": "models",
    "BertForTokenClassification": "models",
    "BertModel": "models",
    "BertTokenizer": "tokenization",
}

# Programs written for transformers ask for these names; every model here is a BERT, so there is nothing to choose.
_ALIASES = {
    "AutoConfig": "BertConfig",
    "AutoModel": "BertModel",
    "AutoModelForMaskedLM": "BertForMaskedLM",
    "AutoModelForMultipleChoice": "BertForMultipleChoice",
    "AutoModelForNextSentencePrediction": "BertForNextSentencePrediction",
    "AutoModelForPreTraining": "BertForPreTraining",
    "AutoModelForQuestionAnswering": "BertForQuestionAnswering",
    "AutoModelForSequenceClassification": "BertForSequenceClassification",
    "AutoModelForTokenClassification": "BertForTokenClassification",
    "AutoTokenizer": "BertTokenizer",
    "BertTokenizerFast": "BertTokenizer",
}

__all__ = [
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertTokenizer",
    "__version__",
    *_ALIASES,
]


def __getattr__(name: str) -> Any:
    """Import a public name, or a part of the package such as `bert_numpy.models`, when it is first asked for."""
    import importlib

    wanted = _ALIASES.get(name, name)
    if wanted in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[wanted]}"), wanted)
    else:
        try:
            value = importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
