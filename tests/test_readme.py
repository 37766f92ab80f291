"""The README's programs run as they stand, and its test command is the one that CI calls."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(program, folder):
    """Standard output of a program, in a process of its own."""
    path = folder / "program.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}", encoding="utf-8")
    command = [sys.executable, "-W", "error", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_every_program_runs_and_prints(program, tmp_path):
    assert run(program, tmp_path)


def test_there_are_two_programs_and_the_second_lowers_the_loss(tmp_path):
    assert len(PROGRAMS) == 2
    losses = [float(line.split()[1]) for line in run(PROGRAMS[1], tmp_path).splitlines()]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)


def test_the_lengths_it_promises():
    assert len(PROGRAMS[0].strip().splitlines()) <= 10
    assert len(PROGRAMS[1].strip().splitlines()) <= 15


def test_every_file_it_names_exists():
    named = re.findall(r"`(?:bert_numpy/)?((?:models|nn|tokenization|verification)/[\w./]*|configuration\.py)`", README)
    assert len(named) > 8
    for name in named:
        assert (ROOT / "bert_numpy" / name).exists(), name
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", README, flags=re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, heading = target.partition("#")
        assert (ROOT / path).exists(), target
        assert not heading or heading in headings, target


def test_ci_calls_the_commands_of_the_readme():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ('-m pip install ".[test]"', "-m pytest"):
        assert command in README
        assert command.replace(" install ", " install -q ") in ci or command in ci
