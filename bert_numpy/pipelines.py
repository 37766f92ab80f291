"""Text in, answer out: a tokenizer, a model, and what to do with its outputs.

Here: `FillMask` and `Embedder`.  Not here: reading texts from files and printing answers (`cli/`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoints import CheckpointError, load_checkpoint
from .configuration import BertConfig
from .hub import find_model
from .models import BertForMaskedLM, BertModel
from .nn import functional as F
from .tokenization import BertTokenizer

POOLINGS = ("mean", "cls")


def load_tokenizer(folder: str | Path, vocab_size: int) -> BertTokenizer:
    """The tokenizer of a model folder, checked against the size of the model's vocabulary.

    A model may have a few rows more than there are words, where its size was rounded up to a multiple of 8.

    Raises
    ------
    ValueError
        If the vocabulary belongs to another model.
    """
    tokenizer = BertTokenizer.from_pretrained(folder)
    spare_rows = vocab_size - len(tokenizer)
    rounded_up = vocab_size % 8 == 0 and 0 <= spare_rows < 128
    if spare_rows and not rounded_up:
        raise ValueError(
            f"{folder}: the vocabulary has {len(tokenizer)} words but the model's vocab_size is {vocab_size}; "
            "the two do not belong together"
        )
    return tokenizer


def check_finite(outputs: np.ndarray) -> np.ndarray:
    """Pass outputs on, unless the weights have made them NaN or infinite."""
    if not np.isfinite(outputs).all():
        raise ValueError("the model's outputs are not finite; `bert-numpy inspect` shows which weights are at fault")
    return outputs


class FillMask:
    """Guess the words that [MASK] stands for.  The model is put into eval mode.

    Examples
    --------
    >>> fill_mask = FillMask.from_pretrained("tiny-random")      # random weights: the guess means nothing
    >>> answers = fill_mask("to be or [MASK]", top_k=2)
    >>> [sorted(answer) for answer in answers]
    [['score', 'sequence', 'token', 'token_str'], ['score', 'sequence', 'token', 'token_str']]
    """

    def __init__(self, model: BertForMaskedLM, tokenizer: BertTokenizer) -> None:
        if tokenizer.mask_token is None:
            raise ValueError("the tokenizer has no mask_token, so there is nothing to fill")
        self.model = model.eval()
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, name: str | Path) -> FillMask:
        """Load model and tokenizer from a folder, or by the name of a model that ships.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing, or the checkpoint has no MLM head.
        """
        folder = find_model(name)
        model = BertForMaskedLM(BertConfig.from_pretrained(folder), init_weights=False)
        tensors = load_checkpoint(folder)
        if model.fit_weights(tensors, str(folder)).new:
            raise CheckpointError(f"{folder} has no MLM head, so it cannot fill masks; use a BertForMaskedLM")
        model.load_weights(tensors, str(folder))
        return cls(model, load_tokenizer(folder, model.config.vocab_size))

    def __call__(self, text: str, top_k: int = 5) -> list[Any]:
        """The likeliest words for each [MASK] of a text, the likeliest first.

        Parameters
        ----------
        text : str
            With one or more [MASK]; each is guessed with the others still masked.
        top_k : int

        Returns
        -------
        list of dict
            `score` (probability), `token` (id), `token_str` and `sequence` (the text with the word filled in).
            A list of such lists if there are several [MASK], as in the reference library.

        Raises
        ------
        ValueError
            If there is no [MASK], or the text is too long.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        inputs = self.tokenizer(text, return_tensors="np")
        ids = inputs["input_ids"][0]
        places = np.flatnonzero(ids == self.tokenizer.mask_token_id).tolist()
        if not places:
            shown = repr(text) if len(text) <= 60 else f"{text[:60]!r}…"
            raise ValueError(f"no {self.tokenizer.mask_token} in {shown}; write it where a word is to be guessed")
        logits = check_finite(self.model(**inputs).logits[0, places])
        answers = [self._answers(ids, place, row, top_k) for place, row in zip(places, logits, strict=True)]
        return answers[0] if len(answers) == 1 else answers

    def _answers(self, ids: np.ndarray, place: int, logits: np.ndarray, top_k: int) -> list[dict[str, Any]]:
        scores, _ = F.softmax_forward(logits)
        answers = []
        for token in np.argsort(-scores, kind="stable")[: min(top_k, len(self.tokenizer))]:
            filled = ids.copy()
            filled[place] = token
            sequence = self.tokenizer.decode(filled[1:-1])  # without [CLS] and [SEP]; other masks stay visible
            word = self.tokenizer.convert_ids_to_tokens(int(token))
            answers.append(
                {"score": float(scores[token]), "token": int(token), "token_str": word, "sequence": sequence}
            )
        return answers


