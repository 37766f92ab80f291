"""Compare a published model with numbers that others have published about it.

The registry in `weights/` holds a few for bert-base-uncased and bert-base-chinese: hidden states of an integration
test, probabilities of a model card, logits of another port's tests.  They were printed with four to eight digits, so
the measure is the plain difference, and the tolerance is theirs.

Here: what each kind of number means.  Not here: finding and downloading the model (`hub`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..models import BertForMaskedLM, BertModel
from ..nn import functional as F
from ..tokenization import BertTokenizer
from .arrays import ArrayReport, ArrayTap


def verify_published(folder: Path, references: Iterable[Mapping[str, Any]]) -> Iterator[ArrayReport]:
    """Compute in float32 what each reference says, and compare.

    Parameters
    ----------
    folder : Path
        Of the model.
    references : iterable of mapping
        As the registry has them: `kind`, `source`, `values`, `tolerance` and what the kind needs.

    Yields
    ------
    ArrayReport
        One for each reference; its ratio is the largest difference itself.

    Raises
    ------
    ValueError
        For a kind that is not known.
    """
    for reference in references:
        kind = reference["kind"]
        if kind not in _KINDS:
            raise ValueError(f"a published number of the kind {kind!r} is not known; there are {', '.join(_KINDS)}")
        expected = np.array(reference["values"])
        actual = _KINDS[kind](folder, reference)
        difference = float(np.abs(actual - expected).max())
        verdict = "ok" if difference <= reference["tolerance"] else "differs"
        tap = ArrayTap(reference.get("text", "ids"), expected.shape, difference, difference, 1.0, verdict)
        yield ArrayReport(f"{kind.replace('_', ' ')}, {reference['source']}", reference["tolerance"], [tap])


def _last_hidden_state(folder: Path, reference: Mapping[str, Any]) -> np.ndarray:
    """Some rows (positions) and columns of the last hidden state of the first sequence."""
    outputs = BertModel.from_pretrained(folder)(reference["input_ids"], reference["attention_mask"])
    return outputs.last_hidden_state[0][np.ix_(reference["rows"], reference["columns"])]


def _token_vectors(folder: Path, reference: Mapping[str, Any]) -> np.ndarray:
    """Some positions and columns of one layer, for a text."""
    inputs = BertTokenizer.from_pretrained(folder)(reference["text"], return_tensors="np")
    outputs = BertModel.from_pretrained(folder)(**inputs, output_hidden_states=True)
    return outputs.hidden_states[reference["layer"]][0][np.ix_(reference["positions"], reference["columns"])]


def _fill_mask_logits(folder: Path, reference: Mapping[str, Any]) -> np.ndarray:
    """The logit of each token at its [MASK]; of all tokens at the only one, if there is one."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    inputs = tokenizer(reference["text"], return_tensors="np")
    logits = BertForMaskedLM.from_pretrained(folder)(**inputs).logits[inputs["input_ids"] == tokenizer.mask_token_id]
    if reference["kind"] == "fill_mask_probabilities":
        logits, _ = F.softmax_forward(logits)
    tokens = tokenizer.convert_tokens_to_ids(reference["tokens"])
    return logits[np.arange(len(tokens)) if len(logits) > 1 else 0, tokens]


_KINDS = {
    "last_hidden_state": _last_hidden_state,
    "token_vectors": _token_vectors,
    "fill_mask_logits": _fill_mask_logits,
    "fill_mask_probabilities": _fill_mask_logits,
}
