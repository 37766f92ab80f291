"""Downloads from a server that misbehaves: what is asked next, what is refused, and what is said."""

import gzip
import time

import pytest
from hub.fake_server import (
    COMMIT,
    FILE,
    LENGTH,
    MODEL,
    SHA256,
    WEIGHTS,
    cut,
    download,
    git,
    left,
    resumed,
)

from bert_numpy.hub import HubError, ModelNotFoundError, download_model, find_model, parts, transfer
from bert_numpy.hub.registry import Model, Pin


@pytest.mark.parametrize("at", [0, 1, 65536, LENGTH - 1])
def test_an_early_end_is_continued(at, server, repository):
    server.faults[FILE] = [cut(at)]
    assert download().read_bytes() == WEIGHTS
    first, second = server.asked(FILE)
    assert "Range" not in first
    assert second.get("Range") == (f"bytes={at}-" if at else None)
    assert second.get("If-Range") == (f'"{SHA256}"' if at else None)
    assert left(repository) == []


def test_a_server_that_always_breaks_off_is_given_up_and_the_part_kept(server, repository):
    server.faults[FILE] = [cut(1000), *[lambda handler: handler.answer(503, b"")] * 20]
    with pytest.raises(HubError, match=r"503.*tried several times.*bert-numpy download org/model"):
        download()
    assert len(server.asked(FILE)) == transfer.TRIES
    assert len(left(repository)) == 1
    server.faults.clear()
    assert download().read_bytes() == WEIGHTS
    assert server.asked(FILE)[-1]["Range"] == "bytes=1000-"
    assert left(repository) == []


@pytest.mark.parametrize(
    "fault",
    [
        lambda handler: handler.answer(200, WEIGHTS, {"ETag": f'"{SHA256}"', "X-Repo-Commit": COMMIT}),  # ignores Range
        resumed(900),  # overlaps
        resumed(1100),  # leaves a gap
        resumed(1000, content_range=f"bytes 0-{LENGTH - 1}/{LENGTH}"),
        resumed(1000, content_range=f"bytes 1000-{LENGTH - 1}/{LENGTH + 1}"),
        resumed(1000, content_range=f"bytes 1000-{LENGTH - 1}/*"),
        resumed(1000, content_range="nonsense"),
        resumed(1000, status=200),  # a slice that calls itself the whole
        resumed(1000, etag="changed"),
        resumed(1000, body=bytes(LENGTH - 1000)),  # wrong bytes of the right size
        lambda handler: handler.answer(416, b"", {"Content-Range": "bytes */500"}),
        lambda handler: handler.answer(416, b""),
    ],
)
def test_a_wrong_continuation_starts_afresh(fault, server, repository):
    server.faults[FILE] = [cut(1000), fault]
    assert download().read_bytes() == WEIGHTS
    assert server.asked(FILE)[1]["Range"] == "bytes=1000-"
    assert left(repository) == []


def test_a_file_that_changes_midway_is_not_mixed(server, repository):
    new = WEIGHTS[::-1]
    server.faults[FILE] = [cut(1000)]
    server.files[FILE] = new
    assert download().read_bytes() == new


def test_without_a_checksum_the_etag_decides_whether_halves_belong_together(server, repository):
    server.etag = lambda file, content: None
    server.faults[FILE] = [
        lambda handler: handler.answer(
            200, WEIGHTS, {"ETag": '"one"', "X-Repo-Commit": COMMIT}, length=LENGTH, cut=1000
        ),
        resumed(1000, body=bytes(LENGTH - 1000), etag="two"),
    ]
    assert download().read_bytes() == WEIGHTS


def test_the_login_page_of_a_network_does_not_cost_what_is_here(server, repository):
    page = {"Content-Type": "text/html"}
    server.faults[FILE] = [cut(1000), lambda handler: handler.answer(200, b"<html>sign in</html>", page)]
    with pytest.raises(HubError, match="login page"):
        download()
    assert len(left(repository)) == 1
    assert download().read_bytes() == WEIGHTS
    assert server.asked(FILE)[-1]["Range"] == "bytes=1000-"


def test_a_complete_part_is_recognized(server, repository):
    part = parts.Part(repository / "blobs", FILE)
    part.restart(SHA256)
    part.path.write_bytes(WEIGHTS)  # and here the process was killed
    assert download().read_bytes() == WEIGHTS
    (asked,) = server.asked(FILE)
    assert asked["Range"] == f"bytes={LENGTH}-"
    assert left(repository) == []


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (WEIGHTS[:-1] + b"x", {}, f"checksum [0-9a-f]{{64}}, expected {SHA256}"),
        (WEIGHTS + b"x", {}, "checksum .* expected"),
        (gzip.compress(WEIGHTS), {}, "gzip-compressed data came"),
        (gzip.compress(WEIGHTS), {"Content-Encoding": "gzip"}, "encoded as gzip"),
        (b"<html>sign in</html>", {"Content-Type": "text/html; charset=utf-8"}, "a web page came"),
        (b"\n<!DOCTYPE html><p>sign in", {}, "a web page came"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", {}, "a Git LFS pointer came"),
        (b"", {}, "nothing came"),
    ],
)
@pytest.mark.parametrize("has_checksum", [True, False])
def test_wrong_content_is_refused_and_deleted(body, headers, message, has_checksum, server, repository):
    known = {"ETag": f'"{SHA256}"'} if has_checksum else {}
    server.faults[FILE] = [lambda handler: handler.answer(200, body, {**known, **headers})] * 20
    if not has_checksum and "checksum" in message:
        pytest.skip("nothing gives it away")
    with pytest.raises(HubError, match=message) as caught:
        download()
    assert "org/model at main: model.safetensors" in str(caught.value)
    assert len(server.asked(FILE)) == 1
    assert left(repository) == []
    assert not (repository / "snapshots").exists()


