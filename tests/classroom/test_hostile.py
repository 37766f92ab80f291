"""Submissions that want points without computing, or to stop the grader: each ends with a reason."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import bert_numpy
from bert_numpy.classroom.catalogue import find
from bert_numpy.classroom.comparing import Answers, differences
from bert_numpy.classroom.sandbox import Limits, Sandbox
from bert_numpy.classroom.source import source_of
from bert_numpy.classroom.submission import CodeCell

PACKAGE = Path(bert_numpy.__file__).parent
EXERCISE = find("layer_norm_forward")
ANSWERS = Answers(EXERCISE, seed=3)
CALLS, EXPECTED = ANSWERS.calls, ANSWERS.right
SANDBOX = Sandbox(Limits(seconds=8, output=100_000))
HEAD = "import numpy as np\ndef _rows(x): return x.reshape(-1, x.shape[-1])\n"
RIGHT = HEAD + source_of(EXERCISE).text
SIGNATURE = "def layer_norm_forward(x, weight, bias, eps=1e-12):\n"
needs_resource = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the system has no limit of memory")


def outcome_of(source, sandbox=SANDBOX):
    return sandbox.run(EXERCISE, [CodeCell("layer_norm.py", source)], CALLS)


def passes(outcome):
    return bool(outcome.observations) and not differences(CALLS, EXPECTED, outcome.observations)


def test_an_honest_submission_passes():
    outcome = outcome_of(RIGHT)
    assert passes(outcome), outcome.reason


def body(text):
    return HEAD + SIGNATURE + "\n".join("    " + line for line in text.split("\n"))


SOURCE_FILE = str(PACKAGE / "nn" / "functional.py")
HOSTILE = {
    "sys.exit in the function": (body("import sys\nsys.exit(0)"), "SystemExit"),
    "os._exit": (body("import os\nos._exit(0)"), "ended the process (exit code 0)"),
    "os._exit at import": ("import os\nos._exit(3)", "ended the process (exit code 3)"),
    "opens the source": (body(f"open({SOURCE_FILE!r}).read()"), "read the library's own source"),
    "opens the source in spite of all": (
        body(f"try:\n    open({SOURCE_FILE!r})\nexcept BaseException:\n    pass\nreturn x, None"),
        "read the library's own source",
    ),
    "opens it as bytes": (body(f"open({SOURCE_FILE.encode()!r})"), "read the library's own source"),
    "opens it by os.open": (body(f"import os\nos.open({SOURCE_FILE!r}, os.O_RDONLY)"), "the library's own source"),
    "climbs": (body(f"open({str(PACKAGE.parent / 'x' / '..' / 'bert_numpy' / 'configuration.py')!r})"), "climbs up"),
    "opens its folder": (body(f"import os\nos.open({str(PACKAGE.parent)!r}, os.O_RDONLY)"), "tried to read"),
    "imports the real package": (
        body(
            "import sys\nsys.path.pop(0)\nfor m in list(sys.modules):\n    if 'bert' in m: sys.modules.pop(m)\n"
            f"sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
            "from bert_numpy.nn.functional import layer_norm_forward as f\nreturn f(x, weight, bias, eps)"
        ),
        "read the library's own source",
    ),
    "writes elsewhere": (body(f"open({str(Path(__file__).with_name('stolen'))!r}, 'w')"), "tried to write to"),
    "removes a file": (body("import os\nos.remove('request.pickle')"), "remove a file"),
    "makes a link": (body(f"import os\nos.symlink({SOURCE_FILE!r}, 'here')"), "make a link"),
    "opens what it runs beside": (
        body("import bert_numpy\nfrom pathlib import Path\nPath(bert_numpy.__file__).read_text()"),
        "read the library's own source",
    ),
    "asks": (
        body("input('x?')"),
        "nobody is at the keyboard during a check",
    ),
    "stops in the debugger": (body("breakpoint()"), "nobody is at the keyboard during a check"),
    "starts the debugger": (body("import pdb\npdb.set_trace()"), "wait in the debugger for somebody at the keyboard"),
    "starts a process": (body("import subprocess\nsubprocess.run(['ls'])"), "start a process"),
    "starts a shell": (body("import os\nos.system('ls')"), "start a process"),
    "uses the network": (body("import socket\nsocket.socket()"), "use the network"),
    "calls machine code": (body("import ctypes\nctypes.pythonapi.Py_Exit"), "call machine code"),
    "looks for the guard": (body("import gc\ngc.get_objects()"), "search the objects"),
    "rewrites a function's code": (body("f = lambda: 0\nf.__code__ = (lambda: 1).__code__"), "replace the code"),
    "takes another interpreter": (body("import _testcapi"), "import _testcapi"),
    "prints without end": (body("while True:\n    print('x' * 10000)"), "printed more than"),
    "is no Python": ("def layer_norm_forward(x:", "layer_norm_forward is not defined; SyntaxError"),
    "is something else": ("layer_norm_forward = 3", "is no function but int"),
    "forges the result": (
        body("import os\nopen('result.json', 'w').write('{\"cells\": [], \"observations\": []}')\nos._exit(0)"),
        "cannot be read",
    ),
    "forges it with objects": (
        body(
            "import os, json\nnp.savez('result.npz', a0=np.array([{}], dtype=object))\n"
            "o = {'outputs': {'': {'array': 'a0'}}, 'arguments': {}}\n"
            "open('result.json', 'w').write(json.dumps({'cells': [], 'observations': [o] * 6}))\nos._exit(0)"
        ),
        "cannot be read",
    ),
    "says nonsense in the result": (
        body("import os\nopen('result.json', 'w').write('[' * 100000)\nos._exit(0)"),
        "cannot be read",
    ),
}


RARE = ("opens it", "climbs", "starts the", "removes", "makes", "uses", "looks", "rewrites", "takes", "forges it")
SLOW = {name for name in HOSTILE if name.startswith(RARE)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in HOSTILE])
def test_a_hostile_submission_gets_a_reason(name):
    source, reason = HOSTILE[name]
    outcome = outcome_of(source)
    said = outcome.reason or "; ".join(observation.error for observation in outcome.observations)
    assert not passes(outcome)
    assert reason in said
    assert len(said) < 1000
    assert said.isprintable()
    assert not Path(__file__).with_name("stolen").exists()


def test_nothing_that_it_patches_reaches_the_comparison():
    outcome = outcome_of(
        body(
            "import json, sys, builtins\n"
            "yes = lambda *a, **k: True\n"
            "np.allclose = np.array_equal = np.isclose = np.testing.assert_allclose = yes\n"
            "np.ndarray.__eq__ if False else None\n"
            "class Agreeable(np.ndarray):\n    __eq__ = __le__ = __lt__ = yes\n"
            "builtins.isinstance = builtins.type = builtins.len = builtins.abs = yes\n"
            "return np.zeros_like(x).view(Agreeable), None"
        )
    )
    assert not passes(outcome)


def test_the_solution_is_not_in_what_a_submission_runs_beside():
    outcome = outcome_of("from bert_numpy.nn.functional import layer_norm_forward\nimport numpy as np")
    assert {observation.kind for observation in outcome.observations} == {"stub"}
    outcome = outcome_of(
        body(
            "import inspect\nfrom bert_numpy.nn import functional as F\n"
            "raise RuntimeError(inspect.getsource(F.layer_norm_forward)[-60:])"
        )
    )
    assert "is what is asked for" in outcome.observations[0].error
    outcome = outcome_of(
        body(
            "from bert_numpy.nn.layers import LayerNorm\nlayer = LayerNorm(x.shape[-1], eps)\n"
            "layer.weight.data, layer.bias.data = weight, bias\nreturn layer.forward(x)"
        )
    )
    assert "is what is asked for" in outcome.observations[0].error


def test_guard_holds_when_builtins_are_replaced():
    outcome = outcome_of(
        body(
            "import builtins, os, posixpath\n"
            "builtins.type = builtins.len = builtins.str = lambda *a: str\n"
            "os.fsdecode = os.fspath = posixpath.abspath = lambda p: 'harmless'\n"
            f"open({SOURCE_FILE!r})"
        )
    )
    assert "read the library's own source" in outcome.reason


def test_a_path_that_is_not_what_it_seems_is_refused():
    outcome = outcome_of(
        body(
            "class Path(str):\n    def startswith(self, *a): return True\n"
            f"import os\nos.open(Path({SOURCE_FILE!r}), os.O_RDONLY)"
        )
    )
    assert "no plain path" in outcome.reason


def test_what_students_use_is_at_hand():
    outcome = outcome_of(
        "import collections, contextlib, copy, dataclasses, datetime, decimal, doctest, enum, fractions, functools\n"
        "import glob, inspect, itertools, json, logging, math, operator, pathlib, pprint, random, re\n"
        "import statistics, string, tempfile, textwrap, time, timeit, traceback, types, typing\n"
        "import unittest, uuid, warnings\n"
        "import numpy as np\n"
        "np.testing.assert_allclose(np.linalg.inv(np.eye(3)), np.eye(3))\n"
        "np.random.default_rng().standard_normal(3), np.fft.fft(np.ones(4)), np.polynomial.Polynomial([1])\n"
        "@dataclasses.dataclass\nclass Pair:\n    x: np.ndarray\n    y: float = 0.0\n"
        "Pair(np.ones(1)), typing.get_type_hints(Pair), time.time(), uuid.uuid4(), datetime.datetime.now()\n"
        "warnings.warn('a warning')\n"
        "logging.warning('a warning')\n"
        "timeit.timeit('1', number=1)\n"
        "if __name__ == '__main__':\n    raise RuntimeError('what is tried out below stays out')\n\n" + RIGHT
    )
    assert passes(outcome), outcome
    assert outcome.cell_errors == ()


def test_other_packages_fail_softly():
    cells = [
        CodeCell("a.ipynb, code cell 1", "import matplotlib.pyplot as plt"),
        CodeCell("a.ipynb, code cell 2", RIGHT),
    ]
    assert passes(SANDBOX.run(EXERCISE, cells, CALLS))


@pytest.mark.slow
def test_an_endless_loop_ends():
    stubborn = (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
    )
    loop = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    said = r"(2 seconds of computing|12 seconds on the clock)"  # whichever a busy machine reaches first
    for source in (body("while True: pass"), stubborn + loop):
        assert re.search(said, outcome_of(source, Sandbox(Limits(seconds=2))).reason)
    limits = Limits(seconds=1)
    reason = outcome_of(body("import time\ntime.sleep(1000)"), Sandbox(limits)).reason
    assert reason == f"it did not end within {limits.seconds_on_the_clock:g} seconds on the clock"


@needs_resource
def test_a_memory_hog_ends():
    hog = "y = [np.empty(2 * 10**7) for i in range(1000)]"  # 160 MB each, and never written to: quick to get
    for outcome in (outcome_of(body(hog)), outcome_of(body("return np.ones((10**6, 10**5)), None"))):
        assert "MemoryError" in outcome.observations[0].error, outcome.reason
    outcome = outcome_of(HEAD + hog)
    assert outcome.reason.startswith("layer_norm_forward is not defined; MemoryError")


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    outcome_of(body("open('notes.txt', 'w').write('x')\nreturn x, None"))
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_anybody_are_read_with_care():
    import io
    import zipfile

    from bert_numpy.classroom.sandbox import BadResultError, read_arrays

    def archive(content):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("a.npy", content)
        return file.getvalue()

    file = io.BytesIO()
    np.lib.format.write_array(file, np.arange(6.0).reshape(2, 3))
    assert np.array_equal(read_arrays(archive(file.getvalue()))["a"], np.arange(6.0).reshape(2, 3))
    with pytest.raises(BadResultError, match="too large"):
        read_arrays(archive(file.getvalue() + bytes(70_000_000)))
    with pytest.raises(BadResultError, match="what its header says"):
        read_arrays(archive(file.getvalue().replace(b"(2, 3)", b"(9, 9)")))
    with pytest.raises(BadResultError, match="what its header says"):
        read_arrays(archive(file.getvalue().replace(b"'<f8'", b"'|O' ")))
    with pytest.raises(BadResultError, match="no array"):
        read_arrays(archive(b"hello"))
    with pytest.raises(BadResultError, match="no archive"):
        read_arrays(b"hello")