class Embedder:
    """One vector for each text: the mean of the hidden states of its tokens, or that of [CLS].

    The model is put into eval mode.

    Examples
    --------
    >>> embed = Embedder.from_pretrained("tiny-random", normalize=True)
    >>> vectors = embed(["to be", "or not to be"])
    >>> vectors.shape, np.linalg.norm(vectors, axis=1).round(6)
    ((2, 20), array([1., 1.], dtype=float32))
    """

    def __init__(
        self,
        model: BertModel,
        tokenizer: BertTokenizer,
        pooling: str = "mean",
        normalize: bool = False,
        max_length: int | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r} is unknown; choose from {', '.join(POOLINGS)}")
        longest = model.config.max_position_embeddings
        if max_length is not None and not 3 <= max_length <= longest:
            raise ValueError(f"max_length {max_length} must lie between 3 and max_position_embeddings {longest}")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.normalize = normalize
        self.max_length = min(longest, tokenizer.model_max_length) if max_length is None else max_length

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        pooling: str | None = None,
        normalize: bool | None = None,
        max_length: int | None = None,
    ) -> Embedder:
        """Load model and tokenizer; what is not given is read from a sentence-transformers folder, if it is one.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing or does not fit together.
        """
        folder = find_model(name)
        settings = sentence_settings(folder)
        model = BertModel.from_pretrained(folder)
        tokenizer = load_tokenizer(folder, model.config.vocab_size)
        if settings.get("do_lower_case") and not tokenizer.do_lower_case:
            raise ValueError(f"{folder}: sentence_bert_config.json asks for lower case, but the tokenizer keeps case")
        return cls(
            model,
            tokenizer,
            settings.get("pooling", "mean") if pooling is None else pooling,
            settings.get("normalize", False) if normalize is None else normalize,
            settings.get("max_length") if max_length is None else max_length,
        )

    def __call__(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        """Embed texts; longer ones are cut at `max_length` tokens.

        Parameters
        ----------
        texts : sequence of str
        batch_size : int
            Texts of similar length share a batch, so that little padding is computed.

        Returns
        -------
        ndarray of shape (len(texts), H)
            In the order of the texts.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of texts, not one text; write embed([text])")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        vectors = np.zeros((len(texts), self.model.config.hidden_size), self.model.dtype)
        rows = [self.tokenizer(text, truncation=True, max_length=self.max_length) for text in texts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = self.tokenizer.pad([rows[i] for i in chosen], return_tensors="np")
            hidden_states = check_finite(self.model(**batch).last_hidden_state)
            vectors[chosen] = self._pool(hidden_states, batch["attention_mask"])
        if self.normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def _pool(self, hidden_states: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """(B, S, H) -> (B, H)."""
        if self.pooling == "cls":
            return hidden_states[:, 0]
        weights = attention_mask[..., np.newaxis].astype(hidden_states.dtype)  # (B, S, 1)
        return (hidden_states * weights).sum(axis=1) / weights.sum(axis=1)


def sentence_settings(folder: str | Path) -> dict[str, Any]:
    """What a sentence-transformers folder says about pooling; empty for any other folder.

    Returns
    -------
    dict
        `pooling`, `normalize`, `max_length` and `do_lower_case`, as far as the folder says.

    Raises
    ------
    ValueError
        If it asks for a pooling that is not supported, or a step other than pooling and normalizing.
    """
    folder = Path(folder)
    if not (folder / "modules.json").exists():
        return {}
    settings: dict[str, Any] = {"normalize": False}
    for step in _read_json(folder / "modules.json", list):
        kind = str(step.get("type") if isinstance(step, dict) else step).rpartition(".")[2]
        if kind == "Normalize":
            settings["normalize"] = True
        elif kind == "Pooling":
            settings["pooling"] = _pooling(folder / str(step.get("path", "")) / "config.json")
        elif kind != "Transformer":
            raise ValueError(
                f"{folder / 'modules.json'}: the step {kind} is not supported; only pooling and normalizing"
            )
    path = folder / "sentence_bert_config.json"
    if path.exists():
        settings["do_lower_case"] = bool(_read_json(path, dict).get("do_lower_case"))
        max_length = _read_json(path, dict).get("max_seq_length")
        if max_length is not None and (not isinstance(max_length, int) or max_length < 3):
            raise ValueError(f"{path}: max_seq_length must be a whole number from 3 or null, not {max_length!r}")
        settings["max_length"] = max_length
    return settings


def _pooling(path: Path) -> str:
    """The name of the one pooling that a config.json asks for."""
    modes = [name for name, on in _read_json(path, dict).items() if name.startswith("pooling_mode_") and on]
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if len(modes) != 1 or modes[0] not in known:
        raise ValueError(f"{path}: pooling {' and '.join(modes) or 'none'} is not supported; only mean or cls is")
    return known[modes[0]]


def _read_json(path: Path, kind: type) -> Any:
    """The content of a JSON file, which must be a list or a dict."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no file {path}; the sentence-transformers folder is incomplete") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a {kind.__name__}")
    return content
