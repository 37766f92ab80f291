"""Make `tests/golden/tensorflow/`: checkpoints that TensorFlow wrote, and the arrays that it was given.

    python tests/golden/make_tensorflow_checkpoint.py          (in an environment with TensorFlow 2)

    bert_model.ckpt.*   a tiny BERT with an MLM and an NSP head under Google's names, optimizer slots and the step
    mixed.ckpt.*        every dtype, scalars, empty tensors, text, partitioned variables, all in two data files
    expected.npz        CHECKPOINT/NAME -> array; bfloat16 as float32
    version.json        the TensorFlow that wrote them

All sizes are different, but for the square kernels of attention, which must not be transposed by their looks.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1

FOLDER = Path(__file__).resolve().parent / "tensorflow"
V, POSITIONS, SEGMENTS, H, INNER, LAYERS = 29, 7, 2, 6, 10, 2
DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
          "uint64", "bool", "complex64", "complex128"]  # fmt: skip


def bert_shapes():
    """Google's name -> shape."""
    shapes = {
        "bert/embeddings/word_embeddings": (V, H),
        "bert/embeddings/position_embeddings": (POSITIONS, H),
        "bert/embeddings/token_type_embeddings": (SEGMENTS, H),
        "bert/pooler/dense/kernel": (H, H),
        "bert/pooler/dense/bias": (H,),
        "cls/predictions/transform/dense/kernel": (H, H),
        "cls/predictions/transform/dense/bias": (H,),
        "cls/predictions/output_bias": (V,),
        "cls/seq_relationship/output_weights": (2, H),
        "cls/seq_relationship/output_bias": (2,),
    }
    dense = [
        ("attention/self/query", H, H),
        ("attention/self/key", H, H),
        ("attention/self/value", H, H),
        ("attention/output/dense", H, H),
        ("intermediate/dense", H, INNER),
        ("output/dense", INNER, H),
    ]
    norms = ["bert/embeddings/LayerNorm", "cls/predictions/transform/LayerNorm"]
    for layer in range(LAYERS):
        scope = f"bert/encoder/layer_{layer}"
        for place, size_in, size_out in dense:
            shapes[f"{scope}/{place}/kernel"] = (size_in, size_out)
            shapes[f"{scope}/{place}/bias"] = (size_out,)
        norms += [f"{scope}/attention/output/LayerNorm", f"{scope}/output/LayerNorm"]
    for norm in norms:
        shapes[f"{norm}/gamma"] = shapes[f"{norm}/beta"] = (H,)
    return shapes


def save(build, name, sharded=False):
    """Run `build`, which makes variables, and save them; TensorFlow's own state file is not kept."""
    with tf.Graph().as_default(), tf1.Session(config=tf1.ConfigProto(device_count={"CPU": 2})) as session:
        build()
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(sharded=sharded)
        saver.save(session, str(FOLDER / name), write_meta_graph=False, write_state=False)


def main():
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(20190228)
    expected = {}

    def bert():
        for name, shape in bert_shapes().items():
            values = rng.standard_normal(shape).astype(np.float32)
            expected[f"bert_model.ckpt/{name}"] = values
            tf1.Variable(values, name=name, use_resource=False)
            for slot in ("adam_m", "adam_v"):
                tf1.Variable(np.zeros(shape, np.float32), name=f"{name}/{slot}", use_resource=False)
        tf1.Variable(np.int64(1000), name="global_step", use_resource=False)

    def mixed():
        for dtype in DTYPES:
            values = tf.cast(rng.integers(0, 100, (3, 2)) * (1 if dtype.startswith("u") else -1), dtype)
            read = tf1.Session().run(values)
            expected[f"mixed.ckpt/{dtype}"] = read.astype(np.float32) if dtype == "bfloat16" else read
            tf1.Variable(values, name=dtype, use_resource=False)
        values = {
            "scalar": np.float32(-2.5),
            "empty": np.zeros((0, 4), np.float32),
            "deep": np.arange(24.0).reshape(2, 3, 4),
        }
        for name, value in values.items():
            expected[f"mixed.ckpt/{name}"] = np.asarray(value)
            with tf.device("/cpu:1"):
                tf1.Variable(value, name=name, use_resource=False)
        tf1.Variable([b"text", b"is left out"], name="text", use_resource=False)
        for name, shape, axis in [("rows", (10, 3), 0), ("columns", (2, 300), 1)]:
            whole = rng.standard_normal(shape).astype(np.float32)
            expected[f"mixed.ckpt/{name}"] = whole
            tf1.get_variable(
                name,
                shape=shape,
                partitioner=tf1.fixed_size_partitioner(3, axis=axis),
                use_resource=False,
                initializer=lambda shape, dtype, partition_info, whole=whole: tf.constant(
                    whole[tuple(slice(a, a + n) for a, n in zip(partition_info.var_offset, shape, strict=True))]
                ),
            )

    save(bert, "bert_model.ckpt")
    save(mixed, "mixed.ckpt", sharded=True)
    np.savez_compressed(FOLDER / "expected.npz", **expected)
    (FOLDER / "version.json").write_text(json.dumps({"tensorflow": tf.__version__}) + "\n")


if __name__ == "__main__":
    main()
