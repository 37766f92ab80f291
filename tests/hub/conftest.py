"""An environment in which a server on the loopback interface is the hub, and a temporary folder the cache."""

import pytest
from hub.fake_server import MODEL, Server

from bert_numpy.hub import transfer


def start(monkeypatch):
    server = Server()
    server.files = dict(MODEL)
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.001)
    return server


def stop(server):
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(monkeypatch):
    server = start(monkeypatch)
    yield server
    stop(server)


@pytest.fixture
def other_server(monkeypatch):
    server = start(monkeypatch)
    yield server
    stop(server)


@pytest.fixture
def cache(server, tmp_path, monkeypatch):
    """The folder of the models in the cache; the environment points to it and to the server."""
    for name in ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "5")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home" / "hub"


@pytest.fixture
def repository(cache):
    return cache / "models--org--model"
