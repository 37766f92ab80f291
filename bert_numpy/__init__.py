"""BERT in NumPy: every forward and backward pass written by hand, every number checked against the reference.

    from bert_numpy import BertModel, BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder)
    outputs = model(**tokenizer("Hello, world!", return_tensors="np"))

To read the package, follow `configuration.py`, `tokenization/`, `nn/functional.py`, `nn/module.py`, `nn/layers.py`,
`models/encoder.py`, `models/bert.py`, `models/pretraining_heads.py`, `models/task_heads.py`.
"""

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

# Programs written for transformers ask for these names; every model here is a BERT, so there is nothing to choose.
AutoConfig = BertConfig
AutoTokenizer = BertTokenizerFast = BertTokenizer
AutoModel = BertModel
AutoModelForPreTraining = BertForPreTraining
AutoModelForMaskedLM = BertForMaskedLM
AutoModelForNextSentencePrediction = BertForNextSentencePrediction
AutoModelForSequenceClassification = BertForSequenceClassification
AutoModelForTokenClassification = BertForTokenClassification
AutoModelForQuestionAnswering = BertForQuestionAnswering
AutoModelForMultipleChoice = BertForMultipleChoice

__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForNextSentencePrediction",
    "AutoModelForPreTraining",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoTokenizer",
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
    "BertTokenizerFast",
    "__version__",
]
