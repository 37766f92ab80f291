"""Pre-training as one call: from a text, or the small world, to a folder with a model, its figures and its card.

    pretrain(PretrainingSettings.of(("my.txt",), steps=500), "my-bert")
    pretrain(PretrainingSettings.of("world"), "world-bert")

The output folder, in the order in which it fills:

    vocab.txt, tokenizer_config.json   before training
    held_out.txt                       the documents that are kept for evaluation, if any
    pretraining.json                   the settings: `resume=True` goes by them
    train_log.jsonl, checkpoint-N/     while training; checkpoints are deleted when all below is there
    config.json, model.safetensors     the trained model
    curves.png, README.md              the curves, and the model card with what `evaluate_pretrained` found

Here: the run.  Not here: its numbers (`pretraining_settings.py`), one step (`pretraining_trainer.py`), the figures
(`pretraining_evaluation.py`), the card (`pretraining_card.py`).
"""

from __future__ import annotations

import copy
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ..checkpoints.files import replacing
from ..data.documents import Document, read_documents
from ..data.loader import epoch_batches, fetch
from ..data.pretraining import PretrainingDataset
from ..data.world import generate_documents, world_vocabulary
from ..hub import find_model
from ..models import BertForPreTraining
from ..tokenization import BertTokenizer
from ..tokenization.training import train_wordpiece
from ..training import TrainingArguments, clip_grad_norm_, get_last_checkpoint
from ..training.checkpointing import delete_checkpoint, list_checkpoints
from .pretraining_card import model_card
from .pretraining_evaluation import (
    HELD_OUT_FILE,
    check_windows_fit,
    evaluate_pretrained,
    evaluation_set,
    held_out_world,
)
from .pretraining_settings import PretrainingSettings
from .pretraining_trainer import PretrainingTrainer, stack_trimmed

RECORD = "pretraining.json"
MEASURED_SECONDS = 5.0  # how long `minutes` is measured
Say = Callable[[str], None]


class Corpus(NamedTuple):
    """Documents to learn from, and those that are kept for evaluation."""

    training: Sequence[Document]
    held_out: Sequence[Document]


