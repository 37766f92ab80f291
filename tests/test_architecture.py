"""Imports go strictly downward: every file may import only from lower rows, or from its own folder.

Within `nn/` and `models/` the order of the files is fixed too.  Besides NumPy and the standard library, `regex` may be
imported where text is split and matplotlib where pictures are drawn, inside functions.
"""

import ast
import sys
from pathlib import Path

import pytest

import bert_numpy

ROOT = Path(bert_numpy.__file__).parent
ROWS = [  # lowest first
    {"hub"},
    {"configuration", "tokenization", "checkpoints"},
    {"nn"},
    {"models"},
    {"data"},
    {"training"},
    {"verification"},
    {"pipelines", "conversion", "visualization", "benchmarks", "compression", "classroom"},
    {"tasks"},
    {"cli"},
    {"__init__", "__main__"},
]
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
ORDER = {
    "nn": ["blas", "parallel", "special", "functional", "init", "module", "layers", "__init__"],
    "models": [
        "outputs",
        "inputs",
        "pretrained",
        "packing",
        "encoder",
        "bert",
        "head_ops",
        "pretraining_heads",
        "task_heads",
        "__init__",
    ],
}
# The oracle's side of a comparison: a script that runs as a process of its own and is imported by nobody.
ORACLES = {
    "benchmarks/reference_worker.py": {"torch", "transformers", "tokenizers"},
    "verification/transformers_dump.py": {"torch", "transformers", "safetensors"},
}
FILES = sorted(ROOT.rglob("*.py"))


def imported(path, root):
    """Yield (absolute module name, whether at the top of the file) for everything that a file imports."""
    package = path.relative_to(root.parent).parts[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *(node.module or "").split(".")] if node.module else [*base]
            if node.module:
                yield ".".join(module), node in tree.body
            else:
                yield from ((".".join([*module, alias.name]), node in tree.body) for alias in node.names)


def violations(path, root):
    """What a file imports against the rules."""
    parts = path.relative_to(root).with_suffix("").parts
    oracles = ORACLES.get(path.relative_to(root).as_posix(), set())
    for name, at_top in imported(path, root):
        target = name.split(".")
        if target[0] != root.name:
            if target[0] == "regex" or (target[0] in {"matplotlib", *oracles} and not at_top):
                continue
            if target[0] not in sys.stdlib_module_names | {"numpy"}:
                yield f"imports {name}"
        elif len(target) == 1 or target[1] not in RANK:
            if RANK[parts[0]] < RANK["cli"]:
                yield "imports the package itself"
        elif target[1] != parts[0]:
            if RANK[target[1]] >= RANK[parts[0]]:
                yield f"imports {target[1]}, which is not below {parts[0]}"
        elif parts[0] in ORDER and len(target) > 2 and target[2] in ORDER[parts[0]]:
            order = ORDER[parts[0]]
            if order.index(target[2]) >= order.index(parts[1]):
                yield f"imports {target[2]}, which is not before {parts[1]}"


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES])
def test_imports_go_downward(path):
    assert list(violations(path, ROOT)) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("nn/layers.py", "from ..models.bert import BertModel", "imports models, which is not below nn"),
        ("nn/functional.py", "from . import module", "imports module, which is not before functional"),
        ("models/bert.py", "from .head_ops import add", "imports head_ops, which is not before bert"),
        ("models/bert.py", "import torch", "imports torch"),
        ("pipelines.py", "import matplotlib", "imports matplotlib"),
        ("data/loader.py", "from ..training import trainer", "imports training, which is not below data"),
        ("models/bert.py", "from .. import cli", "imports cli, which is not below models"),
    ],
)
def test_a_forbidden_import_is_found(file, line, complaint, tmp_path):
    path = tmp_path / "bert_numpy" / file
    path.parent.mkdir(parents=True)
    path.write_text(f"import numpy, math, regex\ndef f():\n    import matplotlib.pyplot\n{line}\n")
    assert list(violations(path, tmp_path / "bert_numpy")) == [complaint]


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES])
def test_no_global_random_state_no_print_and_no_star(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    text = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.ImportFrom))}
    allowed = {"np.random.Generator", "np.random.default_rng"}
    found = {t for t in text if t.startswith("np.random.") and t not in allowed and not t.startswith(tuple(allowed))}
    assert found == set()
    assert not [t for t in text if t.endswith("import *")]
    if "cli" not in path.relative_to(ROOT).parts:
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        assert not [call for call in calls if call.func.id == "print"]
