"""Fine-tuning, from a file to a trained model and its metrics: classes, numbers, tags, answers, choices.

In the order in which to read it:

- `task`: the four steps that all tasks have
- `classification`, `tagging`, `question_answering`, `multiple_choice`: the tasks
- `folders`, `recipes`: what a trained model's folder holds; `finetune`, `evaluate`, `predict`
- `answer_files`: what is predicted, as files
- `pretraining` and the files named after it: a model of one's own, from text
"""

from .classification import TextClassification, TextRegression
from .folders import TASKS, task_name, task_of
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .recipes import Outcome, Settings, evaluate, finetune, predict
from .tagging import Tagging
from .task import Task

__all__ = [
    "TASKS",
    "MultipleChoice",
    "Outcome",
    "QuestionAnswering",
    "Settings",
    "Tagging",
    "Task",
    "TextClassification",
    "TextRegression",
    "evaluate",
    "finetune",
    "predict",
    "task_name",
    "task_of",
]
