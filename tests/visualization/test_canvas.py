"""The empty figure: shown by Jupyter, written without a version, drawn without pyplot."""

import struct
import subprocess
import sys

from matplotlib.image import imread

from bert_numpy.visualization import new_figure, png_bytes, save_figure


def chunks(png):
    """The names of the parts of a PNG."""
    names, place = [], 8
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        names.append(png[place + 4 : place + 8].decode())
        place += 12 + size
    return names


def test_a_png_holds_pixels_and_nothing_else():
    figure = new_figure(2.0)
    figure.add_subplot().plot([1, 2])
    assert set(chunks(png_bytes(figure))) == {"IHDR", "pHYs", "IDAT", "IEND"}


def test_what_jupyter_asks_for_is_the_file(tmp_path):
    figure = new_figure(2.0, width=3.0)
    save_figure(figure, tmp_path / "a.png")
    assert figure._repr_png_() == (tmp_path / "a.png").read_bytes()
    assert imread(tmp_path / "a.png").shape[:2] == (200, 300)


def test_neither_pyplot_nor_a_window_is_needed():
    code = (
        "import sys, bert_numpy.visualization as v; early = 'matplotlib' in sys.modules;"
        "v.png_bytes(v.new_figure(1.0)); print(early, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
