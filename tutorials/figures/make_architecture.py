"""Draw `architecture.png`: BERT's figure, each box with the file that holds it.

python tutorials/figures/make_architecture.py
"""

from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

matplotlib.use("Agg")

TEXT, FRAME = "#1b1f24", "#57606a"
COLOURS = {
    "text": "#fff3d6",
    "embedding": "#dbeafe",
    "attention": "#fde2cf",
    "norm": "#f7f3b0",
    "feed": "#d5efdb",
    "head": "#eadcf7",
    "file": "#ffffff",
}


def box(ax, x, y, width, height, label, colour, size=10, **text):
    """A rounded box with a label in its middle."""
    shape = FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=0.08", fc=colour, ec=FRAME, lw=1)
    ax.add_patch(shape)
    ax.text(x + width / 2, y + height / 2, label, ha="center", va="center", size=size, color=TEXT, **text)


def arrow(ax, start, end, style="-|>", **line):
    ax.annotate("", end, start, arrowprops={"arrowstyle": style, "color": FRAME, "lw": 1.2, **line})


def file(ax, top, bottom, name, what, lift=0.0):
    """The file to open, on the right, with a bracket over the boxes that it holds."""
    middle = (top + bottom) / 2
    ax.plot([6.4, 6.5, 6.5, 6.4], [top, top, bottom, bottom], color=FRAME, lw=1)
    ax.plot([6.5, 6.65], [middle, middle], color=FRAME, lw=1)
    middle += lift
    ax.text(6.8, middle + 0.14, name, size=10, family="monospace", weight="bold", color=TEXT, va="center")
    ax.text(6.8, middle - 0.17, what, size=8.5, color=FRAME, va="center")


def main():
    figure, ax = plt.subplots(figsize=(10, 11.5), dpi=110)
    ax.set(xlim=(0, 11.3), ylim=(-1.75, 11.4))
    ax.axis("off")
    ax.text(0.2, 11.15, "BERT, and the file that holds each box", size=14, weight="bold", color=TEXT)

    box(ax, 0.5, 9.45, 3.2, 1.2, "MLM, tags, answer spans\non every hidden state", COLOURS["head"], 9.5)
    box(ax, 3.9, 9.45, 2.1, 1.2, "NSP, classes,\nchoices", COLOURS["head"], 9.5)
    file(ax, 10.65, 9.45, "models/pretraining_heads.py", "MLM and NSP, with their losses", lift=0.3)
    ax.text(6.8, 9.89, "models/task_heads.py", size=10, family="monospace", weight="bold", color=TEXT, va="center")
    ax.text(6.8, 9.58, "tags, answer spans, classes, choices", size=8.5, color=FRAME, va="center")
    box(ax, 3.9, 8.5, 2.1, 0.6, "pooler\ntanh(W h_[CLS] + b)", COLOURS["embedding"], 9)
    file(ax, 9.1, 8.5, "models/bert.py", "BertPooler")
    arrow(ax, (4.95, 9.1), (4.95, 9.45))
    arrow(ax, (3.25, 8.2), (2.1, 9.45))
    ax.plot([3.25, 3.25, 4.95], [8.1, 8.25, 8.25], color=FRAME, lw=1.2)
    arrow(ax, (4.95, 8.25), (4.95, 8.5))
    ax.text(3.1, 8.12, "hidden states (B, S, H)", size=8.5, color=FRAME, va="center", ha="right")

    ax.add_patch(FancyBboxPatch((0.2, 3.75), 6.0, 4.1, "round,pad=0,rounding_size=0.1", fc="#f6f8fa", ec=FRAME, lw=1.2))
    ax.text(0.35, 7.6, "L layers", size=10, color=FRAME, weight="bold", va="center")
    file(ax, 7.85, 3.75, "models/encoder.py", "BertLayer, its parts, and BertEncoder")
    box(ax, 1.2, 6.85, 4.1, 0.5, "dense, dropout, + residual, LayerNorm", COLOURS["norm"], 9.5)
    box(ax, 1.2, 5.85, 4.1, 0.75, "feed-forward, H to I and back\nGELU(x Wᵀ + b)      (B, S, I)", COLOURS["feed"], 9.5)
    box(ax, 1.2, 4.95, 4.1, 0.5, "dense, dropout, + residual, LayerNorm", COLOURS["norm"], 9.5)
    box(ax, 1.2, 3.95, 4.1, 0.75, "self-attention, A heads\nsoftmax(Q Kᵀ / √D + mask) V", COLOURS["attention"], 9.5)
    for low, high in [(3.4, 3.95), (4.7, 4.95), (5.45, 5.85), (6.6, 6.85)]:
        arrow(ax, (3.25, low), (3.25, high))
    ax.plot([3.25, 3.25], [7.35, 8.1], color=FRAME, lw=1.2)
    for low, high in [(3.84, 5.2), (5.65, 7.1)]:
        ax.plot([3.25, 0.75, 0.75], [low, low, high], color=FRAME, lw=1.2)
        arrow(ax, (0.75, high), (1.2, high))

    box(ax, 0.5, 2.9, 5.5, 0.5, "sum, LayerNorm, dropout      (B, S, H)", COLOURS["norm"])
    for x, end, label in [(0.5, 2.6, "word"), (2.4, 3.25, "position"), (4.3, 3.9, "segment")]:
        box(ax, x, 2.0, 1.7, 0.5, label, COLOURS["embedding"])
        arrow(ax, (x + 0.85, 2.5), (end, 2.9))
    arrow(ax, (1.35, 1.6), (1.35, 2.0))
    arrow(ax, (5.15, 1.6), (5.15, 2.0))
    ax.text(3.25, 1.8, "0, 1, 2, …", size=8.5, color=FRAME, va="center", ha="center")
    ax.plot([6.0, 6.1, 6.1], [1.32, 1.32, 4.32], color=FRAME, lw=1, ls=":")
    arrow(ax, (6.1, 4.32), (5.3, 4.32), ls=":")
    ax.text(5.7, 4.45, "mask", size=8.5, color=FRAME, va="center", ha="center")
    file(ax, 3.4, 2.0, "models/bert.py", "BertEmbeddings; BertModel, the whole")
    box(ax, 0.5, 1.05, 5.5, 0.55, "ids, segments, mask   (B, S)", COLOURS["text"])
    file(ax, 1.6, 1.05, "models/inputs.py", "every input checked, once")
    arrow(ax, (3.25, 0.7), (3.25, 1.05))
    box(ax, 0.5, 0.15, 5.5, 0.55, "[CLS] my dog is cute [SEP] he likes play ##ing [SEP]", COLOURS["text"], 9.5)
    file(ax, 0.7, 0.15, "tokenization/", "text to word pieces and ids, and back")

    ax.plot([0.2, 11.1], [-0.25, -0.25], color=FRAME, lw=0.8)
    below = [
        ("nn/functional.py", "the mathematics of every box: op_forward, op_backward"),
        ("nn/layers.py", "Linear, LayerNorm, Embedding, Dropout, Activation"),
        ("nn/module.py", "parameters, their names and their gradients"),
        ("checkpoints/, models/pretrained.py", "weights from files and back"),
    ]
    for i, (name, what) in enumerate(below):
        y = -0.55 - 0.33 * i
        ax.text(0.35, y, name, size=10, family="monospace", weight="bold", color=TEXT, va="center")
        ax.text(4.6, y, what, size=9, color=FRAME, va="center")
    target = Path(__file__).with_name("architecture.png")
    figure.savefig(target, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


if __name__ == "__main__":
    main()