def pretrain(
    settings: PretrainingSettings | None,
    output_dir: str | os.PathLike[str],
    *,
    resume: bool = False,
    command: str | None = None,
    version: str = "",
    callbacks: Sequence[Any] = (),
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Pre-train a BERT on masked words and next sentences, evaluate it, and write everything into a folder.

    Parameters
    ----------
    settings : PretrainingSettings, optional
        None when resuming: those of the run.
    output_dir : path
        A folder that holds no model and no run, or when resuming the folder of the run.
    resume : bool
        Go on after the last checkpoint; the weights at the end are those of a run that was never stopped, bit for bit.
    command : str, optional
        How the run was started, for the card.
    version : str
        Of this package, for the card.
    callbacks : sequence of TrainerCallback
    say : function of a line
        Told what is done at the moment.

    Returns
    -------
    dict
        The figures of `evaluate_pretrained`.

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing or cannot be used, before training starts; one line each.
    KeyboardInterrupt
        On Ctrl-C; a checkpoint has been written if training had begun.

    Examples
    --------
    ::

        figures = pretrain(PretrainingSettings.of(("my.txt",), minutes=10), "my-bert", say=print)
        figures["masked_word_accuracy"]
    """
    folder = Path(output_dir)
    if resume:
        record = read_record(folder)
        settings, command = PretrainingSettings.from_dict(record["settings"]), record["command"]
        tokenizer = BertTokenizer.from_pretrained(folder)
        corpus = read_corpus(settings)
    else:
        if settings is None:
            raise ValueError("settings are needed, unless a run is resumed")
        refuse_used_folder(folder)
        corpus = read_corpus(settings)
        tokenizer = make_tokenizer(settings, corpus, say)
    checkpoint = get_last_checkpoint(folder) if resume else None
    model = make_model(settings, tokenizer)
    trainer = make_trainer(settings, folder, model, tokenizer, corpus, callbacks)
    if not resume:
        say(describe(trainer))
    if settings.steps is None and settings.epochs is None:
        settings = replace(settings, steps=steps_in(trainer, 60 * (settings.minutes or 1)))
        trainer.args.max_steps = settings.steps or 1
        say(f"{settings.minutes:g} minutes: time for {settings.steps} steps")
    if not resume:
        tokenizer.save_pretrained(folder)
        write_held_out(folder, corpus)
        write_record(folder, settings, command)
    elif checkpoint is None:
        say(f"{folder} has no checkpoint yet; starting from the beginning")
        write_record(folder, settings, command)
    began = time.perf_counter()
    outcome = trainer.train(resume_from_checkpoint=checkpoint)
    minutes = None if resume else (time.perf_counter() - began) / 60
    say(f"{outcome.global_step} steps are done; evaluating")
    return finish(folder, settings, trainer, command, minutes, say, version)


# ---- the folder ----


def refuse_used_folder(folder: Path) -> None:
    """A new run needs a folder without a run or a model in it.

    Raises
    ------
    ValueError
        Naming what is there and what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder that does not exist yet")
    if (folder / RECORD).exists() or list_checkpoints(folder):
        raise ValueError(f"{folder} holds a run already; go on with --resume, or choose another --output")
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        if (folder / name).exists():
            raise ValueError(f"{folder} holds a model already ({name}); choose another --output")


def read_record(folder: Path) -> dict[str, Any]:
    """What `pretraining.json` says of an unfinished run.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or the run is finished.
    """
    path = folder / RECORD
    if not path.is_file():
        raise FileNotFoundError(f"there is no run to resume in {folder} (no {RECORD}); start one without --resume")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        PretrainingSettings.from_dict(record["settings"])
        finished, _ = record["finished"], record["command"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); start a new run in another folder") from None
    if finished:
        raise ValueError(f"the run in {folder} is finished; train it further with --model {folder} --output ELSEWHERE")
    return record


def write_record(
    folder: Path, settings: PretrainingSettings, command: str | None = None, finished: bool = False
) -> None:
    """Write `pretraining.json`."""
    record = {"finished": finished, "command": command, "settings": settings.to_dict()}
    with replacing(folder / RECORD) as file:
        file.write((json.dumps(record, indent=2) + "\n").encode("utf-8"))


def write_held_out(folder: Path, corpus: Corpus) -> None:
    """Write the documents kept for evaluation; those of the small world can be drawn again."""
    if corpus.held_out and isinstance(corpus.held_out, list):
        text = "\n\n".join("\n".join(document) for document in corpus.held_out)
        with replacing(folder / HELD_OUT_FILE) as file:
            file.write((text + "\n").encode("utf-8"))


# ---- what a run needs ----


def read_corpus(settings: PretrainingSettings) -> Corpus:
    """Read or draw the documents.

    Of a text, each document is held out with the probability `held_out`; if that leaves less than two on either side,
    none is.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file cannot be used.
    """
    if settings.is_world:
        check_windows_fit(settings.max_length)
        return Corpus(
            list(generate_documents(settings.documents or 1, settings.seed)),
            tuple(held_out_world()),
        )
    documents = list(read_documents(list(settings.texts)))
    rng = random.Random(settings.seed)
    is_held_out = [rng.random() < (settings.held_out or 0) for _ in documents]
    held_out = [document for document, held in zip(documents, is_held_out, strict=True) if held]
    training = [document for document, held in zip(documents, is_held_out, strict=True) if not held]
    if min(len(held_out), len(training)) < 2 or all(len(document) < 2 for document in held_out):
        return Corpus(documents, [])
    return Corpus(training, held_out)


def make_tokenizer(settings: PretrainingSettings, corpus: Corpus, say: Say = lambda line: None) -> BertTokenizer:
    """The tokenizer of the model to go on from, of a given vocabulary, of the world, or learnt from the texts.

    Raises
    ------
    FileNotFoundError, ValueError
        If it cannot be read or learnt.
    """
    if settings.model is not None:
        return BertTokenizer.from_pretrained(find_model(settings.model))
    if settings.vocab is not None:
        vocabulary: Any = settings.vocab
    elif settings.is_world:
        vocabulary = world_vocabulary()
    else:
        sentences = chain.from_iterable(corpus.training)
        vocabulary = train_wordpiece(sentences, settings.vocab_size or 8000, do_lower_case=not settings.cased)
        say(f"learnt a vocabulary of {len(vocabulary):,} tokens")
    return BertTokenizer(vocabulary, do_lower_case=not settings.cased, model_max_length=settings.max_length)


def make_model(settings: PretrainingSettings, tokenizer: BertTokenizer) -> Any:
    """A fresh model, or that of a folder.

    Raises
    ------
    ValueError
        If the sizes do not go together.
    """
    if settings.model is None:
        config = settings.config(len(tokenizer), tokenizer.pad_token_id or 0)
        return BertForPreTraining(config, rng=settings.seed)
    start = find_model(settings.model)
    model = BertForPreTraining.from_pretrained(start, rng=settings.seed)
    if settings.max_length > model.config.max_position_embeddings:
        longest = model.config.max_position_embeddings
        raise ValueError(f"max_length {settings.max_length} exceeds the {longest} positions of {start}")
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(f"{start}: the vocabulary has {len(tokenizer)} tokens, the model {model.config.vocab_size}")
    return model


def make_trainer(
    settings: PretrainingSettings,
    folder: Path,
    model: Any,
    tokenizer: BertTokenizer,
    corpus: Corpus,
    callbacks: Sequence[Any] = (),
) -> PretrainingTrainer:
    """The trainer of a run, with its data."""
    names = ("dupe_factor", "short_seq_prob", "mlm_probability", "mask_replace_prob", "random_replace_prob")
    masking = {name: getattr(settings, name) for name in (*names, "whole_word_mask")}
    train_dataset = PretrainingDataset(corpus.training, tokenizer, settings.max_length, seed=settings.seed, **masking)
    eval_dataset = None
    if corpus.held_out:
        eval_dataset = evaluation_set(corpus.held_out, tokenizer, settings.max_length)
    args = TrainingArguments(
        str(folder),
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=64,
        max_steps=settings.steps or -1,
        num_train_epochs=settings.epochs or 1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=settings.adam_beta2,
        adam_epsilon=settings.adam_epsilon,
        max_grad_norm=settings.max_grad_norm,
        eval_strategy="no" if eval_dataset is None else "steps",
        eval_steps=0.1,
        logging_steps=0.01,
        save_steps=settings.save_steps,
        save_total_limit=2,
        seed=settings.seed,
        num_replicas=settings.num_replicas,
        group_by_length=True,
    )
    return PretrainingTrainer(
        model=model,
        args=args,
        data_collator=stack_trimmed,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def describe(trainer: PretrainingTrainer) -> str:
    """One line about what is going to be trained on what."""
    n_parameters = sum(parameter.data.size for parameter in trainer.model.parameters())
    dataset = trainer.train_dataset
    return (
        f"{n_parameters:,} parameters, {len(trainer.tokenizer):,} tokens in the vocabulary, {len(dataset):,} sequences "
        f"of {dataset.lengths.mean():.0f} tokens from {len(dataset.documents):,} documents"
    )


def steps_in(trainer: PretrainingTrainer, seconds: float) -> int:
    """How many steps of training take so long here, from some steps of a copy of the model."""
    model, args = copy.deepcopy(trainer.model).train(), trainer.args
    dataset = trainer.train_dataset
    batches = epoch_batches(
        len(dataset), args.per_device_train_batch_size, seed=args.seed, epoch=0, lengths=dataset.lengths
    )
    optimizer = PretrainingTrainer(model=model, args=args, eval_dataset=dataset).create_optimizer()
    done, began = -1, 0.0  # the first step pays for what is made once
    while done < 3 or time.perf_counter() - began < min(MEASURED_SECONDS, seconds / 10):
        if done == 0:
            began = time.perf_counter()
        trainer.training_step(model, trainer.collate(fetch(dataset, batches[done % len(batches)])))
        clip_grad_norm_(list(model.parameters()), args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        done += 1
    return max(1, round(seconds * done / (time.perf_counter() - began)))


# ---- the end ----


def finish(
    folder: Path,
    settings: PretrainingSettings,
    trainer: PretrainingTrainer,
    command: str | None,
    minutes: float | None,
    say: Say,
    version: str = "",
) -> dict[str, Any]:
    """Write the model, evaluate what was written, draw the curves, write the card, and delete the checkpoints."""
    trainer.model.save_pretrained(folder, dtype=settings.dtype)
    if trainer.eval_dataset is None:
        say("no documents were held out: the figures are of the texts that were learnt, so they prove nothing")
        figures = evaluate_pretrained(folder, settings.texts, max_length=settings.max_length)
        figures["corpus"] += ", which it was trained on"
    else:
        figures = evaluate_pretrained(folder, max_length=settings.max_length)
    draw_curves(folder, say)
    dataset = trainer.train_dataset
    trained = {
        "parameters": sum(parameter.data.size for parameter in trainer.model.parameters()),
        "vocabulary": len(trainer.tokenizer),
        "documents": len(dataset.documents),
        "sequences": len(dataset),
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "tokens": trainer.state.num_input_tokens_seen,
        "minutes": minutes,
        "version": f" {version}" if version else "",
    }
    card = model_card(trainer.model.config, settings, trained, figures, command)
    with replacing(folder / "README.md") as file:
        file.write(card.encode("utf-8"))
    write_record(folder, settings, command, finished=True)
    for checkpoint in list_checkpoints(folder):
        delete_checkpoint(checkpoint)
    return figures


def draw_curves(folder: Path, say: Say) -> None:
    """Draw `curves.png` from the log, where matplotlib is installed."""
    from ..visualization import plot_curves, save_figure

    try:
        save_figure(plot_curves(folder), folder / "curves.png")
    except ImportError:
        say("curves.png was not drawn: matplotlib is not installed")
