"""Where a model is looked for, in which order, and what is said when it is not found."""

import os
import shutil
import subprocess
import sys

import pytest
from hub.fake_server import COMMIT, MODEL, index, write_cache

from bert_numpy.hub import HubError, ModelNotFoundError, cache, find_model, layout
from bert_numpy.hub.settings import from_environment

ALL = ("config", "tokenizer", "weights")


def test_a_folder_comes_first(tmp_path, monkeypatch, server, cache):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "model").mkdir(parents=True)
    assert find_model("org/model").as_posix() == "org/model"
    (tmp_path / "tiny-random").mkdir()
    assert find_model("tiny-random").as_posix() == "tiny-random"
    assert server.requests == []


def test_a_file_is_not_a_model(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(NotADirectoryError, match="give the folder"):
        find_model(path)


UNCLEAR = [
    "nowhere",
    "bert-large",
    "",
    "../x",
    "./org/model",
    "/nowhere/x",
    "C:\\x",
    "org\\model",
    "org/mo\0del",
    "a/b/c",
]
OUTSIDE = ["org/..", "a/b--c", "org/" + "x" * 300, "org/modèle", "org/model/", "~/model", "org/model\n"]


@pytest.mark.parametrize("name", [*UNCLEAR, *OUTSIDE])
def test_what_is_no_name_fails_without_the_network(name, server, cache):
    with pytest.raises(FileNotFoundError, match=r"no model .*: there is no such folder, and the models that ship are "):
        find_model(name)
    assert server.requests == []
    assert not cache.exists()


def test_a_path_is_never_a_name(server, cache):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_model(cache / "model")
    assert server.requests == []


def test_a_misspelt_name_is_told_the_right_one():
    with pytest.raises(ModelNotFoundError, match="did you mean bert-base-uncased"):
        find_model("bert-base-uncasd")


def test_the_cache_of_other_tools_is_read_and_nothing_downloaded(server, repository):
    snapshot = write_cache(repository, MODEL)
    found = find_model("org/model")
    assert found == snapshot
    assert {path.name: path.read_bytes() for path in found.iterdir()} == MODEL
    assert find_model("org/model", revision=COMMIT) == snapshot
    assert find_model("org/model", files=["weights"]) == snapshot
    assert server.requests == []


def test_shards_in_the_cache_are_all_needed(server, repository, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    two = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    files = {"model.safetensors.index.json": index(*two), two[0]: b"1"}
    snapshot = write_cache(repository, files)
    with pytest.raises(ModelNotFoundError, match=r"lacks model-00002-of-00002.safetensors"):
        find_model("org/model", files=["weights"])
    (snapshot / two[1]).write_bytes(b"2")
    assert find_model("org/model", files=["weights"]) == snapshot


def test_a_broken_link_counts_as_missing(server, repository, monkeypatch):
    write_cache(repository, MODEL)
    shutil.rmtree(repository / "blobs")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if not (repository / "snapshots" / COMMIT / "config.json").is_symlink():
        pytest.skip("no links on this system")
    with pytest.raises(ModelNotFoundError, match=r"lacks config.json"):
        find_model("org/model")


def test_known_models_are_found_under_their_old_names(cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot = write_cache(cache / "models--bert-base-uncased", MODEL)
    assert find_model("bert-base-uncased") == snapshot
    assert find_model("google-bert/bert-base-uncased") == snapshot


def test_the_pinned_revision_is_found_without_a_ref(cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pinned = "86b5e0934494bd15c9632b12f734a8a67f723594"
    snapshot = write_cache(cache / "models--google-bert--bert-base-uncased", MODEL, pinned, ref=None)
    assert find_model("bert-base-uncased") == snapshot


def test_a_bare_vocabulary_in_the_cache_is_not_taken_for_complete(server, repository, monkeypatch):
    """A cased model without its tokenizer_config.json would be read as an uncased one."""
    bare = {name: content for name, content in MODEL.items() if name != "tokenizer_config.json"}
    snapshot = write_cache(repository, bare)
    find_model("org/model", files=["config", "weights"])
    assert server.requests == []
    assert find_model("org/model") == snapshot
    assert (snapshot / "tokenizer_config.json").read_bytes() == MODEL["tokenizer_config.json"]


def test_a_bare_vocabulary_is_taken_where_the_server_has_no_settings_or_cannot_be_asked(
    server, repository, monkeypatch
):
    bare = {"vocab.txt": b"[PAD]\n"}
    snapshot = write_cache(repository, bare)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find_model("org/model", files=["tokenizer"]) == snapshot
    monkeypatch.delenv("HF_HUB_OFFLINE")
    del server.files["tokenizer_config.json"]
    assert find_model("org/model", files=["tokenizer"]) == snapshot
    asked = len(server.requests)
    assert asked
    find_model("org/model", files=["tokenizer"])
    assert len(server.requests) == asked, "that the server has none is kept"


@pytest.mark.parametrize("commit", ["../../../outside", "/etc", "", "x" * 300, "C:\\x"])
def test_a_ref_does_not_lead_out_of_the_cache(commit, server, repository, tmp_path):
    write_cache(repository, MODEL)
    shutil.rmtree(repository / "snapshots")
    (tmp_path / "outside").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert cache.Repository(repository.parent, "org/model").commit("main") is None


@pytest.mark.parametrize("revision", ["../x", "/x", "a\\b", "a//b", "", "a\0", "C:x", ".git"])
def test_a_revision_does_not_lead_out_of_the_cache(revision, server, cache):
    with pytest.raises(HubError, match="is no revision"):
        find_model("org/model", revision=revision)
    assert server.requests == []


def test_offline_the_message_says_where_was_looked_and_what_helps(server, cache, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("bert-base-uncased")
    for part in (
        "weights/",
        str(cache),
        "models--google-bert--bert-base-uncased",
        "HF_HUB_OFFLINE",
        "bert-numpy download",
    ):
        assert part in str(caught.value)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(ModelNotFoundError, match="download=False"):
        find_model("org/model", download=False)
    with pytest.raises(ModelNotFoundError, match="assets"):
        find_model("uncased_L-12_H-768_A-12", download=False)
    assert server.requests == []


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="the parts of a model are config, tokenizer, weights"):
        find_model("tiny-random", files=["model.safetensors"])


def test_the_environment_decides_where_the_cache_is():
    def folders(**variables):
        settings = from_environment(variables)
        return settings.cache.as_posix(), settings.assets.as_posix()

    home = os.path.expanduser("~").replace("\\", "/")
    assert folders() == (f"{home}/.cache/huggingface/hub", f"{home}/.cache/huggingface/assets")
    assert folders(XDG_CACHE_HOME="/x") == ("/x/huggingface/hub", "/x/huggingface/assets")
    assert folders(XDG_CACHE_HOME="/x", HF_HOME="/h") == ("/h/hub", "/h/assets")
    assert folders(HF_HOME="/h", HF_HUB_CACHE="/c", HF_ASSETS_CACHE="/a") == ("/c", "/a")
    assert folders(HF_HOME="") == folders()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"HF_ENDPOINT": "file:///etc"}, "HF_ENDPOINT"),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "soon"}, "HF_HUB_DOWNLOAD_TIMEOUT"),
        ({"HF_HUB_DOWNLOAD_TIMEOUT": "-1"}, "HF_HUB_DOWNLOAD_TIMEOUT"),
        ({"HF_TOKEN": "a\nX-Evil: 1"}, "HF_TOKEN"),
    ],
)
def test_a_wrong_environment_is_named(variables, message):
    with pytest.raises(HubError, match=message):
        from_environment(variables)


