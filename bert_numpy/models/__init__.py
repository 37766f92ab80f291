"""The only place that says BERT: outputs, inputs, pretrained, encoder <- bert <- *_heads."""

from .bert import BertModel
from .pretrained import BertPreTrainedModel
from .pretraining_heads import BertForMaskedLM, BertForNextSentencePrediction, BertForPreTraining
from .task_heads import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

__all__ = [
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertPreTrainedModel",
]
