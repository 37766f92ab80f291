"""Downloads from a good server: what ends up in the cache, what is asked, and where redirects may lead."""

import os

import pytest
from hub.fake_server import (
    COMMIT,
    FILE,
    LENGTH,
    MODEL,
    SHA256,
    WEIGHTS,
    contents,
    download,
    git,
    index,
    left,
)

from bert_numpy.hub import HubError, ModelNotFoundError, cache, download_model, find_model
from bert_numpy.hub.progress import Progress, TerminalReporter


def test_a_model_is_downloaded_and_then_found_without_the_network(server, repository, monkeypatch):
    seen = []
    folder = find_model("org/model", progress=seen.append)
    assert folder == repository / "snapshots" / COMMIT
    assert contents(folder) == MODEL
    assert (repository / "refs" / "main").read_text() == COMMIT
    assert {path.name for path in (repository / "blobs").iterdir()} == {
        SHA256,
        *(git(content) for name, content in MODEL.items() if name != FILE),
    }
    assert {progress.file: progress.done for progress in seen} == {
        name: len(content) for name, content in MODEL.items()
    }
    assert all(headers["Accept-Encoding"] == "identity" for _, headers in server.requests)
    assert [path.split("/")[4] for path, _ in server.requests] == ["main"] + [COMMIT] * (len(server.requests) - 1)
    server.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find_model("org/model") == folder
    assert server.requests == []


def test_only_the_wanted_parts_are_downloaded(server, repository):
    assert set(contents(find_model("org/model", files=["config"]))) == {"config.json"}
    assert set(contents(find_model("org/model", files=["tokenizer"]))) == set(MODEL) - {FILE}
    assert not server.asked(FILE)
    assert set(contents(find_model("org/model"))) == set(MODEL)
    assert len(server.asked("config.json")) == 1


@pytest.mark.parametrize("revision", ["v1", COMMIT])
def test_a_revision(revision, server, repository):
    folder = find_model("org/model", revision=revision)
    assert folder.name == COMMIT
    assert not (repository / "refs" / "main").exists()
    server.requests.clear()
    assert find_model("org/model", revision=revision) == folder
    assert server.requests == []


def test_download_model_asks_whether_a_branch_has_moved(server, repository):
    old = find_model("org/model")
    server.commit = "beef" * 10
    server.files["config.json"] = b'{"model_type": "bert", "new": true}'
    assert find_model("org/model") == old
    seen = []
    new = download_model("org/model", progress=seen.append)
    assert {progress.file for progress in seen} == {"config.json"}, "what is the same is not transferred again"
    assert new.name == server.commit
    assert contents(new) == server.files
    assert contents(old) == MODEL
    assert find_model("org/model") == new


def test_shards(server, repository):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    server.files |= {"model.safetensors.index.json": index(*names), names[0]: b"a" * 2000, names[1]: b"b" * 2000}
    del server.files[FILE]
    folder = find_model("org/model", files=["weights"])
    assert set(contents(folder)) == {"model.safetensors.index.json", *names}
    server.files["model.safetensors.index.json"] = index("../../../../escaped.safetensors")
    server.commit = "beef" * 10
    with pytest.raises(HubError, match="refused, because it names"):
        download_model("org/model", files=["weights"])


def test_old_weights_where_there_are_no_others(server, repository):
    server.files["pytorch_model.bin"] = server.files.pop(FILE)
    assert contents(find_model("org/model", files=["weights"])) == {"pytorch_model.bin": WEIGHTS}
    del server.files["pytorch_model.bin"]
    server.commit = "beef" * 10
    with pytest.raises(ModelNotFoundError, match=r"no model.safetensors, .* or pytorch_model.bin"):
        download_model("org/model")


def redirect(target, **headers):
    return lambda handler: handler.answer(302, b"", {"Location": target, "X-Repo-Commit": COMMIT, **headers})


def test_a_redirect_to_another_host_does_not_get_the_token(server, other_server, repository, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret\n")
    linked = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(LENGTH), "ETag": '"of the redirect"'}
    # There, and back again: a host that was reached through another one is not trusted any more.
    server.faults[FILE] = [redirect(f"{other_server.url}/cdn", **linked)]
    other_server.plain["/cdn"] = lambda handler: handler.answer(307, b"", {"Location": f"{server.url}/back"})
    server.plain["/back"] = lambda handler: handler.answer(
        200, WEIGHTS, {"ETag": '"of the cdn"', "X-Repo-Commit": "f" * 40}
    )
    assert download().read_bytes() == WEIGHTS
    assert [headers.get("Authorization") for _, headers in server.requests] == ["Bearer secret", None]
    assert [headers.get("Authorization") for _, headers in other_server.requests] == [None]
    assert [path.name for path in (repository / "blobs").iterdir()] == [SHA256]
    assert [path.name for path in (repository / "snapshots").iterdir()] == [COMMIT]


def test_the_etag_of_a_redirect_names_no_content(server, other_server, repository):
    server.faults[FILE] = [redirect(f"{other_server.url}/cdn", ETag='"of-the-redirect"')]
    other_server.plain["/cdn"] = lambda handler: handler.answer(200, WEIGHTS, {"ETag": '"of-the-cdn"'})
    assert download().read_bytes() == WEIGHTS
    assert [path.name for path in (repository / "blobs").iterdir()] == [SHA256]