def test_the_index_of_shards_names_files_of_its_folder_only(tmp_path):
    path = tmp_path / "model.safetensors.index.json"
    for name in ("../x.safetensors", "/x.safetensors", "a/b.safetensors", "x.bin", "C:x.safetensors", ".x.safetensors"):
        path.write_bytes(index(name))
        with pytest.raises(HubError, match="refused"):
            layout.shards(path)
    for content in (b"", b"[]", b'{"weight_map": 3}', b'{"weight_map": {"a": ["b"]}}', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(HubError, match="is not an index"):
            layout.shards(path)


def test_importing_costs_nothing_that_the_network_needs():
    code = (
        "import sys, numpy; before = set(sys.modules); import bert_numpy.hub;"
        "print(*sorted({'http.client', 'urllib.request', 'ssl', 'hashlib', 'zipfile', 'shutil', 'email'}"
        " & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.reference
def test_what_the_reference_downloads_is_found_and_the_other_way_round(server, repository, tmp_path):
    """In another process, because huggingface_hub reads the environment when it is imported."""
    code = (
        "import sys; from huggingface_hub import snapshot_download as s; print(s('org/model', local_files_only=True))"
    )
    ours = find_model("org/model")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.strip() == str(ours), done.stderr

    code = (
        "from huggingface_hub import scan_cache_dir as s; r = s(); (m,) = r.repos; (v,) = m.revisions;"
        "print(len(r.warnings), m.repo_id, v.commit_hash, sorted(v.refs), len(v.files))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout.split() == ["0", "org/model", COMMIT, "['main']", str(len(MODEL))], done.stderr

    shutil.rmtree(repository)
    code = "".join(
        f"from huggingface_hub import hf_hub_download as d; d('org/model', {name!r}, etag_timeout=5)\n"
        for name in MODEL
    )
    server.requests.clear()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    server.requests.clear()
    assert {path.name: path.read_bytes() for path in find_model("org/model").iterdir()} == MODEL
    assert server.requests == []


def test_a_folder_of_the_user_comes_before_a_model_that_ships(tmp_path, monkeypatch):
    (tmp_path / "tiny-random").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model("tiny-random").resolve() == tmp_path / "tiny-random"
