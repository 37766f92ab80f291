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

# OpenBLAS reads this when NumPy is first imported, or when `nn/parallel.py` is.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")

if TYPE_CHECKING:  # the same table of contents, for editors and type checkers
    from .configuration import (
        BertConfig,
    )
    from .data import (
        DataCollatorForLanguageModeling,
        DataCollatorForMultipleChoice,
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        Dataset,
        DatasetDict,
        PretrainingDataset,
        default_data_collator,
        load_dataset,
    )
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
    from .pipelines import (
        Embedder,
        FeatureExtractor,
        FillMask,
        QuestionAnswerer,
        Summarizer,
        TextClassifier,
        TokenTagger,
        pipeline,
    )
    from .tokenization import (
        BertTokenizer,
        train_wordpiece,
    )
    from .training import (
        SGD,
        AdamW,
        EarlyStoppingCallback,
        EvalPrediction,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        get_constant_schedule,
        get_constant_schedule_with_warmup,
        get_cosine_schedule_with_warmup,
        get_google_schedule_with_warmup,
        get_linear_schedule_with_warmup,
        get_scheduler,
    )

__version__ = "0.1.0"

_HOMES = {
    "AdamW": "training",
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
    "DataCollatorForLanguageModeling": "data",
    "DataCollatorForMultipleChoice": "data",
    "DataCollatorForTokenClassification": "data",
    "DataCollatorWithPadding": "data",
    "Dataset": "data",
    "DatasetDict": "data",
    "default_data_collator": "data",
    "EarlyStoppingCallback": "training",
    "Embedder": "pipelines",
    "EvalPrediction": "training",
    "FeatureExtractor": "pipelines",
    "FillMask": "pipelines",
    "get_constant_schedule": "training",
    "get_constant_schedule_with_warmup": "training",
    "get_cosine_schedule_with_warmup": "training",
    "get_google_schedule_with_warmup": "training",
    "get_linear_schedule_with_warmup": "training",
    "get_scheduler": "training",
    "load_dataset": "data",
    "pipeline": "pipelines",
    "PretrainingDataset": "data",
    "QuestionAnswerer": "pipelines",
    "SGD": "training",
    "Summarizer": "pipelines",
    "TextClassifier": "pipelines",
    "TokenTagger": "pipelines",
    "train_wordpiece": "tokenization",
    "Trainer": "training",
    "TrainerCallback": "training",
    "TrainingArguments": "training",
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
    "AdamW",
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
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForTokenClassification",
    "DataCollatorWithPadding",
    "Dataset",
    "DatasetDict",
    "EarlyStoppingCallback",
    "Embedder",
    "EvalPrediction",
    "FeatureExtractor",
    "FillMask",
    "PretrainingDataset",
    "QuestionAnswerer",
    "SGD",
    "Summarizer",
    "TextClassifier",
    "TokenTagger",
    "Trainer",
    "TrainerCallback",
    "TrainingArguments",
    "__version__",
    "default_data_collator",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_google_schedule_with_warmup",
    "get_linear_schedule_with_warmup",
    "get_scheduler",
    "load_dataset",
    "pipeline",
    "train_wordpiece",
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
