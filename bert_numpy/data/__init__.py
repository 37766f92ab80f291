"""Files to batches: what a model is trained on.

In the order in which to read them:

- `text_files`, `labels`, `dataset`: lines with their numbers, names of classes, examples in columns
- `tables`, `classification`: CSV, TSV and JSON lines; texts and pairs with classes or numbers
- `tagging`, `question_answering`, `multiple_choice`: the other tasks of the BERT paper
- `collators`, `loader`: examples to padded arrays, batches in an order that a seed gives
- `documents`, `google_pretraining`, `masking`, `pretraining`: running text to masked words and next sentences
- `world`: a small world whose every probability is known
"""

from .classification import read_classification, read_regression, read_texts
from .collators import DataCollatorForMultipleChoice, DataCollatorForTokenClassification, DataCollatorWithPadding
from .dataset import Dataset, DatasetDict
from .documents import TokenizedDocuments, read_documents
from .google_pretraining import create_instances, to_arrays
from .labels import LabelMap
from .loader import default_data_collator, epoch_batches
from .masking import DataCollatorForLanguageModeling
from .multiple_choice import read_multiple_choice, read_swag, tokenize_choices
from .pretraining import PretrainingDataset
from .question_answering import Answer, find_answers, read_squad, tokenize_questions
from .tables import load_dataset, read_table
from .tagging import read_conll, tokenize_and_align_labels

__all__ = [
    "Answer",
    "DataCollatorForLanguageModeling",
    "DataCollatorForMultipleChoice",
    "DataCollatorForTokenClassification",
    "DataCollatorWithPadding",
    "Dataset",
    "DatasetDict",
    "LabelMap",
    "PretrainingDataset",
    "TokenizedDocuments",
    "create_instances",
    "default_data_collator",
    "epoch_batches",
    "find_answers",
    "load_dataset",
    "read_classification",
    "read_conll",
    "read_documents",
    "read_multiple_choice",
    "read_regression",
    "read_squad",
    "read_swag",
    "read_table",
    "read_texts",
    "to_arrays",
    "tokenize_and_align_labels",
    "tokenize_choices",
    "tokenize_questions",
]
