"""Make the notebooks beside the tutorials, or check that they are up to date.

python tutorials/make_notebooks.py                    all of them
python tutorials/make_notebooks.py 05_attention       one
python tutorials/make_notebooks.py --check            write nothing; exit with 1 if a notebook would differ

Each tutorial runs in a fresh process, with warnings as errors.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bert_numpy.classroom.notebook import compare, execute_apart, read_notebook, write_notebook

FOLDER = Path(__file__).resolve().parent
LARGEST = 300_000  # bytes of a notebook


def scripts(names: list[str]) -> list[Path]:
    """The tutorials named, or all; ValueError if there is none of a name."""
    known = {path.stem: path for path in sorted(FOLDER.glob("[0-9][0-9]_*.py"))}
    wanted = [Path(name).stem for name in names] or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"there is no tutorial {unknown[0]!r}; there are {', '.join(known) or 'none'}")
    return [known[name] for name in wanted]


def make(script: Path, time_limit: float) -> list[str]:
    """Write the notebook of a tutorial; return what is wrong with it."""
    target = script.with_suffix(".ipynb")
    write_notebook(execute_apart(script, time_limit), target)
    size = target.stat().st_size
    return [f"{size:,} bytes, more than {LARGEST:,}: make its pictures smaller"] if size > LARGEST else []


def check(script: Path, time_limit: float) -> list[str]:
    """Run a tutorial; return how its notebook differs."""
    target = script.with_suffix(".ipynb")
    if not target.exists():
        return ["there is no notebook"]
    return compare(read_notebook(target), execute_apart(script, time_limit))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the notebooks beside the tutorials.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 05_attention; all if none is named")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a notebook would differ")
    parser.add_argument("--time-limit", type=float, default=60.0, metavar="SECONDS", help="for each (default 60)")
    options = parser.parse_args(arguments)
    try:
        chosen = scripts(options.names)
    except ValueError as error:
        parser.error(str(error))
    failed = False
    for script in chosen:
        try:
            problems = (check if options.check else make)(script, options.time_limit)
        except (RuntimeError, ValueError) as error:
            problems = str(error).splitlines()
        failed |= bool(problems)
        print(f"{script.stem}: {'as it should be' if not problems else ''}".rstrip())
        for problem in problems:
            print(f"    {problem}")
    if failed and options.check:
        print("make them again: python tutorials/make_notebooks.py")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
