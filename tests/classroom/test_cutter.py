"""Stubs: the signature and the docstring stay, and nothing that the student has no use for."""

import ast
import dataclasses
import re

from exercise_kits import library_code

from bert_numpy.classroom.catalogue import CHAPTERS, find
from bert_numpy.classroom.cutter import imports, stub_message, stubs


def test_a_stub_says_nothing_of_what_is_not_asked_for():
    text = stubs([find("learn_pieces")])
    assert "heap" not in text
    assert ast.get_docstring(ast.parse(text).body[0]).split("\n")[:3] == [
        "Return `tokens` and the pieces that are learned by joining them, up to `vocab_size`.",
        "",
        "Parameters",
    ]
    text = stubs([find("get_entities")])
    assert "IOB2" not in text
    assert "Raises" not in text
    assert "[('PER', 0, 1), ('LOC', 3, 3)]" in text
    one_section = dataclasses.replace(find("get_entities"), omits=("Parameters", "Returns", "Raises", "Examples"))
    assert '    """The entities of one sentence."""\n' in stubs([one_section])


def test_a_class_tells_only_what_is_needed():
    words = find("BasicTokenizer.words")
    assert "in the class of the same name in basic.py: chunk_pattern, normalize.\n" in stubs(
        [words, find("BasicTokenizer.tokenize")]
    )
    assert "Given too" not in stubs([find("AdamW._rule")])


def test_a_stub():
    text = stubs([find("layer_norm_backward")])
    function = ast.parse(text).body[0]
    original = ast.parse(library_code("layer_norm_backward")).body[0]
    assert ast.dump(function.args) == ast.dump(original.args)
    assert ast.get_docstring(function) == ast.get_docstring(original)
    unpacking, error = (ast.unparse(line) for line in function.body[1:])
    assert unpacking.strip("(").replace(")", "") == "x_hat, rstd, weight = cache"
    assert error == f"raise NotImplementedError({stub_message(find('layer_norm_backward'))!r})"


def test_imports_give_helpers_and_no_solution():
    chapter = next(c for c in CHAPTERS if find("softmax_forward") in c.exercises)
    given = "\n".join(imports(chapter))
    assert "_rows" in given
    assert "_softmax" not in given
    assert not re.search(r"\bsoftmax_forward\b", given)
