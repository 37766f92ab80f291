"""The package as a whole: its public face, what importing costs, and what an installed wheel holds."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import bert_numpy

CHECKOUT = Path(__file__).resolve().parents[1]


def test_every_public_name_is_there_and_documented():
    assert len(bert_numpy.__all__) == len(set(bert_numpy.__all__)) > 9
    for name in bert_numpy.__all__:
        assert getattr(bert_numpy, name).__doc__, name


@pytest.mark.parametrize("name", [name for name in bert_numpy.__all__ if name.startswith("Auto")])
def test_auto_names_are_the_classes_of_bert(name):
    """`AutoModelForMaskedLM` is `BertForMaskedLM`: a wrong line among the aliases would go unnoticed."""
    expected = name.replace("AutoModelFor", "BertFor").replace("Auto", "Bert")
    assert getattr(bert_numpy, name) is getattr(bert_numpy, expected)


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert bert_numpy.verification.arrays.rms is not None
    assert set(bert_numpy.__all__) <= set(dir(bert_numpy))
    with pytest.raises(AttributeError, match="module 'bert_numpy' has no attribute 'BertForNothing'"):
        _ = bert_numpy.BertForNothing
    with pytest.raises(ImportError, match="cannot import name 'BertForNothing'"):
        from bert_numpy import BertForNothing  # noqa: F401


def test_importing_brings_in_nothing_but_numpy_and_the_standard_library():
    code = (
        "import sys, numpy, numpy.random; before = set(sys.modules); from bert_numpy import *;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert set(found.stdout.split()) <= {"bert_numpy", "numpy"}


def test_importing_takes_little_longer_than_importing_numpy():
    """At most 30 ms of processor time: the least of several runs, since other work on the machine only adds to it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def clock():
        if sys.platform == "win32":
            return time.perf_counter()
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def seconds(code):
        start = clock()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT, env=environment)
        return clock() - start

    seconds("import bert_numpy")  # writes the compiled files
    runs = [(seconds("import numpy"), seconds("import bert_numpy")) for _ in range(12)]
    numpy_alone, both = (min(times) for times in zip(*runs, strict=True))
    assert both - numpy_alone < 0.03


@pytest.mark.slow
def test_an_installed_wheel_finds_the_weights_that_ship(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(CHECKOUT)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert {name.partition("/")[0] for name in names} == {
        "bert_numpy",
        f"bert_numpy-{bert_numpy.__version__}.dist-info",
    }
    assert "bert_numpy/weights/tiny-random/model.safetensors" in names
    assert not [name for name in names if "__pycache__" in name or "tests" in name]

    code = f"import sys; sys.path.insert(0, {str(site)!r}); from bert_numpy.cli import main; sys.exit(main(['verify']))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "880 of 880 arrays equal" in done.stdout


def test_the_citation_names_the_version():
    citation = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {bert_numpy.__version__}\n" in citation
