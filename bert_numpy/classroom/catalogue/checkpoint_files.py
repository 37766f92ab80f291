"""Weights from files: names old and new, kernels to be transposed, numbers of 16 bits."""

from __future__ import annotations

import numpy as np

from ..exercise import Cases, Chapter, Exercise, Mistake

NAMES = (
    "module.bert.embeddings.LayerNorm.gamma",
    "bert.encoder.layer.0.attention.output.LayerNorm.beta",
    "LayerNorm.gamma",
    "module.embeddings.word_embeddings.weight",
    "adapter.module.dense.bias",
    "bert.MyLayerNorm.gamma",
    "cls.predictions.LayerNorm.gamma_scale",
    "encoder.LayerNorm.beta.history",
)


def _name_inputs(rng: np.random.Generator) -> Cases:
    return [("bert.encoder.layer.11.output.dense.weight",), *((name,) for name in rng.permutation(NAMES).tolist())]


def _expected_inputs(rng: np.random.Generator) -> Cases:
    backbone = ["embeddings.word_embeddings.weight", "encoder.layer.0.output.LayerNorm.weight", "pooler.dense.bias"]
    with_prefix = [f"bert.{name}" for name in backbone]
    head = ["cls.predictions.bias", "cls.seq_relationship.weight"]
    old = ["bert.embeddings.word_embeddings.weight", "module.bert.encoder.layer.0.output.LayerNorm.gamma"]
    positions = "bert.embeddings.position_ids"

    def tensors(names: list[str]) -> dict[str, float]:
        return {name: float(rng.integers(1, 99)) for name in names}

    return [
        (tensors([*old, "bert.pooler.dense.bias", positions, *head]), {*with_prefix, *head}),
        (tensors([*old, "bert.pooler.dense.bias", positions, *head]), set(backbone)),
        (
            tensors([*backbone, "embeddings.position_ids", *head, "classifier.weight"]),
            {*with_prefix, "classifier.weight"},
        ),
    ]


def _google_inputs(rng: np.random.Generator) -> Cases:
    H = 4
    shapes = {
        "bert/embeddings/word_embeddings": (7, H),
        "bert/encoder/layer_0/attention/self/query/kernel": (H, H),
        "bert/encoder/layer_0/attention/self/query/bias": (H,),
        "bert/encoder/layer_11/intermediate/dense/kernel": (H, 6),
        "bert/encoder/layer_11/output/LayerNorm/gamma": (H,),
        "cls/seq_relationship/output_weights": (2, H),
        "global_step": (1,),
    }
    return [({name: rng.standard_normal(shape) for name, shape in shapes.items()},)]


def _bits(rng: np.random.Generator) -> Cases:
    named = np.array([0x3F80, 0xC000, 0x0000, 0x8000, 0x7F80, 0x0001, 0x3E20], np.uint16)
    return [(named,), (rng.integers(0x3C00, 0x4200, (3, 5)).astype(np.uint16),)]


