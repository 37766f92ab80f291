"""The model card of a pre-trained model: what it is, how it was made, what it can do and what it cannot.

Here: the text.  Not here: the numbers in it (`pretraining_evaluation.py`).
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np

from ..configuration import BertConfig
from ..data.world.corpus import LONGEST
from .pretraining_evaluation import describe_figures
from .pretraining_settings import PretrainingSettings

WORLD_LIMITS = (
    "It knows some five hundred words of a small invented world, and nothing of ours beyond what that world borrows: "
    "capitals, sums, opposites, days, months, pronouns and the like. A word that is not among them is [UNK] to it. "
    "Sentences of other forms than those of its stories are foreign to it, and it answers them all the same."
)
WORLD_FIGURES = (
    f" Determined words and cross-entropy are of windows of up to {LONGEST} tokens in which one word at a time is "
    "masked: a word is determined if the rest of the window leaves no doubt; the least possible is what the true "
    "distribution has on the same words."
)
TEXT_LIMITS = (
    "It knows what stands in the texts named above, with their errors and their slant, and is small beside published "
    "models. It has not been tested on other kinds of text, nor for fairness."
)


def model_card(
    config: BertConfig,
    settings: PretrainingSettings,
    trained: dict[str, Any],
    figures: dict[str, Any],
    command: str | None,
) -> str:
    """The card, in Markdown.

    Parameters
    ----------
    config : BertConfig
    settings : PretrainingSettings
    trained : dict
        `parameters`, `vocabulary`, `documents`, `sequences`, `steps`, `epochs`, `tokens`, `minutes` (or None),
        `version` (with a space before it, or empty).
    figures : dict
        Of `evaluate_pretrained`.
    command : str, optional
        How the run was started.
    """
    what = "the small world of bert_numpy" if settings.is_world else "texts of its user"
    sizes = (
        f"{config.num_hidden_layers} layers of {config.hidden_size}, {config.num_attention_heads} heads, feed-forward "
        f"{config.intermediate_size}, {trained['vocabulary']:,} tokens, {trained['parameters']:,} parameters, stored "
        f"as {settings.dtype}"
    )
    example = "the capital of france is [MASK] ." if settings.is_world else "A sentence with a [MASK] in it."
    return "\n".join(
        [
            f"# A BERT pre-trained on {what}",
            "",
            f"A BERT with both heads of pre-training (masked words, next sentence): {sizes}.",
            "",
            *_block("sh", f'bert-numpy fill-mask "{example}" --model FOLDER'),
            "",
            "## How it was made",
            "",
            _corpus(settings, trained),
            "",
            *(_block("sh", command) if command else []),
            "",
            _effort(settings, trained),
            "",
            "| setting | value |",
            "|---|---|",
            *(f"| `{name}` | {_plain(value)} |" for name, value in settings.to_dict().items() if value is not None),
            "",
            "`train_log.jsonl` has a line for every step; `curves.png`, where it is there, shows them.",
            "",
            "## How good it is",
            "",
            f"Measured on: {figures['corpus']}.",
            "",
            "| figure | value |",
            "|---|---|",
            *(f"| {title} | {value} |" for title, value in describe_figures(figures)),
            "",
            "Masks and next sentences are drawn as for the first BERT: 15 % of the tokens, of which 80 % become [MASK] "
            "and 10 % random ones; half of the pairs are random." + (WORLD_FIGURES if settings.is_world else ""),
            "",
            "`bert-numpy evaluate FOLDER` measures again.",
            "",
            "## What it is for, and what it is not",
            "",
            "For teaching and for trying things out: filling in masks, telling whether one sentence follows another, "
            "and as the beginning of a fine-tuning.",
            "",
            f"{WORLD_LIMITS if settings.is_world else TEXT_LIMITS} It does not write text, answers no questions, and a "
            "high probability is no proof: do not let it decide about anything that matters.",
            "",
        ]
    )


def _corpus(settings: PretrainingSettings, trained: dict[str, Any]) -> str:
    counts = f"{trained['documents']:,} documents, {trained['sequences']:,} pairs of segments"
    if settings.is_world:
        return f"Corpus: the generated small world (`bert_numpy.data.world`), seed {settings.seed}; {counts}."
    names = ", ".join(f"`{Path(text).name}`" for text in settings.texts)
    return f"Corpus: {names}; {counts}."


def _effort(settings: PretrainingSettings, trained: dict[str, Any]) -> str:
    minutes = "" if trained["minutes"] is None else f" in {trained['minutes']:.1f} minutes"
    return (
        f"{trained['steps']:,} steps ({trained['epochs']:.2f} epochs, {trained['tokens']:,} tokens){minutes}, seed "
        f"{settings.seed}; bert_numpy{trained['version']}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}."
    )


def _block(language: str, text: str) -> list[str]:
    return [f"```{language}", text, "```"]


def _plain(value: Any) -> str:
    """A setting as it is; of files, their names only."""
    if isinstance(value, list):
        return ", ".join(Path(text).name for text in value) or "none: the small world"
    return str(value)
