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
        "which is not allowed here",
    ),
    "writes elsewhere": (body(f"open({str(Path(__file__).with_name('stolen'))!r}, 'w')"), "tried to write to"),
    "removes a file": (body("import os\nos.remove('request.pickle')"), "remove a file"),
    "removes a file elsewhere": (body(f"import os\nos.remove({SOURCE_FILE + '.not'!r})"), "remove a file"),
    "removes it by another name": (
        body("import os\nos.remove(os.path.abspath('.') + '/./given.zip')"),
        "remove a file",
    ),
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
    "starts the debugger": (body("import pdb\npdb.set_trace()\nreturn x, None"), "nobody is at the keyboard"),
    "starts a process": (body("import subprocess\nsubprocess.run(['ls'])"), "start a process"),
    "starts a shell": (body("import os\nos.system('ls')"), "start a process"),
    "uses the network": (body("import socket\nsocket.socket()"), "use the network"),
    "calls machine code": (body("import ctypes\nctypes.pythonapi.Py_Exit"), "call machine code"),
    "looks for the guard": (body("import gc\ngc.get_objects()"), "search the objects"),
    "rewrites a function's code": (body("f = lambda: 0\nf.__code__ = (lambda: 1).__code__"), "replace the code"),
    "takes another interpreter": (body("import _xxsubinterpreters"), "_xxsubinterpreters is not at hand here"),
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
    "forges it with an archive that is none": (
        body(
            "import os, json, zipfile\n"
            "with zipfile.ZipFile('result.npz', 'w', zipfile.ZIP_DEFLATED) as f: f.writestr('a0.npy', bytes(1000))\n"
            "data = bytearray(open('result.npz', 'rb').read())\ndata[36:40] = b'\\xff\\xff\\xff\\xff'\n"
            "open('result.npz', 'wb').write(data)\n"
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


MORE = {  # what the guard is not told of by itself
    "reaches out of the process": (
        body("import os\nos.setpriority(os.PRIO_PROCESS, 0, 5)"),
        "os.setpriority is not at",
    ),
    "reaches out by posix": (body("import posix\nposix.mkfifo('pipe')"), "posix.mkfifo is not at hand here"),
    "reaches out by a new posix": (
        body("import _imp, posix\n_imp.create_builtin(posix.__spec__).mkfifo('pipe')"),
        "_imp.create_builtin is not at hand here",
    ),
    "reaches out by os again": (
        body("import importlib, os\nimportlib.reload(os)\nos.mkfifo('pipe')"),
        "mkfifo is not at hand here",
    ),
    "reaches out by what os can do": (
        body("import os\nraise ValueError([f for f in os.supports_dir_fd if f.__name__ in ('mkfifo', 'mknod')])"),
        "ValueError: []",
    ),
    "reaches out by signals": (
        body("import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)"),
        "is not at hand here",
    ),
    "reaches out by memory": (body("import os\nos.memfd_create('more')"), "os.memfd_create is not at hand here"),
    "shares memory": (body("import _posixshmem"), "_posixshmem is not at hand here"),
    "shares memory in spite of all": (
        body("import sys\nsys.meta_path[:] = sys.meta_path[1:]\nimport _posixshmem"),
        "it tried to import _posixshmem",
    ),
    "shares memory by another name": (
        body(
            "import glob, sysconfig\nfrom importlib import util\n"
            "(path,) = glob.glob(sysconfig.get_config_var('DESTSHARED') + '/_posixshmem*')\n"
            "util.module_from_spec(util.spec_from_file_location('mine._posixshmem', path))"
        ),
        "it tried to import _posixshmem",
    ),
    "opens a database": (body("import sqlite3\nsqlite3.connect(':memory:')"), "_sqlite3 is not at hand here"),
    "draws a window": (body("import _tkinter\n_tkinter.create()"), "_tkinter is not at hand here"),
    "writes to the log": (body("import syslog\nsyslog.syslog('x')"), "syslog is not at hand here"),
    "raises its limits": (
        body("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))"),
        "change its limits",
    ),
    "starts workers": (body("import multiprocessing\nmultiprocessing.Pool(2)"), "a check starts no other processes"),
    "starts workers of concurrent": (
        body("from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor(2)"),
        "a check starts no other processes",
    ),
    "starts a Process": (body("import multiprocessing as m\nm.Process(target=print).start()"), "start a process"),
    "lists a folder": (body(f"import os\nos.listdir({str(PACKAGE.parent.parent)!r})"), "list the folder"),
    "lists what is above": (body("import glob\nglob.glob('../*')"), "list a folder by a path that climbs up"),
    "brings machine code": (
        body(
            "from importlib import util\nimport numpy.linalg._umath_linalg as compiled\n"
            "open('mine.so', 'wb').write(open(compiled.__file__, 'rb').read())\n"
            "util.module_from_spec(util.spec_from_file_location('_umath_linalg', 'mine.so'))"
        ),
        "load machine code",
    ),
    "breaks json": (RIGHT + "\nimport json\njson.encoder.JSONEncoder.encode = None", "could not be written down"),
    "breaks savez": (RIGHT + "\nnp.lib.format.write_array = None", "could not be written down"),
    "breaks builtins": (
        RIGHT + "\nimport builtins\nbuiltins.len = builtins.type = builtins.str = builtins.BaseException = None",
        "it broke off: TypeError",
    ),
    "breaks off": (body("raise KeyboardInterrupt"), "it broke off: KeyboardInterrupt"),
    "breaks off with its own error": (
        body("class Mine(BaseException):\n    __str__ = None\nraise Mine"),
        "it broke off",
    ),
    "raises what cannot be said": (
        body("class Mine(Exception):\n    def __str__(self): return self.no_such\nraise Mine"),
        "Mine (layer_norm.py, line 6)",
    ),
    "returns too much": (body("return np.ones(10**7), None"), "what came of it could not be written down: OSError"),
    "breaks off at import": ("raise GeneratorExit('no')", "it broke off: GeneratorExit: no"),
    "ends like BLAS without memory": (
        body(
            "import os\nprint('x' * 5000)\n"
            "print('OpenBLAS error: Memory allocation still failed after 10 retries, giving up.', flush=True)\n"
            "os._exit(1)"
        ),
        "it needs more than 2,000 MB of memory",
    ),
    "has no room for threads": (
        body('raise RuntimeError("can\'t start new thread")'),
        "no room for more of them, or no memory is left",
    ),
}
if sys.platform != "linux":
    MORE = {
        name: case
        for name, case in MORE.items()
        if not name.startswith(("reaches", "shares", "raises", "writes", "returns"))
    }
if "_posixshmem" in sys.builtin_module_names:  # it is in no file
    MORE = {name: case for name, case in MORE.items() if not name.startswith("shares memory ")}
HOSTILE.update(MORE)
RARE = ("opens it", "climbs", "starts the", "removes", "makes", "uses", "looks", "rewrites", "takes", "forges it")
RARE += ("reaches out by", "shares", "starts workers of", "starts a P", "lists what", "breaks off ", "writes to")
SLOW = {name for name in HOSTILE if name.startswith(RARE)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in HOSTILE])
def test_a_hostile_submission_gets_a_reason(name):
    source, reason = HOSTILE[name]
    outcome = outcome_of(source)
    said = outcome.reason or "; ".join(dict.fromkeys(observation.error for observation in outcome.observations))
    assert not passes(outcome)
    assert reason in said
    assert len(said) < 1000
    assert said.isprintable()
    assert "does it replace" not in said or name.startswith("breaks ")
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
        "import unittest.mock, uuid, warnings\n"
        "import numpy as np\n"
        "np.testing.assert_allclose(np.linalg.inv(np.eye(3)), np.eye(3))\n"
        "np.random.default_rng().standard_normal(3), np.fft.fft(np.ones(4)), np.polynomial.Polynomial([1])\n"
        "@dataclasses.dataclass\nclass Pair:\n    x: np.ndarray\n    y: float = 0.0\n"
        "Pair(np.ones(1)), typing.get_type_hints(Pair), time.time(), uuid.uuid4(), datetime.datetime.now()\n"
        "warnings.warn('a warning')\n"
        "logging.warning('a warning')\n"
        "with tempfile.TemporaryFile() as one, tempfile.NamedTemporaryFile() as two: one.write(b'1'), two.write(b'2')\n"
        "pathlib.Path('mine.txt').write_text('x'), pathlib.Path('mine.txt').unlink()\n"
        "doctest.run_docstring_examples('>>> 1 + 1\\n2', {})\n"
        "timeit.timeit('1', number=1)\n"
        "if __name__ == '__main__':\n    raise RuntimeError('what is tried out below stays out')\n\n" + RIGHT
    )
    assert passes(outcome), outcome
    assert outcome.cell_errors == ()


