"""The names under which other programs know a tap.

A tap is called by the path of the module whose output it is, as in the checkpoints (`steps.py`).  Dumps of other
programs say it in their own way, and all of these are understood:

    hidden_states.3, attentions.0, last_hidden_state, pooler_output, logits   outputs of transformers' models
    hidden_states, attentions                                                 those of all layers, stacked in one array
    bert.encoder.layer.3.output.LayerNorm, encoder.layer.3.intermediate       modules of transformers, as hooks see them
    encoder.layers.3.output                                                   modules in a list that is called layers
    bert/encoder/layer_3/attention/self/query/BiasAdd:0                       tensors of Google's TensorFlow graph
    /bert/encoder/layer.3/output/dense/Add_output_0                           ONNX, as torch exports it
    blocks.3.attn.hook_pattern, hook_full_embed                               TransformerLens

The gradient of X is `d X`, or X with `grad.`, `grad/` or `gradients/` in front, or with `.grad` behind.

Here: names.  Not here: files (`dumps.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from itertools import count

from ..checkpoints.key_mapping import canonical_name
from .evaluation import GRADIENT, INPUTS

_GRADIENT = re.compile(r"^(?:d[ _/]|grad[ _./]|gradients?[ _./])(?P<before>.+)$|^(?P<behind>.+)[./_]grad(?:ient)?$")

_MODULES = (  # modules of transformers, the last matching rule first
    (r"encoder\.layer\.(\d+)", r"encoder.layer.\1.output"),
    (r"(encoder\.layer\.\d+)\.attention", r"\1.attention.output"),
    (r"(encoder\.layer\.\d+\.attention\.self)", r"\1.context"),
    (r"(encoder\.layer\.\d+)\.intermediate(?:\.intermediate_act_fn)?", r"\1.intermediate.act"),
    (r"(encoder\.layer\.\d+\.(?:attention\.)?output)\.LayerNorm", r"\1"),
    (r"embeddings\.dropout", "embeddings"),
    (r"pooler\.activation|pooler_output", "pooler"),
    (r"cls\.predictions\.transform\.transform_act_fn", "cls.predictions.transform.act"),
    (r"cls\.predictions\.transform\.LayerNorm", "cls.predictions.transform"),
    (r"cls|cls\.predictions\.decoder|prediction_logits|mlm_logits", "cls.predictions"),
    (r"cls\.seq_relationship|seq_relationship_logits|nsp_logits", "cls.seq_relationship"),
    (r"dropout", "classifier.dropout"),
    (r"start_logits", "qa_outputs.start"),
    (r"end_logits", "qa_outputs.end"),
    (r"cls\.predictions\.decoder\.bias", "cls.predictions.bias"),
    (r"attentions?[._](\d+)", r"encoder.layer.\1.attention.self.probs"),
)
_TENSORFLOW = (  # behind the path, with dots for slashes: the operation whose result it is
    (r"(.*\.attention\.self)\.(?:Reshape|transpose)", r"\1.query"),
    (r"(.*\.attention\.self)\.(?:Reshape|transpose)_1", r"\1.key"),
    (r"(.*\.attention\.self)\.(?:Reshape|transpose)_2", r"\1.value"),
    (r"(.*\.attention\.self)\.(?:Reshape|transpose)_3", r"\1.context"),
    (r"(.*\.attention\.self)\.(?:Mul|add)", r"\1.scores"),
    (r"(.*\.attention\.self)\.Softmax", r"\1.probs"),
    (r"(.*\.(?:intermediate|transform))\.dense\.(?:mul_1|mul_3|Gelu|Relu)", r"\1.act"),  # x Φ(x), by erf or by tanh
    (r"(.*\.output)\.add", r"\1.add"),
    (r"(.*)\.LayerNorm\.batchnorm\.add_1", r"\1.LayerNorm"),
    (r"pooler\.Squeeze", "pooler.token"),
    (r"pooler\.dense\.Tanh", "pooler"),
    (r"loss\.BiasAdd", "classifier"),
    (r"(.*)\.BiasAdd", r"\1"),
)
_ONNX_OUTPUT = "_output_0"
_ONNX = (  # likewise
    (r"(.*)\.Gemm", r"\1"),
    (r"(.*\.(?:dense|query|key|value|decoder|classifier|qa_outputs))\.Add", r"\1"),
    (r"(.*)\.LayerNorm\.(?:LayerNormalization|Add_1)", r"\1.LayerNorm"),
    (r"(embeddings\.\w+_embeddings)\.Gather", r"\1"),
    (r"embeddings\.Add_1", "embeddings.add"),
    (r"(.*\.attention\.self)\.Add", r"\1.scores"),
    (r"(.*\.attention\.self)\.Softmax", r"\1.probs"),
    (r"(.*\.attention\.self)\.Reshape_3", r"\1.context"),
    (r"(.*\.output)\.Add", r"\1.add"),
    (r"(.*_act_fn)\.(?:Mul_1|Gelu|Relu)", r"\1"),
    (r"pooler\.Gather", "pooler.token"),
    (r"pooler\.activation\.Tanh", "pooler"),
)
_BLOCK = r"blocks\.(\d+)\."
_TRANSFORMER_LENS = (
    (r"(?:embed\.)?hook_embed", "embeddings.word_embeddings"),
    (r"(?:embed\.)?hook_pos_embed", "embeddings.position_embeddings"),
    (r"(?:embed\.)?hook_token_type_embed", "embeddings.token_type_embeddings"),
    (r"hook_full_embed|embed\.ln\.hook_normalized", "embeddings"),
    (r"pooler\.hook_pooler_out", "pooler"),
    (r"nsp_head\.hook_nsp_out", "cls.seq_relationship"),
    *(
        (_BLOCK + hook, r"encoder.layer.\1." + tap)
        for hook, tap in (
            (r"attn\.hook_q", "attention.self.query"),
            (r"attn\.hook_k", "attention.self.key"),
            (r"attn\.hook_v", "attention.self.value"),
            (r"attn\.hook_attn_scores", "attention.self.scores"),
            (r"attn\.hook_pattern", "attention.self.probs"),
            (r"attn\.hook_z", "attention.self.context"),
            (r"hook_attn_out", "attention.output.dense"),
            (r"(?:hook_resid_mid|hook_mlp_in)", "attention.output.add"),
            (r"ln1\.hook_normalized", "attention.output"),
            (r"mlp\.hook_pre", "intermediate.dense"),
            (r"mlp\.hook_post", "intermediate.act"),
            (r"hook_mlp_out", "output.dense"),
            (r"hook_resid_post", "output.add"),
            (r"(?:ln2\.hook_normalized|hook_normalized_resid_post)", "output"),
        )
    ),
)
_STACKED = ("hidden_states", "attentions")  # outputs of all layers, which np.stack makes one array of
_HEADS = ("cls.predictions", "cls.seq_relationship", "classifier")  # what `logits` are, whichever a model has first


class Names:
    """Says which tap, gradient or input a foreign name means.

    Parameters
    ----------
    known : iterable of str
        The taps of the model and, for gradients, its parameters.
    renamed : mapping of str to str, optional
        Names of one's own -> names that are understood.

    Examples
    --------
    >>> names = Names(["embeddings", "encoder.layer.0.output", "cls.predictions", "embeddings.LayerNorm.weight"])
    >>> names.canonical("hidden_states.1"), names.canonical("bert/encoder/layer_0/output/LayerNorm/batchnorm/add_1:0")
    ('encoder.layer.0.output', 'encoder.layer.0.output')
    >>> names.canonical("bert.embeddings.LayerNorm.gamma.grad"), names.canonical("logits")
    ('d embeddings.LayerNorm.weight', 'cls.predictions')
    >>> names.canonical("layer_one") is None
    True
    """

    def __init__(self, known: Iterable[str], renamed: Mapping[str, str] | None = None) -> None:
        self.known = dict.fromkeys(known)
        self.renamed = dict(renamed or {})

    def canonical(self, name: str) -> str | None:
        """The name here, or None if it means nothing that this model has."""
        name = self.renamed.get(name, name)
        if name in INPUTS:
            return name
        gradient, name = _split(name)
        tap = self._tap(self.renamed.get(name, name))
        return None if tap is None else gradient + tap

    def stacked(self, name: str) -> list[str] | None:
        """The names here of what lies behind each other in one array, if this name means such an array."""
        gradient, name = _split(self.renamed.get(name, name))
        path = _path(self.renamed.get(name, name))
        if path not in _STACKED:
            return None
        taps: list[str] = []
        for number in count():
            tap = self._tap(f"{path}.{number}")
            if tap is None:
                break
            taps.append(gradient + tap)
        return taps

    def own(self, name: str) -> list[str]:
        """The names of one's own by which a name is understood: it, and what it is the gradient of."""
        _, without = _split(self.renamed.get(name, name))
        return [own for own in dict.fromkeys((name, without)) if own in self.renamed]

    def nearest(self, name: str) -> str | None:
        """The known name that looks most like it, for a message."""
        gradient, name = _split(self.renamed.get(name, name))
        if is_step_in_between(name):
            return None
        found = get_close_matches(_path(name), self.known, n=1, cutoff=0.6)
        return gradient + found[0] if found else None

    def _tap(self, name: str) -> str | None:
        of_onnx = name.endswith(_ONNX_OUTPUT)
        path = _path(name.removesuffix(_ONNX_OUTPUT))
        candidates = (
            [*_renamed(path, _ONNX)] if of_onnx else [path, *_renamed(path, (*_TENSORFLOW, *_TRANSFORMER_LENS))]
        )
        for candidate in candidates:
            for tap in (candidate, *_renamed(candidate, _MODULES), *self._output(candidate)):
                if tap in self.known:
                    return tap
        return None

    def _output(self, path: str) -> Iterable[str]:
        """Outputs whose tap depends on the model, or on the number of the layer."""
        layers = [name for name in self.known if re.fullmatch(r"encoder\.layer\.\d+\.output", name)]
        hidden = re.fullmatch(r"hidden_states?[._](\d+)|" + _BLOCK + "hook_resid_pre", path)
        if path in ("last_hidden_state", "encoder") and layers:
            yield layers[-1]
        elif path == "logits":
            yield from (name for name in _HEADS if name in self.known)
        elif hidden:
            number = int(hidden[1] or hidden[2])
            yield f"encoder.layer.{number - 1}.output" if number else "embeddings"


def is_step_in_between(name: str) -> bool:
    """Whether a name that means nothing is one of the many steps of an ONNX graph between the taps."""
    return name.endswith(_ONNX_OUTPUT)


def _split(name: str) -> tuple[str, str]:
    """("d ", X) for a name of the gradient of X, ("", name) for any other."""
    match = _GRADIENT.match(name)
    return (GRADIENT, match["before"] or match["behind"]) if match else ("", name)


def _path(name: str) -> str:
    """A name with dots, and without what is put in front of, or behind, all names of a program."""
    path = canonical_name(re.sub(r":\d+$", "", name).replace("/", ".").lstrip("."))
    path = re.sub(r"\blayers?[._](\d+)\b", r"layer.\1", re.sub(r"\[(\d+)\]", r".\1", path))
    return path.removeprefix("model.").removeprefix("bert.")


def _renamed(path: str, rules: Iterable[tuple[str, str]]) -> Iterable[str]:
    """What the rules that match a whole path make of it."""
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, path)
        if match:
            yield match.expand(replacement)
