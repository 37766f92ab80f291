"""Google's names of BERT's weights, in a TensorFlow checkpoint, as today's names.

- ``bert/encoder/layer_0/attention/self/query/kernel``, (in, out), is
  ``bert.encoder.layer.0.attention.self.query.weight``, (out, in): every kernel is transposed.
- ``…/LayerNorm/gamma`` and ``…/LayerNorm/beta`` are ``….LayerNorm.weight`` and ``….LayerNorm.bias``.
- ``bert/embeddings/word_embeddings`` is ``bert.embeddings.word_embeddings.weight``.
- ``cls/predictions/output_bias`` is ``cls.predictions.bias``.
- ``cls/seq_relationship/output_weights``, (2, H), is ``cls.seq_relationship.weight``, not transposed.
- ``output_weights``, (labels, H), of a fine-tuned classifier is ``classifier.weight``, not transposed either.
- ``cls/squad/output_weights``, (2, H), is ``qa_outputs.weight``, not transposed either.

Whether a kernel must be transposed cannot be seen where it is square, as those of attention are; the names decide.
No matrix of the decoder is stored: it is ``word_embeddings``.

What no name can tell: ``"hidden_act": "gelu"`` in Google's ``bert_config.json`` meant the exact function with erf
when the checkpoints of 2018 were trained; since February 2019 Google's program computes the tanh approximation under
the same word, which today's files call ``gelu_new``. The two differ by up to 5e-4 in each activation. What is not
here: files. Read next: ``key_mapping.py``.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from .errors import CheckpointError, quoted

_LAYER = "bert/encoder/layer_#"
_DENSE = (
    f"{_LAYER}/attention/self/query",
    f"{_LAYER}/attention/self/key",
    f"{_LAYER}/attention/self/value",
    f"{_LAYER}/attention/output/dense",
    f"{_LAYER}/intermediate/dense",
    f"{_LAYER}/output/dense",
    "bert/pooler/dense",
    "cls/predictions/transform/dense",
)
_NORMS = (
    "bert/embeddings/LayerNorm",
    f"{_LAYER}/attention/output/LayerNorm",
    f"{_LAYER}/output/LayerNorm",
    "cls/predictions/transform/LayerNorm",
)
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_KERNEL = "/kernel"

# Stored name, with # for the number of the layer -> today's name and the number of dimensions.
_NAMES = {
    **{f"{place}{_KERNEL}": (f"{place}.weight", 2) for place in _DENSE},
    **{f"{place}/bias": (f"{place}.bias", 1) for place in _DENSE},
    **{f"{place}/gamma": (f"{place}.weight", 1) for place in _NORMS},
    **{f"{place}/beta": (f"{place}.bias", 1) for place in _NORMS},
    **{f"bert/embeddings/{table}": (f"bert/embeddings/{table}.weight", 2) for table in _TABLES},
    "cls/predictions/output_bias": ("cls.predictions.bias", 1),
    "cls/seq_relationship/output_weights": ("cls.seq_relationship.weight", 2),
    "cls/seq_relationship/output_bias": ("cls.seq_relationship.bias", 1),
    "cls/squad/output_weights": ("qa_outputs.weight", 2),
    "cls/squad/output_bias": ("qa_outputs.bias", 1),
    "output_weights": ("classifier.weight", 2),
    "output_bias": ("classifier.bias", 1),
}
_LAYER_NUMBER = re.compile(r"(?<=/layer_)(?:0|[1-9][0-9]{0,5})(?=/)")

# Parts of names that no checkpoint of Google's BERT has, each beginning at a component, and who has them.
_FAMILIES = {
    "bert/encoder/transformer/": "ALBERT",
    "bert/encoder/embedding_hidden_mapping_in/": "ALBERT",
    "electra/": "ELECTRA",
    "generator/": "ELECTRA",
    "generator_predictions/": "ELECTRA",
    "discriminator_predictions/": "ELECTRA",
    "embeddings_project/": "ELECTRA",
    "bottleneck/": "MobileBERT",
    "ffn_layer_0/": "MobileBERT",
    "embedding_transformation/": "MobileBERT",
    "encoder/block_000/": "T5",
    "model/transformer/": "XLNet",
    "model/h0/": "GPT-2",
    ".ATTRIBUTES/": "a checkpoint of TensorFlow 2's object-based kind, whose names follow the program that saved it",
}


def to_published(tensors: Mapping[str, NDArray[Any]], *, source: str = "the checkpoint") -> dict[str, NDArray[Any]]:
    """Give the tensors of Google's BERT today's names, and the kernels today's orientation.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        As :func:`bert_numpy.checkpoints.tensorflow.load_checkpoint` returns them.
    source : str
        What to call the checkpoint in messages.

    Returns
    -------
    dict of str to ndarray
        In the order of ``tensors``. Transposed kernels are views. Names that are not Google's are kept as they
        are, for the model to report; :func:`unknown_names` lists them.

    Raises
    ------
    CheckpointError
        If the names belong to another family of models, or a tensor has the wrong number of dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> kernel = np.array([[1.0, 2.0, 3.0]])
    >>> to_published({"bert/pooler/dense/kernel": kernel, "my/own": np.ones(1)})
    {'bert.pooler.dense.weight': array([[1.], [2.], [3.]]), 'my/own': array([1.])}
    """
    _refuse_foreign(tensors, source)
    published = {}
    for name, array in tensors.items():
        target = _target(name)
        if target is None:
            published[name] = array
            continue
        today, dimensions = target
        if array.ndim != dimensions:
            raise CheckpointError(
                f"{source}: tensor {quoted(name)} has shape {array.shape}, {dimensions} dimensions were wanted"
            )
        published[today] = array.T if name.endswith(_KERNEL) else array
    return published


def unknown_names(names: Iterable[str]) -> list[str]:
    """Return the names that are not Google's, in their order.

    Examples
    --------
    >>> unknown_names(["bert/pooler/dense/bias", "bert/pooler/dense/weight"])
    ['bert/pooler/dense/weight']
    """
    return [name for name in names if _target(name) is None]


def _target(name: str) -> tuple[str, int] | None:
    """Today's name and the number of dimensions; None for a name that is not Google's."""
    number = _LAYER_NUMBER.search(name)
    pattern = name if number is None else f"{name[: number.start()]}#{name[number.end() :]}"
    if pattern not in _NAMES or (number is None and "#" in name):
        return None
    today, dimensions = _NAMES[pattern]
    layer = "" if number is None else number[0]
    return today.replace("layer_#", f"layer.{layer}").replace("/", "."), dimensions


def _refuse_foreign(names: Iterable[str], source: str) -> None:
    for name in names:
        for part, family in _FAMILIES.items():
            if f"/{part}" in f"/{name}":
                raise CheckpointError(f"{source}: this looks like {family}, not Google's BERT: it holds {quoted(name)}")
