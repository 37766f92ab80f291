"""What every BERT model can do with its weights: draw them, load them from a folder, save them to one.

Loading is strict.  Every weight of the embeddings and the layers must be in the file, in the right shape; whatever is
wrong is listed together in one error.  Only a head (or the pooler) may be missing: it is drawn afresh and named in a
warning.  Heads in the file that the model does not have are left unused.

Here: `BertPreTrainedModel`, the base of all models.  Not here: file formats and foreign names (`checkpoints/`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..checkpoints import CheckpointError, key_mapping, load_checkpoint, safetensors
from ..configuration import BertConfig
from ..hub import find_model
from ..nn.module import Module, summarize
from .outputs import ModelOutput, as_gradients

_BACKBONE = ("embeddings.", "encoder.")  # what no model may lack
_HEADS = ("cls.", "classifier.", "qa_outputs.", "pooler.", "bert.pooler.")  # what a file may hold without need


class Fit(NamedTuple):
    """How the tensors of a file fit a model."""

    tensors: dict[str, Any]  # under the names of the model, without those it leaves unused
    new: list[str]  # parameters to be drawn afresh: heads, or a pooler, of which the file has nothing
    unused: list[str]  # heads in the file that the model does not have
    mismatched: list[str]  # heads of another shape
    problems: list[str]  # why the file would be refused


class ForwardCache:
    """What `forward` of a whole model hands to its `backward`, which can open it once.

    It is valid until the weights change.  It shares memory with the outputs of forward, so do not write into those
    before backward has run.
    """

    def __init__(self, model: str, shapes: ModelOutput, parts: tuple[Any, ...] | None) -> None:
        self.model = model
        self.shapes = shapes
        self.parts = parts
        self.kept = parts is not None


class BertPreTrainedModel(Module):
    """Base of the models: a configuration, one random generator, and the way to and from files."""

    def __init__(
        self,
        config: BertConfig,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        init_weights: bool = True,
    ) -> None:
        """Make a model with fresh weights.

        Parameters
        ----------
        config : BertConfig
        dtype : float32 or float64
        rng : np.random.Generator, seed or None
            For fresh weights and for dropout; None draws a seed from the operating system.
        init_weights : bool
            False leaves the weights at 0, to be loaded.
        """
        if not isinstance(config, BertConfig):
            raise TypeError(f"config must be a BertConfig, not {config!r}; a saved model is loaded by from_pretrained")
        self.config = config
        self.rng = np.random.default_rng(rng)
        self._build(_compute_dtype(dtype))
        if init_weights:
            self.init_weights()

    def _build(self, dtype: np.dtype) -> None:
        """Make the modules of which this model consists, from `self.config` and `self.rng`."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of `forward`, computed without keeping anything for backward."""
        return self.forward(*args, **{"cache_policy": "drop", **kwargs})[0]

    skips_padding = False
    """What `skip_padding` sets."""

    def skip_padding(self, mode: bool = True) -> Any:
        """Leave the padding of batches out of the computation (or in); returns the model.

        The outputs at real tokens stay what they are, and come sooner: in a batch of sentences half of the positions
        are often padding.  At padding, all hidden states and attention weights are then 0, where the reference
        library computes numbers that mean nothing.  A mask of its own for every query has no padding to skip.
        """
        for _, module in self.named_modules():
            if isinstance(module, BertPreTrainedModel):
                module.skips_padding = mode
        return self

    def astype(self, dtype: DTypeLike) -> Any:
        """A copy in float32 or float64; see `Module.astype`."""
        return super().astype(_compute_dtype(dtype))

    def _close(self, outputs: ModelOutput, cache_policy: str, *parts: Any) -> ForwardCache:
        """The cache of a whole model, which only its own `backward` opens."""
        return ForwardCache(type(self).__name__, outputs.shapes(), None if cache_policy == "drop" else parts)

    def _open(self, doutputs: Any, cache: Any) -> tuple[Any, tuple[Any, ...]]:
        """(gradients of the outputs, parts of the cache), after every check and before anything is accumulated."""
        name = type(self).__name__
        if not isinstance(cache, ForwardCache):
            raise TypeError(
                f"the cache is a {type(cache).__name__}; write outputs, cache = model.forward(...), then "
                "model.backward(doutputs, cache): calling model(...) keeps no cache"
            )
        if cache.model != name:
            raise TypeError(f"the cache comes from a {cache.model}, this model is a {name}")
        if not cache.kept:
            raise RuntimeError("nothing was kept for backward; run forward with cache_policy='keep' or 'recompute'")
        if cache.parts is None:
            raise RuntimeError("this cache has been used by a backward before; run forward again")
        gradients = as_gradients(doutputs, cache.shapes, self.dtype)
        parts, cache.parts = cache.parts, None
        return gradients, parts

    @property
    def dtype(self) -> np.dtype:
        """Of all parameters, and of everything computed from them."""
        return next(self.parameters()).dtype

    def init_weights(self, names: Iterable[str] | None = None) -> None:
        """Draw fresh values for the named parameters, or for all of them, with the model's generator.

        Weights come from a truncated normal distribution of standard deviation `config.initializer_range`; biases
        are 0, gains 1, and the word embedding of the padding token is 0.
        """
        modules = dict(self.named_modules())
        if names is None:
            names = [name for name, _ in self.named_parameters()]
        for path in dict.fromkeys(name.rpartition(".")[0] for name in names):
            modules[path].reset_parameters(self.rng, self.config.initializer_range)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        config: BertConfig | None = None,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | int | None = None,
        revision: str | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **config_changes: Any,
    ) -> Any:
        """Load a model, by folder or by name.

        The folder holds config.json (or bert_config.json) and model.safetensors, its shards and their index,
        pytorch_model.bin or a TensorFlow checkpoint.  The weights are mapped from the file where their dtype is
        `dtype`: nothing is read before it is used, and the file is never changed.  The model is returned in eval mode.

        Parameters
        ----------
        folder : path or str
            A folder, the name of a model that ships with this package, or a published name such as
            "bert-base-uncased" or "organisation/name", which is downloaded unless it is in the Hugging Face cache.
        config : BertConfig, optional
            Takes the place of the folder's.
        dtype : float32 or float64
        rng : np.random.Generator, seed or None
            For parameters that the file lacks, and for dropout.
        revision : str, optional
            Branch, tag or commit of a published model.
        ignore_mismatched_sizes : bool
            Draw a head afresh when the file's has another shape, instead of refusing the file.
        output_loading_info : bool
            Return `(model, info)`, with the lists `missing_keys`, `unexpected_keys` and `mismatched_keys`.
        **config_changes
            Fields of the configuration to change, such as `num_labels=3`.

        Returns
        -------
        model, or (model, info)

        Raises
        ------
        FileNotFoundError
            If the model, its configuration or its weights are missing.
        ValueError
            If the configuration or the weights do not fit; `CheckpointError`, a ValueError, lists all misfits.
        """
        folder = find_model(folder, revision=revision, files=("config", "weights"))
        config = BertConfig.from_pretrained(folder) if config is None else config
        config = config.changed(**config_changes)
        model = cls(config, dtype=dtype, rng=rng, init_weights=False)
        info = model._load(load_checkpoint(folder), str(folder), ignore_mismatched_sizes, assign=True)
        model.eval()
        return (model, info) if output_loading_info else model

    def load_weights(
        self, tensors: Mapping[str, np.ndarray], source: str = "the weights", ignore_mismatched_sizes: bool = False
    ) -> dict[str, list[str]]:
        """Copy in the weights of a checkpoint, under any published form of their names.

        Where `load_state_dict` wants exactly the parameters, this maps old names (`gamma`, `beta`), adds or removes
        the prefix `bert.`, leaves heads of other models unused and draws missing heads afresh.

        Returns
        -------
        dict
            `missing_keys`, drawn afresh; `unexpected_keys`, unused; `mismatched_keys`, heads of another shape.

        Raises
        ------
        CheckpointError
            Listing every weight that is missing, unexpected or of another shape; nothing has been changed then.
        """
        return self._load(tensors, source, ignore_mismatched_sizes, assign=False)

    def _load(
        self, tensors: Mapping[str, np.ndarray], source: str, ignore_mismatched_sizes: bool, assign: bool
    ) -> dict[str, list[str]]:
        """`load_weights`, which may adopt the arrays: `from_pretrained` alone knows that nobody else has them."""
        fit = self.fit_weights(tensors, source, ignore_mismatched_sizes)
        own = self.state_dict()
        try:
            self.load_state_dict({**fit.tensors, **{name: own[name] for name in fit.new}}, assign=assign)
        except ValueError as error:
            hint = "; ignore_mismatched_sizes=True starts a head of another shape afresh" if fit.mismatched else ""
            raise CheckpointError(f"{source}: {error}{hint}") from None
        if fit.new:
            self.init_weights(fit.new)
            _log("WARNING", f"{type(self).__name__}: newly initialised, train before use: {summarize(fit.new)}")
        if fit.unused:
            _log("INFO", f"{source}: not used by {type(self).__name__}: {summarize(fit.unused)}")
        return {"missing_keys": fit.new, "unexpected_keys": fit.unused, "mismatched_keys": fit.mismatched}

    def fit_weights(
        self, tensors: Mapping[str, Any], source: str = "the weights", ignore_mismatched_sizes: bool = False
    ) -> Fit:
        """Say what `load_weights` would do, from names and shapes alone.

        Parameters
        ----------
        tensors : mapping of name to anything with a `shape`
        """
        places = dict(self.named_places())
        tensors, _ = key_mapping.to_expected(tensors, places.keys(), source=source)
        mismatched = [
            name
            for name, parameter in places.items()
            if name in tensors and tuple(tensors[name].shape) != parameter.shape and not _is_backbone(name)
        ]
        unused = [name for name in tensors if name not in places and name.startswith(_HEADS)]
        left_out = {*unused, *(mismatched if ignore_mismatched_sizes else ())}
        tensors = {name: tensor for name, tensor in tensors.items() if name not in left_out}
        problems, found = self.match(tensors)
        layers_found = {name.rpartition(".")[0] for name in tensors}
        new = [
            name
            for name, parameter in self.named_parameters()
            if parameter not in found and not _is_backbone(name) and name.rpartition(".")[0] not in layers_found
        ]
        expected = {f"missing {name} {places[name].shape}" for name in new}
        return Fit(tensors, new, unused, mismatched, [problem for problem in problems if problem not in expected])

    def save_pretrained(self, folder: str | Path, *, dtype: str | None = None) -> None:
        """Write model.safetensors and config.json, for this package and for the reference library alike.

        A tied parameter is written once.  Each file is complete or not there at all.

        Parameters
        ----------
        folder : path
        dtype : "float32", "float64", "float16" or "bfloat16", optional
            What to store the weights in; that of the model if not given.

        Raises
        ------
        ValueError
            If a weight is beyond the range of `dtype`.
        CheckpointError
            If the folder cannot be made or written to.
        """
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"cannot make the folder {folder}: {error.strerror}") from error
        dtype = self.dtype.name if dtype is None else dtype
        tensors = self.state_dict()
        if dtype != "bfloat16":
            tensors = {name: _stored(name, array, dtype) for name, array in tensors.items()}
        safetensors.save_file(
            tensors, Path(folder) / "model.safetensors", bfloat16=tensors if dtype == "bfloat16" else ()
        )
        saved = {**self.config.to_dict(), "architectures": [type(self).__name__], "dtype": dtype}
        BertConfig.from_dict(saved).save_pretrained(folder)


def _compute_dtype(dtype: DTypeLike) -> np.dtype:
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype {np.dtype(dtype)} is not supported; compute in float32 or float64")
    return np.dtype(dtype)


def _is_backbone(name: str) -> bool:
    return name.removeprefix("bert.").startswith(_BACKBONE)


def _stored(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """A weight in the dtype of the file; a finite number must not become infinite on the way."""
    with np.errstate(over="ignore"):
        stored = array.astype(dtype, copy=False)
    if np.dtype(dtype).itemsize < array.itemsize and np.isinf(stored).sum() > np.isinf(array).sum():
        raise ValueError(f"{name} holds numbers beyond the range of {dtype}; store it as bfloat16 or float32")
    return stored


def _log(level: str, message: str) -> None:
    """To the logger of this module; `logging` alone would make up a sixth of the time that importing takes."""
    import logging

    logging.getLogger(__name__).log(getattr(logging, level), message)