def test_a_redirect_within_the_host_keeps_the_token(server, repository, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.faults[FILE] = [redirect("/elsewhere?a=b c")]
    server.plain["/elsewhere?a=b%20c"] = lambda handler: handler.answer(200, WEIGHTS, {"ETag": f'"{SHA256}"'})
    assert download().read_bytes() == WEIGHTS
    assert {headers["Authorization"] for _, headers in server.requests} == {"Bearer secret"}


def test_a_download_is_continued_behind_a_redirect(server, other_server, repository):
    """The server that has the bytes has an ETag of its own, and If-Range must speak of that one."""
    linked = {"X-Linked-Etag": f'"{SHA256}"', "X-Linked-Size": str(LENGTH)}
    server.faults[FILE] = [redirect(f"{other_server.url}/org/model/resolve/main/{FILE}", **linked)] * 2
    other_server.etag = lambda file, content: "md5-of-the-cdn"
    answer = {"ETag": '"md5-of-the-cdn"'}
    other_server.faults[FILE] = [lambda handler: handler.answer(200, WEIGHTS, answer, cut=1000)]
    assert download().read_bytes() == WEIGHTS
    assert other_server.asked(FILE)[1]["If-Range"] == '"md5-of-the-cdn"'
    assert other_server.asked(FILE)[1]["Range"] == "bytes=1000-"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("file:///etc/passwd", "which is no web page"),
        ("ftp://127.0.0.1/x", "which is no web page"),
        ("data:text/plain,x", "which is no web page"),
        ("", "redirects in a circle"),
    ],
)
def test_redirects_that_lead_astray_are_refused(target, message, server, repository):
    server.faults[FILE] = [redirect(target)] * 20
    with pytest.raises(HubError, match=message):
        download()
    assert left(repository) == []


@pytest.mark.parametrize("etag", ["../../../escaped", "/etc/escaped", "C:\\escaped", "x" * 300, "a b", 'W/"weak"'])
def test_an_etag_does_not_lead_out_of_the_cache(etag, server, repository):
    server.etag = lambda file, content: etag
    assert download().read_bytes() == WEIGHTS
    assert [path.name for path in (repository / "blobs").iterdir()] == [SHA256]


@pytest.mark.parametrize("commit", ["../../../escaped", "main", ""])
def test_a_commit_does_not_lead_out_of_the_cache(commit, server, repository):
    server.faults[FILE] = [lambda handler: handler.serve(FILE, **{"X-Repo-Commit": commit})]
    assert download() == repository / "snapshots" / "main" / FILE
    assert download().read_bytes() == WEIGHTS


def test_a_cache_that_cannot_be_written_to(server, repository, monkeypatch):
    repository.parent.parent.mkdir(parents=True)
    repository.parent.write_text("a file where the folder should be")
    with pytest.raises(HubError, match=r"cannot be written.*HF_HUB_CACHE"):
        download()


def test_a_read_only_cache(server, repository):
    find_model("org/model", files=["config"])
    blobs = repository / "blobs"
    blobs.chmod(0o500)
    if os.access(blobs, os.W_OK):
        pytest.skip("the superuser, and Windows, may write everywhere")
    try:
        with pytest.raises(HubError, match=r"cannot be written.*HF_HUB_CACHE"):
            download()
        assert find_model("org/model", files=["config"]).is_dir()
    finally:
        blobs.chmod(0o700)


def test_a_full_disk_is_noticed_before(server, repository, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(HubError, match=r"needs 0.3 MB, and .* has 0.0 MB left"):
        download()
    assert left(repository) == []


@pytest.mark.parametrize("hard_links", [True, False])
def test_without_the_right_to_make_links(hard_links, server, repository, monkeypatch):
    def refuse(*_):
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", refuse)
    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    folder = find_model("org/model")
    assert contents(folder) == MODEL
    assert not any(path.is_symlink() for path in folder.iterdir())
    cache.link_or_copy(repository / "blobs" / SHA256, folder / FILE)
    assert left(repository) == []


def test_an_exception_in_the_callback_passes_and_leaves_a_part(server, repository):
    def stop(progress):
        raise KeyboardInterrupt

    server.faults[FILE] = [lambda handler: handler.serve(FILE)]
    with pytest.raises(KeyboardInterrupt):
        download(progress=stop)
    (part,) = left(repository)
    assert part.startswith(f"{FILE}.{SHA256}.0")
    assert download().read_bytes() == WEIGHTS
    assert "Range" in server.asked(FILE)[-1]
    assert left(repository) == []


def test_progress_is_shown_on_terminals_only(capsys):
    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    reporter = TerminalReporter(terminal)
    reporter(Progress("a.bin", 500_000, 1_000_000, 1e6, 0.5))
    reporter(Progress("a.bin", 1_000_000, 1_000_000, 1e6, 0.0))
    first, second = terminal.text.split("\r")[1:]
    assert first == "a.bin   50 %  0.5 of 1.0 MB  1.0 MB/s  0:00 left"
    assert second.rstrip() == "a.bin  100 %  1.0 of 1.0 MB  1.0 MB/s"
    assert second.endswith("\n")
    TerminalReporter()(Progress("a.bin", 1, 2, 1.0, 1.0))
    assert capsys.readouterr() == ("", "")