def test_small_files_are_checked_as_git_objects(server, repository):
    name = "config.json"
    server.faults[name] = [lambda handler: handler.serve(name, ETag=f'"{git(b"other")}"')]
    with pytest.raises(HubError, match=f"checksum {git(MODEL[name])}, expected {git(b'other')}"):
        find_model("org/model")


def known(monkeypatch, **pins):
    model = Model("org/model", ("nick",), "org/model", None, None, {FILE: Pin(**pins)}, {})
    monkeypatch.setattr("bert_numpy.hub.known_model", lambda name: model)


def test_the_registry_has_the_last_word(server, repository, monkeypatch):
    server.etag = lambda file, content: None
    known(monkeypatch, size=LENGTH, sha256=SHA256)
    server.files[FILE] = WEIGHTS[:-1] + b"x"
    with pytest.raises(HubError, match=f"expected {SHA256}"):
        download()
    server.files[FILE] = WEIGHTS
    assert download().read_bytes() == WEIGHTS


def test_what_contradicts_the_registry_is_refused_before_it_is_downloaded(server, repository, monkeypatch):
    known(monkeypatch, size=LENGTH, sha256="0" * 64)
    server.faults[FILE] = [cut(0)]
    with pytest.raises(HubError, match="announces another file"):
        download()
    known(monkeypatch, size=LENGTH - 1)
    server.faults[FILE] = [cut(0)]
    with pytest.raises(HubError, match=f"announces {LENGTH} bytes, expected {LENGTH - 1}"):
        download()
    assert download(revision="v1").read_bytes() == WEIGHTS, "of another revision the registry knows nothing"


def test_lengths_that_are_wrong_or_missing(server, repository):
    headers = {"ETag": f'"{SHA256}"', "X-Repo-Commit": COMMIT}
    server.faults[FILE] = [lambda handler: handler.answer(200, WEIGHTS, headers, length="none")]
    with pytest.raises(HubError, match="does not say how long"):
        download()
    server.faults[FILE] = [
        lambda handler: handler.answer(200, WEIGHTS, headers, length=LENGTH - 5),
        lambda handler: handler.answer(200, WEIGHTS, {**headers, "X-Linked-Size": str(LENGTH)}, length="none"),
    ]
    with pytest.raises(HubError, match="checksum"):
        download()
    assert download().read_bytes() == WEIGHTS


def test_silence_is_given_up_and_continued(server, repository, monkeypatch):
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.2")
    headers = {"ETag": f'"{SHA256}"', "X-Repo-Commit": COMMIT}
    server.faults[FILE] = [lambda handler: handler.answer(200, WEIGHTS, headers, cut=5000, pause=1.0)]
    assert download().read_bytes() == WEIGHTS
    assert server.asked(FILE)[1]["Range"] == "bytes=5000-"
    server.commit, server.files[FILE] = "beef" * 10, b"new" * 999
    server.faults[FILE] = [lambda handler: time.sleep(1.0)] * 20
    with pytest.raises(HubError, match=r"was silent for 0.2 s"):
        download_model("org/model", files=["weights"])


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_a_few_times(status, server, repository):
    server.faults[FILE] = [lambda handler: handler.answer(status, b"")] * (transfer.TRIES - 1)
    assert download().read_bytes() == WEIGHTS


def test_retry_after_is_honoured_within_reason(server, repository, monkeypatch):
    pauses = []
    monkeypatch.setattr("bert_numpy.hub.transfer.time.sleep", pauses.append)
    busy = lambda value: lambda handler: handler.answer(429, b"", {"Retry-After": value})  # noqa: E731
    server.faults[FILE] = [busy("7"), busy("Wed, 21 Oct 2015 07:28:00 GMT"), busy("soon"), busy(None)]
    assert download().read_bytes() == WEIGHTS
    assert pauses[:2] == [7.0, 0.0]
    assert 0 < pauses[2] < pauses[3] < 0.1
    server.commit = "beef" * 10
    server.faults[FILE] = [busy("86400")]
    with pytest.raises(HubError, match="come back in 86400 s"):
        download_model("org/model", files=["weights"])


def test_no_server_fails_soon(cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard
    with pytest.raises(HubError, match=r"127.0.0.1 cannot be reached .*Looked in weights/ and .*bert-numpy download"):
        find_model("org/model")


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (401, "RepoNotFound", HubError, "access refused .401.*does not exist; set HF_TOKEN"),
        (401, "", HubError, "set HF_TOKEN"),
        (403, "GatedRepo", HubError, "it is gated; its licence must be accepted"),
        (404, "RepoNotFound", ModelNotFoundError, "no such repository"),
        (404, "RevisionNotFound", ModelNotFoundError, "no such revision"),
        (404, "EntryNotFound", ModelNotFoundError, "config.json: the server has no such file"),
        (400, "", HubError, "answers 400"),
    ],
)
def test_refusals_say_what_helps(status, code, kind, message, server, repository):
    server.faults["config.json"] = [lambda handler: handler.answer(status, b"", {"X-Error-Code": code})]
    with pytest.raises(kind, match=message):
        find_model("org/model")
    assert len(server.requests) == 1
    assert left(repository) == []
