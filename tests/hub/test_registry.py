"""The registry: well-formed, and in agreement with itself."""

import json
import re

import pytest

from bert_numpy.hub import HubError, known_models, registry, shipped_models, weights_folder
from bert_numpy.hub.layout import is_file_name, is_repo

MODELS = known_models()
IDS = [model.name for model in MODELS]


def test_names_and_aliases_are_unique():
    names = [name for model in MODELS for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names))
    assert not set(names) & set(shipped_models())
    assert all(is_file_name(part) for name in names for part in name.split("/"))


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_an_entry_is_well_formed(model):
    assert (model.repo is None) != (model.url is None)
    if model.repo:
        assert is_repo(model.repo)
    else:
        assert re.fullmatch(r"https://storage\.googleapis\.com/bert_models/20\d\d_\d\d_\d\d/[^/]+\.zip", model.url)
        assert model.url.endswith(f"/{model.name}.zip")
    assert model.revision is None or re.fullmatch("[0-9a-f]{40}", model.revision)
    for file, pin in model.files.items():
        assert is_file_name(file)
        assert pin.size is None or (isinstance(pin.size, int) and pin.size > 0)
        assert pin.sha256 is None or re.fullmatch("[0-9a-f]{64}", pin.sha256)
    assert model.details["licence"]
    assert model.details["what"]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_parameter_counts_follow_from_the_sizes(model):
    L, H, A, V = (model.details["sizes"][size] for size in ("layers", "hidden", "heads", "vocabulary"))
    I, P = 4 * H, 512  # noqa: E741  # the letters of the paper
    assert H % A == 0
    norm = 2 * H
    embeddings = (V + P + 2) * H + norm
    layer = 4 * (H * H + H) + norm + (H * I + I) + (I * H + H) + norm
    pooler = H * H + H
    heads = pooler + norm + V + 2 * H + 2  # transform, its norm, output bias; next sentence
    counts = model.details["parameters"]
    assert counts["BertModel"] == embeddings + L * layer + pooler
    assert counts["BertForPreTraining"] in (None, counts["BertModel"] + heads)
    size = model.files.get("model.safetensors", registry.Pin()).size
    if size:
        stored = counts["BertForPreTraining"] or counts["BertModel"]
        assert 0 < size - 4 * stored < 200_000, "float32, and a header"


def test_every_published_model_is_known():
    names = {name for model in MODELS for name in (model.name, *model.aliases)}
    small = [(L, H) for L in (2, 4, 6, 8, 10, 12) for H in (128, 256, 512, 768)]
    assert names >= {f"google/bert_uncased_L-{L}_H-{H}_A-{H // 64}" for L, H in small}
    kinds = ("base-uncased", "base-cased", "large-uncased", "large-cased", "base-chinese", "base-multilingual-cased")
    assert names >= {f"bert-{kind}" for kind in kinds}
    assert names >= {"bert-large-uncased-whole-word-masking", "all-MiniLM-L6-v2", "uncased_L-12_H-768_A-12"}


def test_references_have_values_of_the_shape_that_they_name():
    kinds = {
        "last_hidden_state": ("rows", "columns"),
        "token_vectors": ("tokens", "columns"),
        "fill_mask_probabilities": ("tokens",),
        "fill_mask_logits": ("tokens",),
    }
    references = {model.name: model.details["references"] for model in MODELS if "references" in model.details}
    assert set(references) == {"google-bert/bert-base-uncased", "google-bert/bert-base-chinese"}
    for reference in [reference for several in references.values() for reference in several]:
        shape = [len(reference[axis]) for axis in kinds[reference["kind"]]]
        values = reference["values"]
        assert [len(values), *({len(row) for row in values} if len(shape) == 2 else ())] == shape
        assert 0 < reference["tolerance"] <= 1e-4
        assert reference["source"]
        assert ("text" in reference) != ("input_ids" in reference)


def test_the_file_says_nothing_twice():
    text = (weights_folder() / "registry.json").read_text(encoding="utf-8")

    def no_duplicates(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=no_duplicates)
    assert max(map(len, text.splitlines())) <= 140


def test_a_damaged_registry_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "weights_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="install bert-numpy again"):
        known_models()
    for content in ("", "[]", '{"models": [{}]}', '{"models": [{"name": 1}]}'):
        (tmp_path / "registry.json").write_text(content)
        with pytest.raises(HubError, match="is damaged"):
            known_models()
