"""The model that a port is compared with, as steps, parameters and names of tokens.

Here: loading it.  Not here: what is computed with it (`evaluation.py`).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import models
from ..checkpoints import load_checkpoint, safetensors
from ..configuration import BertConfig
from ..hub import find_model
from ..models import BertModel, BertPreTrainedModel
from ..tokenization import BertTokenizer
from .steps import last_tap, parameters_of, steps_of

CLASSES = (  # with several heads in a file and nothing said, the first that fits without a fresh head
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
)


NOT_TAKEN_APART = "BertForMultipleChoice"
WHY_NOT = (
    f"{NOT_TAKEN_APART} cannot be compared step by step; its encoder is a BertModel: save that, and fold the choices "
    "of the port's tensors into the batch"
)


class Labels(NamedTuple):
    """One kind of labels."""

    classes: int | None  # None: any numbers, not ids
    each: str  # "token", "sequence" or "logit": what has a label of its own


class Reference:
    """A model taken apart.

    Attributes
    ----------
    name : str
    model : BertPreTrainedModel
    steps : list of Step
    parameters : dict of str to float32 array
    stored_dtype : str
        What the weights were stored in.
    """

    def __init__(
        self, model: BertPreTrainedModel, name: str, stored_dtype: str, tokenizer: BertTokenizer | None = None
    ) -> None:
        self.model = model
        self.name = name
        self.stored_dtype = stored_dtype
        self.tokenizer = tokenizer
        self.steps = steps_of(model)
        self.parameters = parameters_of(model)

    @cached_property
    def float64(self) -> dict[str, np.ndarray]:
        """The parameters in float64."""
        return {name: array.astype(np.float64) for name, array in self.parameters.items()}

    @property
    def heads(self) -> int:
        return self.model.config.num_attention_heads

    @property
    def last_tap(self) -> str:
        """The last hidden state."""
        return last_tap(self.model.config)

    @property
    def layer_outputs(self) -> list[str]:
        """The hidden states behind the embeddings."""
        return [f"encoder.layer.{i}.output" for i in range(self.model.config.num_hidden_layers)]

    @property
    def pools(self) -> bool:
        """Whether its classifier reads one vector for each sequence."""
        return any(step.tap == "pooler" for step in self.steps)

    @property
    def input_sizes(self) -> dict[str, int]:
        """How many ids there are of each kind."""
        config = self.model.config
        return {
            "input_ids": config.vocab_size,
            "token_type_ids": config.type_vocab_size,
            "position_ids": config.max_position_embeddings,
            "attention_mask": 2,
        }

    @property
    def labels(self) -> dict[str, Labels]:
        """What the losses of the model take, by name."""
        config, kinds = self.model.config, {}
        classes = {"cls.predictions": config.vocab_size, "cls.seq_relationship": 2, "classifier": config.num_labels}
        for step in self.steps:
            if step.operation == "cross_entropy":
                head, name = step.inputs[:2]
                of_tokens = head == "cls.predictions" or (head == "classifier" and not self.pools)
                kinds[name] = Labels(classes[head], "token" if of_tokens else "sequence")
            elif step.operation == "span":  # a position beyond the text counts as none
                kinds[step.inputs[1]] = Labels(2**31, "sequence")
            elif step.operation in ("mse", "binary_cross_entropy"):
                kinds[step.inputs[1]] = Labels(None, "logit")
        return kinds

    def token(self, number: int) -> str:
        """The token of an id, or the id where there is no tokenizer."""
        return repr(self.tokenizer.convert_ids_to_tokens(number)) if self.tokenizer is not None else f"id {number}"


def load_reference(source: str | Path | BertPreTrainedModel | Reference) -> Reference:
    """A reference from a folder, the name of a model, or a model that is loaded.

    The class is the one that the configuration names; if it names none, the one that all heads in the file fit.

    Raises
    ------
    FileNotFoundError, ValueError
        If the model is missing or damaged.

    Examples
    --------
    >>> reference = load_reference("tiny-random")
    >>> type(reference.model).__name__, reference.stored_dtype, len(reference.steps)
    ('BertForPreTraining', 'float32', 51)
    """
    if isinstance(source, Reference):
        return source
    if isinstance(source, BertPreTrainedModel):
        if type(source).__name__ == NOT_TAKEN_APART:
            raise ValueError(WHY_NOT)
        return Reference(source, type(source).__name__, source.dtype.name)
    folder = find_model(source)
    config = BertConfig.from_pretrained(folder)
    tensors = load_checkpoint(folder)
    model = _class_for(config, tensors)(config, init_weights=False)
    model.load_weights(tensors, str(folder))
    try:
        tokenizer = BertTokenizer.from_pretrained(folder)
    except (FileNotFoundError, ValueError):
        tokenizer = None
    return Reference(model.eval(), str(source), _stored_dtype(folder, tensors), tokenizer)


def _class_for(config: BertConfig, tensors: dict[str, np.ndarray]) -> type[BertPreTrainedModel]:
    named = [name for name in config.to_dict().get("architectures") or () if name in models.__all__]
    if NOT_TAKEN_APART in named:
        raise ValueError(WHY_NOT)
    for name in (*named, *CLASSES):
        kind = getattr(models, name)
        if not kind(config, init_weights=False).fit_weights(tensors).new:
            return kind
    return BertModel


def _stored_dtype(folder: Path, tensors: dict[str, np.ndarray]) -> str:
    """The dtype of most numbers in the files; bfloat16 is known from their headers alone."""
    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    counts: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        if file.name.startswith("model"):
            for info in safetensors.read_header(file).tensors.values():
                counts[names.get(info.dtype, info.dtype)] = counts.get(names.get(info.dtype, info.dtype), 0) + 1
    if not counts:
        for array in tensors.values():
            counts[array.dtype.name] = counts.get(array.dtype.name, 0) + array.size
    return max(counts, key=lambda name: counts[name])
