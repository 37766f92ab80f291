"""Texts to vectors: one for each text, or one for each token.

Here: `Embedder` and `FeatureExtractor`; `sentence_settings` reads how a sentence-transformers folder pools.
Read next: `summary.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..hub import find_model
from ..models import BertModel
from ..tokenization import BertTokenizer
from .base import check_batch_size, check_finite, check_texts, load_tokenizer, longest_input, run_in_batches

POOLINGS = ("mean", "cls")


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
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.normalize = normalize
        self.max_length = longest_input(model, tokenizer, max_length)

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
        check_batch_size(batch_size)
        texts = check_texts(texts)
        vectors = np.zeros((len(texts), self.model.config.hidden_size), self.model.dtype)
        rows = [self.tokenizer(text, truncation=True, max_length=self.max_length) for text in texts]
        for chosen, batch, outputs in run_in_batches(self.model, self.tokenizer, rows, batch_size):
            hidden_states = check_finite(outputs.last_hidden_state)
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


class FeatureExtractor:
    """The last hidden states of a text: one vector for every token, [CLS] and [SEP] included.

    The model is put into eval mode.

    Examples
    --------
    >>> extract = FeatureExtractor.from_pretrained("tiny-random")
    >>> features = extract("to be")
    >>> len(features), len(features[0]), len(features[0][0])
    (1, 4, 20)
    >>> extract("to be", return_tensors=True).shape
    (1, 4, 20)
    """

    def __init__(
        self, model: BertModel, tokenizer: BertTokenizer, truncation: bool = False, batch_size: int = 32
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.truncation = truncation
        self.batch_size = check_batch_size(batch_size)

    @classmethod
    def from_pretrained(cls, name: str | Path, **settings: Any) -> FeatureExtractor:
        """Load model and tokenizer; `settings` are keyword arguments of the class.

        Raises
        ------
        FileNotFoundError, ValueError
            If something is missing or does not fit together.
        """
        folder = find_model(name)
        model = BertModel.from_pretrained(folder)
        return cls(model, load_tokenizer(folder, model.config.vocab_size), **settings)

    def __call__(
        self, inputs: str | Sequence[str], truncation: bool | None = None, return_tensors: bool = False
    ) -> Any:
        """Extract the features of one text or of several.

        Parameters
        ----------
        inputs : str or sequence of str
        truncation : bool, optional
            Cut texts that are too long, which are an error otherwise.
        return_tensors : bool
            Return arrays instead of lists.

        Returns
        -------
        nested list, or ndarray, of shape (1, S, H)
            A list of them for several texts.
        """
        truncation = self.truncation if truncation is None else truncation
        texts = [inputs] if isinstance(inputs, str) else check_texts(inputs)
        limit = longest_input(self.model, self.tokenizer, None) if truncation else None
        rows = [self.tokenizer(text, truncation=truncation, max_length=limit) for text in texts]
        features: list[Any] = [None] * len(rows)
        for chosen, _, outputs in run_in_batches(self.model, self.tokenizer, rows, self.batch_size):
            for states, i in zip(check_finite(outputs.last_hidden_state), chosen, strict=True):
                own = states[np.newaxis, : len(rows[i]["input_ids"])]
                features[i] = own if return_tensors else own.tolist()
        return features[0] if isinstance(inputs, str) else features


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
