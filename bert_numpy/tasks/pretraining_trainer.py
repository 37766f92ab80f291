"""A trainer for masked words and next sentences: the same losses, without the logits that nobody asks for.

`BertForPreTraining.forward` scores every position against the vocabulary, as the reference library does.  The loss
needs the masked ones only, a sixth of them, so the steps here take those out before the head.  Loss and gradients are
the same.

Here: `PretrainingTrainer`, the collator.  Read next: `pretraining_evaluation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.loader import default_data_collator
from ..data.masking import IGNORED
from ..models.outputs import BaseModelOutputWithPooling
from ..nn import functional as F
from ..training import Trainer
from .pretraining_evaluation import evaluate_sequences

SHOWN_SEQUENCES = 512  # of the held-out ones, in evaluations during training


def stack_trimmed(features: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Stack sequences of one padded length, and cut the padding that all of them end with.

    Examples
    --------
    >>> row = {"input_ids": np.array([2, 7, 3, 0]), "attention_mask": np.array([1, 1, 1, 0]), "next_sentence_label": 1}
    >>> {name: values.tolist() for name, values in stack_trimmed([row]).items()}
    {'input_ids': [[2, 7, 3]], 'attention_mask': [[1, 1, 1]], 'next_sentence_label': [1]}
    """
    batch = default_data_collator(features)
    longest = int(batch["attention_mask"].sum(axis=1).max())
    return {name: values[:, :longest] if values.ndim == 2 else values for name, values in batch.items()}


class PretrainingTrainer(Trainer):
    """A `Trainer` of a `BertForPreTraining` on a `PretrainingDataset`."""

    def training_step(self, model: Any, inputs: Mapping[str, Any], scale: float = 1.0) -> float:
        """Forward and backward of one batch, with logits at the masked positions only."""
        head, is_next = model.cls.predictions, model.cls.seq_relationship
        policy = "recompute" if self.args.gradient_checkpointing else "keep"
        ids = (inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
        bert, bert_cache = model.bert.forward(*ids, cache_policy=policy)
        masked = np.nonzero(inputs["labels"] != IGNORED)  # N positions
        logits, head_cache = head.forward(bert.last_hidden_state[masked])  # (N, V)
        mlm_loss, mlm_cache = F.cross_entropy_forward(logits, inputs["labels"][masked])
        nsp_logits, nsp_head_cache = is_next.forward(bert.pooler_output)  # (B, 2)
        nsp_loss, nsp_cache = F.cross_entropy_forward(nsp_logits, inputs["next_sentence_label"])
        loss = float(mlm_loss) + float(nsp_loss)
        if not math.isfinite(loss):
            return loss

        # loss = mlm_loss + nsp_loss
        dpooled = is_next.backward(F.cross_entropy_backward(scale, nsp_cache), nsp_head_cache)
        # logits = head(last_hidden_state[masked])
        dhidden = np.zeros_like(bert.last_hidden_state)
        dhidden[masked] = head.backward(F.cross_entropy_backward(scale, mlm_cache), head_cache)
        model.bert.backward(BaseModelOutputWithPooling(dhidden, dpooled, None, None), bert_cache)
        return loss

    def evaluate(self, eval_dataset: Any = None, metric_key_prefix: str = "eval") -> dict[str, Any]:
        """Measure on the first held-out sequences: see `evaluate_sequences`.  `eval_loss` is the sum of both losses."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if dataset is None:
            raise ValueError("there is no eval_dataset")
        figures = evaluate_sequences(
            self.model,
            dataset,
            batch_size=self.args.per_device_eval_batch_size,
            num_sequences=SHOWN_SEQUENCES,
            on_batch=self._batch_done,
        )
        metrics: dict[str, Any] = {f"{metric_key_prefix}_loss": figures["mlm_loss"] + figures["nsp_loss"]}
        for name in ("mlm_loss", "masked_word_accuracy", "nsp_loss", "nsp_accuracy"):
            metrics[f"{metric_key_prefix}_{name}"] = figures[name]
        self.log(metrics)
        self.call_event("on_evaluate", metrics=metrics)
        return {**metrics, "epoch": self.state.epoch}

    def _batch_done(self, done: int, total: int) -> None:
        self.call_event("on_prediction_step", batches_done=done, num_batches=total)
        self.interruption.check()
