"""From a file to a trained model, from a trained model and a file to metrics or answers.

    result = finetune(TextClassification(), "bert-base-uncased", "train.csv", "my-model", eval_fraction=0.2)
    result.metrics
    evaluate("my-model", "test.csv").metrics
    predict("my-model", "new.txt").answers

The folder of a trained model holds what `from_pretrained` and the pipelines need, and what the training left behind:

    config.json, model.safetensors    the model; the labels are id2label, the task is architectures and problem_type
    vocab.txt, tokenizer.json, ...    the tokenizer
    train_log.jsonl, curves.png       every step, and a picture of it
    metrics.json, confusion.png       how good it is on the evaluation data, if there are any
    checkpoint-N/                     while the training runs: where it can go on

Here: the three recipes.  Not here: what is particular to a task (`classification.py` and the others), the loop
(`training/trainer.py`), what a folder holds (`folders.py`).
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..configuration import BertConfig
from ..data import Dataset
from ..data.text_files import PathLike
from ..hub import find_model
from ..models.pretrained import BertPreTrainedModel
from ..pipelines.base import load_tokenizer, load_with_head
from ..tokenization import BertTokenizer
from ..training import EvalPrediction, Trainer, TrainingArguments, get_last_checkpoint
from .folders import check_output, save_outcome, task_of
from .task import Task

LOGGER = logging.getLogger(__name__)


@dataclass
class Settings:
    """How to fine-tune; the numbers that BERT's authors recommend lie around these.

    Attributes
    ----------
    epochs : float
        Passes over the training data: 2 to 4.
    batch_size : int
        16 or 32.
    learning_rate : float
        5e-5, 3e-5 or 2e-5; falls linearly to 0 after the warm-up.
    warmup : float
        Updates until the learning rate is reached; below 1 a fraction of all.
    weight_decay : float
        Not of biases and LayerNorm.
    max_length, stride : int, optional
        The longest sequence in tokens, and how many tokens the windows over longer texts share; each task has its own.
    seed : int
        Of the head's first weights, of dropout, of the order of the data and of the split.
    save_steps : int, optional
        Updates between checkpoints; once an epoch if not given.
    resume, overwrite : bool
        Go on with the run in the output folder; or discard it, and the model there.

    Examples
    --------
    >>> Settings(epochs=2).batch_size
    16
    """

    epochs: float = 3.0
    batch_size: int = 16
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_length: int | None = None
    stride: int | None = None
    seed: int = 42
    save_steps: int | None = None
    resume: bool = False
    overwrite: bool = False


class Outcome(NamedTuple):
    """What a recipe found out.

    Attributes
    ----------
    metrics : dict
        Empty where there was nothing to compare with.
    examples : Dataset or None
        What was evaluated or predicted.
    answers : list of dict
        One for each of them; what they hold says `decide` of the task.
    task : Task
    """

    metrics: dict[str, Any]
    examples: Dataset | None
    answers: list[dict[str, Any]]
    task: Task


def finetune(
    task: Task,
    model: PathLike,
    train: PathLike,
    output_dir: PathLike,
    *,
    evaluation: PathLike | None = None,
    eval_fraction: float | None = None,
    settings: Settings | None = None,
) -> Outcome:
    """Train a model for a task, and write it to a folder.

    Parameters
    ----------
    task : Task
    model : path or str
        The folder or the name of a model to begin with.  Its head is kept if it was trained for the same task with the
        same labels, else drawn afresh.
    train : path
        The training data.
    output_dir : path
        A new or empty folder, unless `settings` say `resume` or `overwrite`.
    evaluation : path, optional
        Data to evaluate on after every epoch.
    eval_fraction : float, optional
        Or the share of the training data to set aside for that, chosen at random by the seed.
    settings : Settings, optional

    Returns
    -------
    Outcome
        Of the evaluation after the last step.

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing, or does not fit; before anything is written.
    KeyboardInterrupt
        On Ctrl-C; a checkpoint has been written then, and `resume` goes on with it.
    CheckpointError
        If something cannot be written; what was there before is intact.
    """
    settings = Settings() if settings is None else settings
    if evaluation is not None and eval_fraction is not None:
        raise ValueError("give evaluation data or a fraction of the training data, not both")
    check_output(output_dir, settings.resume, settings.overwrite)
    folder = find_model(str(model))
    examples = task.read(train)
    notes = task.notes(examples)
    split = _split(task, examples, evaluation, eval_fraction, settings.seed)
    config = BertConfig.from_pretrained(folder)
    tokenizer = load_tokenizer(folder, config.vocab_size)
    max_length, stride = _lengths(task, config, tokenizer, settings.max_length, settings.stride)
    notes |= {"max_length": max_length, "stride": stride}
    network = load_for_training(task, folder, task.head(examples), notes, settings.seed)
    features = [part and task.encode(part, tokenizer, max_length, stride) for part in split]
    runner = _Runner(task, network, tokenizer, split[1], features[1])
    trainer = runner.trainer(_arguments(task, settings, output_dir, features[1] is not None), features[0])
    trainer.train(resume_from_checkpoint=get_last_checkpoint(Path(output_dir)) if settings.resume else None)
    answers = runner.answers(trainer) if split[1] is not None else []
    metrics = {} if split[1] is None else {**task.measure(split[1], answers), "examples": len(split[1])}
    outcome = Outcome(metrics, split[1], answers, task)
    about = {"task": task.name, "model": str(model), "train": str(train), "train_examples": len(split[0] or ())}
    save_outcome(trainer, outcome, output_dir, {**about, "settings": asdict(settings)})
    return outcome


def evaluate(
    model: PathLike,
    path: PathLike,
    *,
    task: Task | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    batch_size: int = 32,
) -> Outcome:
    """Compare the answers of a trained model with the labels of a file.

    Parameters
    ----------
    model : path or str
        A folder that `finetune` wrote, or any other whose config.json says what its head is for.
    path : path
    task : Task, optional
        Made for the model if not given; pass one to say what the file looks like.
    max_length, stride : int, optional
        Those of the training if not given.
    batch_size : int

    Returns
    -------
    Outcome

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing or does not fit, such as a label that the model does not know: naming the line.
    """
    task, examples, answers = _answers(model, path, task, True, max_length, stride, batch_size)
    return Outcome({**task.measure(examples, answers), "examples": len(examples)}, examples, answers, task)


def predict(
    model: PathLike,
    path: PathLike,
    *,
    task: Task | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    batch_size: int = 32,
) -> Outcome:
    """The answers of a trained model to what stands in a file; labels that stand there too are passed over.

    Parameters and errors as of `evaluate`.
    """
    task, examples, answers = _answers(model, path, task, False, max_length, stride, batch_size)
    return Outcome({}, examples, answers, task)


def load_for_training(
    task: Task, folder: Path, head: dict[str, Any], notes: dict[str, Any], seed: int
) -> BertPreTrainedModel:
    """The model of a folder with the head of a task.

    Heads of different tasks have the same names in files, so one that fits may still mean something else: it is kept
    only if config.json says that it was made for this task and these labels.
    """
    before = BertConfig.from_pretrained(folder)
    config = before.changed(**head)
    remembered = {"task_specific_params": {task.name: notes}}
    network = task.model_class.from_pretrained(
        folder,
        config=BertConfig.from_dict({**config.to_dict(), **remembered}),
        rng=seed,
        ignore_mismatched_sizes=True,
    )
    same_head = task.model_class.__name__ in (getattr(before, "architectures", None) or ())
    same_kind = "problem_type" not in head or before.problem_type in (None, config.problem_type)
    if not (same_head and same_kind and before.id2label == config.id2label):
        outside = [name for name, _ in network.named_parameters() if not name.startswith("bert.")]
        network.init_weights(outside)
    return network.skip_padding()


class _Runner:
    """A model, a task, and the data to evaluate it on."""

    def __init__(
        self, task: Task, network: Any, tokenizer: BertTokenizer, examples: Dataset | None, features: Dataset | None
    ) -> None:
        self.task, self.network, self.tokenizer = task, network, tokenizer
        self.examples, self.features = examples, features
        self.latest: tuple[int, list[dict[str, Any]]] | None = None  # the step of the last answers, and they

    def trainer(self, arguments: TrainingArguments, train: Dataset | None = None) -> Trainer:
        """A trainer that measures what the task measures."""
        trainer = Trainer(
            model=self.network,
            args=arguments,
            data_collator=self.task.collator(self.tokenizer),
            train_dataset=train,
            eval_dataset=self.features,
            processing_class=self.tokenizer,
            compute_metrics=lambda prediction: self._measured(trainer, prediction),
        )
        return trainer

    def answers(self, trainer: Trainer) -> list[dict[str, Any]]:
        """The answers of the model as it is; those of the last evaluation if nothing was learned since."""
        if self.examples is None or self.features is None:
            return []
        if self.latest is None or self.latest[0] != trainer.state.global_step:
            outputs = trainer.predict(self.features).predictions
            return self.task.decide(self.examples, self.features, outputs)
        return self.latest[1]

    def _measured(self, trainer: Trainer, prediction: EvalPrediction) -> dict[str, Any]:
        assert self.examples is not None
        assert self.features is not None
        answers = self.task.decide(self.examples, self.features, prediction.predictions)
        self.latest = trainer.state.global_step, answers
        return self.task.measure(self.examples, answers)


def _answers(
    model: PathLike,
    path: PathLike,
    task: Task | None,
    with_labels: bool,
    max_length: int | None,
    stride: int | None,
    batch_size: int,
) -> tuple[Task, Dataset, list[dict[str, Any]]]:
    folder = find_model(str(model))
    config = BertConfig.from_pretrained(folder)
    task = task_of(config, folder) if task is None else task
    notes = ((getattr(config, "task_specific_params", None) or {}).get(task.name)) or {}
    task.recall(notes)
    network, tokenizer = load_with_head(task.model_class, folder, task.lack)
    examples = task.read(path, network.config, with_labels)
    if max_length is None and stride is None:
        max_length, stride = notes.get("max_length"), notes.get("stride")
    max_length, stride = _lengths(task, network.config, tokenizer, max_length, stride)
    features = task.encode(examples, tokenizer, max_length, stride)
    runner = _Runner(task, network.skip_padding(), tokenizer, examples, features)
    trainer = runner.trainer(TrainingArguments(per_device_eval_batch_size=batch_size, disable_tqdm=None))
    trainer.compute_metrics = None
    return task, examples, runner.answers(trainer)


def _lengths(
    task: Task, config: BertConfig, tokenizer: BertTokenizer, max_length: int | None, stride: int | None
) -> tuple[int, int | None]:
    """The longest sequence and the stride, checked against the model."""
    longest = config.max_position_embeddings
    if max_length is None:
        max_length = min(task.max_length, longest, tokenizer.model_max_length or longest)
    if not 3 <= max_length <= longest:
        raise ValueError(f"max_length {max_length} must lie between 3 and max_position_embeddings {longest}")
    return max_length, task.stride(max_length) if stride is None else stride


def _split(
    task: Task, examples: Dataset, evaluation: PathLike | None, fraction: float | None, seed: int
) -> tuple[Dataset, Dataset | None]:
    """What to train on, and what to evaluate on."""
    if evaluation is not None:
        known = BertConfig(**{k: v for k, v in task.head(examples).items() if k == "id2label"})
        return examples, task.read(evaluation, known)
    if fraction is None:
        return examples, None
    if not 0 < fraction < 1:
        raise ValueError(f"eval_fraction {fraction} must lie between 0 and 1")
    parts = examples.train_test_split(float(fraction), seed=seed)
    return parts["train"], parts["test"]


def _arguments(task: Task, settings: Settings, output_dir: PathLike, has_evaluation: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(output_dir),
        overwrite_output_dir=settings.overwrite,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=max(settings.batch_size, 32),
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        seed=settings.seed,
        group_by_length=task.by_length,
        eval_strategy="epoch" if has_evaluation else "no",
        save_strategy="epoch" if settings.save_steps is None else "steps",
        save_steps=settings.save_steps or 500,
        save_total_limit=1,
        logging_steps=10,
    )
