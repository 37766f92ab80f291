"""Google's archives: unpacked completely and checked, or not at all."""

import hashlib
import io
import threading
import zipfile

import pytest
from hub.fake_server import contents

from bert_numpy.hub import HubError, archives, find_model
from bert_numpy.hub.registry import Model, Pin

NAME = "uncased_L-12_H-768_A-12"
FILES = {name: name.encode() * 500 for name in archives.MEMBERS}


def zipped(files, folder=f"{NAME}/"):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return stream.getvalue()


@pytest.fixture
def serve(server, cache, monkeypatch):
    """A function content of the zip, pins -> the folder of the archives; `server.content` can be changed later."""

    def start(content, **pins):
        model = Model(NAME, (), None, f"{server.url}/{NAME}.zip", None, pins, {})
        monkeypatch.setattr("bert_numpy.hub.known_model", lambda name: model)
        server.content = content
        server.plain[f"/{NAME}.zip"] = lambda handler: handler.answer(200, server.content, {"ETag": '"zip"'})
        return cache.parent / "assets" / "bert_numpy" / "archives"

    return start


@pytest.mark.parametrize("folder", [f"{NAME}/", ""])
def test_an_archive_becomes_a_folder_that_is_found_again(folder, serve, server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    where = serve(zipped(FILES, folder))
    found = find_model(NAME)
    assert found == where / NAME
    assert contents(found) == FILES
    assert [path.name for path in where.iterdir()] == [NAME], "neither the archive nor a temporary folder is left"
    assert find_model(NAME) == found
    assert len(server.requests) == 1
    assert "Authorization" not in server.requests[0][1]


def test_members_that_lead_elsewhere_are_not_unpacked(serve, tmp_path):
    where = serve(zipped({**FILES, "../../../../evil.txt": b"x", "extra.txt": b"x"}))
    assert contents(find_model(NAME)) == FILES
    assert not list(tmp_path.rglob("evil.txt"))
    assert [path.name for path in where.iterdir()] == [NAME]


def broken(files):
    content = bytearray(zipped(files))
    content[len(content) // 2] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "is no intact zip archive"),
        (zipped(FILES)[:-30], "is no intact zip archive"),
        (broken(FILES), "is no intact zip archive"),
        (zipped({"vocab.txt": b"x"}), "the archive has no bert_config.json, bert_model.ckpt.index"),
    ],
)
def test_a_wrong_archive_leaves_nothing(content, message, serve):
    where = serve(content)
    with pytest.raises(HubError, match=message):
        find_model(NAME)
    assert list(where.iterdir()) == []


def test_members_are_checked(serve):
    pin = Pin(None, hashlib.sha256(b"other").hexdigest())
    where = serve(zipped(FILES), **{"vocab.txt": pin})
    with pytest.raises(HubError, match=f"vocab.txt in the archive has SHA-256 .*, expected {pin.sha256}"):
        find_model(NAME)
    assert list(where.iterdir()) == []


def test_an_interrupt_while_unpacking_keeps_the_download(serve, server, monkeypatch):
    where = serve(zipped(FILES))

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_check", interrupt)
        with pytest.raises(KeyboardInterrupt):
            find_model(NAME)
    (part,) = where.iterdir()
    assert part.name.endswith(".incomplete")
    size = part.stat().st_size
    server.plain[f"/{NAME}.zip"] = lambda handler: handler.answer(416, b"", {"Content-Range": f"bytes */{size}"})
    assert contents(find_model(NAME)) == FILES
    assert server.requests[-1][1]["Range"] == f"bytes={size}-"


def test_an_archive_has_no_revisions(serve):
    serve(zipped(FILES))
    with pytest.raises(HubError, match="has no revisions"):
        find_model(NAME, revision="v1")


def test_two_at_once(serve, server):
    serve(zipped(FILES))
    both = threading.Barrier(2, timeout=10)

    def wait(handler):
        both.wait()
        handler.answer(200, server.content, {"ETag": '"zip"'})

    server.plain[f"/{NAME}.zip"] = wait
    found = []
    threads = [threading.Thread(target=lambda: found.append(contents(find_model(NAME)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [FILES, FILES]
