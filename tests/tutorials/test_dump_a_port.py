"""The guide to dumps: its programs run as they stand, its report is the one that is printed, its names are known."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bert_numpy import cli
from bert_numpy.hub import find_model
from bert_numpy.verification.reference import load_reference

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "tutorials" / "dump_a_port.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, flags=re.DOTALL)
MODEL = find_model("tiny-random")


def block(kind, mark):
    """The one block of a kind that holds a mark, with the model wherever it is."""
    (found,) = [text for of_kind, text in BLOCKS if of_kind == kind and mark in text]
    return found.replace("weights/tiny-random", MODEL.as_posix())


def run_python(text, folder):
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{text}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False)


def verify(port, capsys):
    code = cli.main(["verify", str(MODEL), "--port", str(port)])
    return code, capsys.readouterr().out


def without_numbers(text):
    """A report, its numbers and their widths left out."""
    text = text.replace(str(MODEL), "weights/tiny-random").replace(MODEL.as_posix(), "weights/tiny-random")
    return re.sub(r" +", " ", re.sub(r"\d+(\.\d+)?(e[-+]\d+)?", "#", text)).strip()


def test_the_port_by_hand_runs_and_its_report_is_the_one_shown(tmp_path, capsys):
    done = run_python(block("python", "tap(query"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    code, out = verify(tmp_path / "port.npz", capsys)
    assert code == 1
    out = re.sub(r"port       [^,]+", "port       port.npz", out)
    assert without_numbers(out) == without_numbers(block("text", "reference"))
    assert "[LayerNorm epsilon 1e-05]" in out
    assert "[LayerNorm epsilon 1e-05]" in block("text", "reference")


def test_the_mistake_mended_the_port_passes(tmp_path, capsys):
    assert run_python(block("python", "tap(query").replace("1e-5", "1e-12"), tmp_path).returncode == 0
    assert verify(tmp_path / "port.npz", capsys)[0] == 0


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_program_in_c_writes_a_dump(tmp_path, capsys):
    (tmp_path / "port.c").write_text(block("c", "fwrite"))
    subprocess.run(["cc", "-Wall", "-Werror", "-o", "port", "port.c"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "port")], cwd=tmp_path, check=True)
    code, out = verify(tmp_path / "port.json", capsys)
    assert code == 1
    assert out.splitlines()[-1].startswith("DIFFERENT: first at embeddings, ")


def test_every_name_of_the_table_is_a_tap():
    reference = load_reference("tiny-random")
    taps = [step.tap for step in reference.steps]
    table = GUIDE[GUIDE.index("| name, after") : GUIDE.index("Before them are")]
    named = [name for row in table.strip().splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])]
    named = ["attention.self" + name if name.startswith(".") else name for name in named if name != "encoder.layer.3."]
    own = {step.tap.removeprefix("encoder.layer.1.") for step in reference.steps if step.unit == "encoder.layer.1"}
    assert set(named) == {name for name in own if not name.endswith("dropout")}
    before = GUIDE[GUIDE.index("Before them are") : GUIDE.index("The gradient of X")]
    others = set(re.findall(r"`([\w.]+)`", before)) - {"classifier", "qa_outputs"}
    others = {"embeddings" + name if name.startswith(".") else name for name in others}
    assert len(others) > 7
    assert others.issubset(taps)


def test_goldens_are_read_as_the_guide_says(tmp_path):
    program = block("python", "rounded").replace("safetensors.numpy", "bert_numpy.checkpoints")
    done = run_python(program, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    wrong = program.replace('float32/embeddings.add"]}', 'float32/embeddings.add"] + 1e-5}')
    assert wrong != program
    assert "AssertionError: embeddings.add" in run_python(wrong, tmp_path).stderr


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "sh"])
def test_commands_are_those_of_the_command_line(text):
    parser = cli.main.__globals__["build_parser"]()
    for line in text.strip().splitlines():
        name, *arguments = line.split()
        assert name == "bert-numpy"
        assert parser.parse_args(arguments).command in ("verify", "export-goldens")


@pytest.mark.reference
def test_the_programs_with_torch_write_dumps_that_pass(tmp_path, capsys):
    first, second = block("python", "register_forward_hook"), block("python", "next_sentence_label")
    for program in (first, first + second):
        done = run_python(program, tmp_path)
        assert done.returncode == 0, done.stderr
        code, out = verify(tmp_path / "port.npz", capsys)
        assert (code, ".grad" in program) == (0, program != first)
        tensors = int(re.search(r"equal: all (\d+) tensors", out)[1])
        assert tensors > (70 if program != first else 30)


@pytest.mark.reference
def test_goldens_are_read_by_the_library_of_the_format(tmp_path):
    done = run_python(block("python", "rounded"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