SHOWING = (
    "import inspect, logging, threading, traceback, warnings",
    "inspect.stack(), traceback.print_stack(), logging.warning('seen', stack_info=True), warnings.warn('a warning')",
    "try:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc(), logging.exception('seen')",
    "class Leaving:\n    def __del__(self): 1 / 0",
    "Leaving()",
    "thread = threading.Thread(target=lambda: 1 / 0)",
    "try:\n    thread.start(), thread.join()\nexcept RuntimeError:\n    pass  # whoever is not root gets no thread",
)


def test_errors_may_be_shown():
    """Frames of the harness are on the stack, and nothing may read its source: tracebacks do without."""
    source, function = RIGHT.partition("def layer_norm_forward")[::2]
    outcome = outcome_of("\n".join([source, *SHOWING, f"def layer_norm_forward{function}"]))
    assert passes(outcome), outcome
    assert outcome.cell_errors == ()
    assert outcome.printed.count("ZeroDivisionError") >= 3


def test_helpers_stay_whatever_they_are_called():
    """Only what other exercises of the same file ask for is replaced by the library's."""
    helper = "def relative_error(x): return x - x.mean(-1, keepdims=True)\n"  # an exercise of another chapter
    function = SIGNATURE + (
        "    centred = relative_error(x)\n"
        "    rstd = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)\n"
        "    return centred * rstd * weight + bias, None"
    )
    outcome = outcome_of(HEAD + helper + function)
    assert passes(outcome), outcome
    backward, answers = find("layer_norm_backward"), Answers(find("layer_norm_backward"), seed=3)
    uses = "def layer_norm_backward(dy, cache): return layer_norm_forward.__module__\n"
    outcome = SANDBOX.run(backward, [CodeCell("layer_norm.py", HEAD + function + "\n" + uses)], answers.calls)
    assert {o.outputs[""] for o in outcome.observations} == {"bert_numpy.nn.functional"}


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
    with pytest.raises(BadResultError, match="too many"):
        read_arrays(b"PK\x01\x02" * 30_000)
    with pytest.raises(BadResultError, match="no array"):
        read_arrays(archive(b"hello"))
    with pytest.raises(BadResultError, match="no archive"):
        read_arrays(b"hello")