CHAPTER = Chapter(
    slug="checkpoint_files",
    title="Weights from files",
    about="A model is its weights, and these come in files that are older than the names they are read by.  Whoever "
    "maps a name wrongly gets a model that runs and knows nothing.  Tutorial 7 loads real weights.",
    exercises=(
        Exercise(
            target="bert_numpy.checkpoints.bfloat16:widen",
            title="bfloat16 to float32",
            points=3,
            minutes=10,
            tutorial=7,
            inputs=_bits,
            notes="NumPy has no bfloat16.  It is the upper half of a float32: the 16 bits that you get, then 16 zeros.",
            hints=(
                "No arithmetic is needed: the bits need only be put in the right place, of a wider integer.",
                "`astype` converts a number, `view` reads the same bits as another dtype.  You need one of each.",
                "As uint32, shift to the left by half a word; then look at it as float32.",
            ),
            mistakes=(
                Mistake(
                    "read as float16",
                    "return wide.view(np.float32)",
                    "return np.asarray(bits).view(np.float16).astype(np.float32)",
                    "The bits are read as float16, which has 5 bits of exponent.  bfloat16 has 8, like float32.",
                ),
                Mistake(
                    "integers converted",
                    "wide.view(np.float32)",
                    "wide.astype(np.float32)",
                    "The bit patterns are taken for whole numbers.  `astype` converts values; the bits should stay.",
                ),
                Mistake(
                    "integers converted as they are",
                    "return wide.view(np.float32)",
                    "return np.asarray(bits).astype(np.float32)",
                    "The 16 bits are taken for whole numbers, 16256 where they mean 1.  They are the upper half of a "
                    "float32 and need only be put there.",
                ),
                Mistake(
                    "lower half",
                    "    wide <<= np.uint32(16)\n",
                    "",
                    "The 16 bits stand in the lower half of the float32, where they make numbers next to 0.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.checkpoints.key_mapping:canonical_name",
            title="Old names and new ones",
            points=3,
            minutes=10,
            tutorial=7,
            inputs=_name_inputs,
            notes='`_WRAPPER`, which is "module.", and `_RENAMED`, a dict from two old endings to the new ones, are '
            "imported above.  Only whole parts between dots count: MyLayerNorm is another module.",
            hints=(
                "First the beginning of the name, then its end.  What is in the middle stays.",
                "`str.removeprefix` and `str.removesuffix` take away a text; `strip`, `lstrip` and `rstrip` take away "
                "letters.",
                "An old name may be the whole name, or follow a dot at the end.",
            ),
            mistakes=(
                Mistake(
                    "letters stripped",
                    "name.removeprefix(_WRAPPER)",
                    "name.lstrip(_WRAPPER)",
                    '`lstrip` takes letters, not a text: of "module.embeddings" it eats the em as well, for e and m '
                    "are among them.",
                ),
                Mistake(
                    "module. kept",
                    "name.removeprefix(_WRAPPER)",
                    "name",
                    'The wrapper\'s "module." at the beginning stays.',
                ),
                Mistake(
                    "module. removed everywhere",
                    "name.removeprefix(_WRAPPER)",
                    'name.replace(_WRAPPER, "")',
                    '"module." is removed in the middle of names too.  The wrapper puts it at the beginning.',
                ),
                Mistake(
                    "renamed anywhere",
                    '        if name == old or name.endswith("." + old):\n'
                    "            return name.removesuffix(old) + new\n",
                    "        name = name.replace(old, new)\n",
                    "gamma and beta are replaced wherever they stand.  They are meant at the end, as whole parts.",
                ),
                Mistake(
                    "part of a word renamed",
                    'name == old or name.endswith("." + old)',
                    "name.endswith(old)",
                    "MyLayerNorm is taken for LayerNorm.  What stands before the old name must be a dot, or nothing.",
                ),
                Mistake(
                    "gamma and beta exchanged",
                    "return name.removesuffix(old) + new",
                    'return name.removesuffix(old) + ("LayerNorm.bias" if new.endswith("weight") else '
                    '"LayerNorm.weight")',
                    "gamma becomes the bias and beta the weight.  γ is the gain, which multiplies.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.checkpoints.key_mapping:to_expected",
            parts=("_fit_prefix",),
            omits=("source : str What to call the file in messages.", "Raises"),
            title="The names that a model expects",
            points=5,
            minutes=20,
            needs=("canonical_name",),
            tutorial=7,
            inputs=_expected_inputs,
            notes="The errors are not asked for, and `source` is for their messages.  The backbone is what begins "
            "with one "
            'of `_BACKBONE_PARTS`; `_BACKBONE` is "bert.".  A name that is expected as it is stays as it is.',
            hints=(
                "Name by name: today's name first; then, if the model does not expect it, what could be the matter?",
                'A model with a head expects "bert." before the backbone, the bare backbone does not.  One look at the '
                "expected names tells which it is.",
                "Three cases of an unexpected name: it ends in position_ids and is ignored; it is of the backbone and "
                "gains or loses the prefix; it is of a head and is kept.",
            ),
            mistakes=(
                Mistake(
                    "old names kept",
                    "target = canonical_name(name)",
                    "target = name",
                    "gamma and beta stay: the norms would silently keep the values that they were born with.",
                ),
                Mistake(
                    "position_ids kept",
                    'target.split(".")[-1] == "position_ids"',
                    "False",
                    "`position_ids` is handed to the model.  It holds the numbers 0, 1, 2 ..., no weights.",
                ),
                Mistake(
                    "prefix not fitted",
                    "target = _fit_prefix(target, wants_prefix)",
                    "pass",
                    'Names keep their "bert.", or go without it, whatever the model expects.',
                ),
                Mistake(
                    "prefix before heads too",
                    "_BACKBONE + name if name.startswith(_BACKBONE_PARTS) else name",
                    "_BACKBONE + name",
                    'Every name gets "bert.", that of a head too.  Only the backbone has it.',
                ),
                Mistake(
                    "heads dropped",
                    "        mapped[target] = value\n",
                    "        if target in expected:\n            mapped[target] = value\n",
                    "Names that the model does not expect are dropped.  They are the model's to report.",
                ),
                Mistake(
                    "ignored names under their new name",
                    "ignored.append(name)",
                    'ignored.append(target.split(".")[-1])',
                    "What was ignored is listed by its last part.  The list holds the names as they stand in the file.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.checkpoints.tensorflow_names:to_published",
            omits=(
                "source : str What to call the checkpoint in messages.",
                "; :func:`unknown_names` lists them",
                "Raises",
            ),
            title="Google's names and kernels",
            points=3,
            minutes=10,
            needs=("linear_forward",),
            tutorial=7,
            inputs=_google_inputs,
            notes="`_target(name)` is given: (today's name, number of dimensions), or None for a name that is not "
            "Google's. The errors are not asked for.",
            hints=(
                "TensorFlow multiplies x @ kernel, so its kernels are (in, out).  This library has x @ weightᵀ.",
                "Which arrays are kernels is told by the name alone; the shape of a square matrix tells nothing.",
                "The word table and the two rows of the next-sentence head are no kernels.",
            ),
            mistakes=(
                Mistake(
                    "kernels not transposed",
                    "array.T if name.endswith(_KERNEL) else array",
                    "array",
                    "No kernel is transposed.  Where in and out are of one size, as in attention, nobody notices.",
                ),
                Mistake(
                    "all matrices transposed",
                    "array.T if name.endswith(_KERNEL) else array",
                    "array.T",
                    "Every matrix is transposed, tables and `output_weights` too.  Only kernels are.",
                ),
                Mistake(
                    "square kernels not transposed",
                    "array.T if name.endswith(_KERNEL) else array",
                    "array.T if name.endswith(_KERNEL) and array.shape[0] != array.shape[1] else array",
                    "Square kernels stay as they are.  Their shape does not say that they are transposed; their name "
                    "does.",
                ),
                Mistake(
                    "output_weights transposed",
                    "array.T if name.endswith(_KERNEL) else array",
                    'array.T if name.endswith((_KERNEL, "output_weights")) else array',
                    "The next-sentence head is transposed.  Google stored it as (2, H) and multiplied by its "
                    "transpose.",
                ),
                Mistake(
                    "unknown names dropped",
                    "            published[name] = array\n",
                    "            pass\n",
                    "Names that are not Google's are dropped.  They are kept, for the model to report.",
                ),
            ),
        ),
    ),
)
