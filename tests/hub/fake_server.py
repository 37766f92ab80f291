"""A server on the loopback interface that misbehaves on request, and a cache written by hand."""

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bert_numpy.hub import find_model

COMMIT = "c0ffee" * 6 + "c0ff"
REPO = "org/model"


class Server(ThreadingHTTPServer):
    """Serves `files` as the repository `org/model` at one commit, small ones as git objects, large ones by SHA-256.

    `faults[file]` is a list of functions of the handler, one for each request to come; what they return replaces the
    body to be sent: None if they have answered themselves.  `requests` is what was asked, with its headers.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.requests, self.plain = {}, {}, [], {}
        self.commit = COMMIT
        self.etag = lambda file, content: hashlib.sha256(content).hexdigest() if len(content) > 1000 else git(content)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, file):
        """Headers of the requests for a file."""
        return [headers for path, headers in self.requests if path.endswith("/" + file)]

    def handle_error(self, request, client_address):
        pass  # a client that is killed, or gives up, is part of the tests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):  # asked by other tools, not by us
        self.do_GET()

    def do_GET(self):
        self.close_connection = True
        self.server.requests.append((self.path, dict(self.headers)))
        if self.path in self.server.plain:  # outside of any repository
            return self.server.plain[self.path](self)
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        if not match or match[1] != REPO:
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if match[2] not in ("main", "v1", self.server.commit):
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        faults = self.server.faults.get(match[3])
        if faults:
            return faults.pop(0)(self)
        return self.serve(match[3])

    def serve(self, file, **changes):
        """Answer as a good server does, except for some headers."""
        if file not in self.server.files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.server.commit})
        content = self.server.files[file]
        etag = self.server.etag(file, content)
        headers = {"X-Repo-Commit": self.server.commit, "ETag": f'"{etag}"'} if etag else {}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range") == f'"{etag}"':
            start = int(asked[1])
            if start >= len(content):
                return self.answer(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self.answer(206, content[start:], headers | changes)
        return self.answer(200, content, headers | changes)

    def answer(self, status, body, headers=None, length=None, pause=None, cut=None):
        """Send a status, headers and a body: all of it, its first `cut` bytes, or those and the rest after `pause`."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            if value is not None:
                self.send_header(name, value)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if pause is not None:
            time.sleep(pause)
            self.wfile.write(body[cut:])


def git(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


FILE = "model.safetensors"
WEIGHTS = bytes(range(256)) * 1200
LENGTH = len(WEIGHTS)  # 307,200 bytes
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer_config.json": b'{"do_lower_case": true}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    FILE: WEIGHTS,
}


def write_cache(folder, files, commit=COMMIT, ref="main", absent=()):
    """A repository in the cache, written by hand as other tools leave it, with links where the system has them."""
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshots" / commit).mkdir(parents=True)
    for name, content in files.items():
        blob = folder / "blobs" / git(content)
        blob.write_bytes(content)
        pointer = folder / "snapshots" / commit / name
        try:
            pointer.symlink_to(f"../../blobs/{blob.name}")
        except OSError:
            pointer.write_bytes(content)
    for name in absent:
        path = folder / ".no_exist" / commit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    if ref:
        (folder / "refs").mkdir()
        (folder / "refs" / ref).write_text(commit)
    return folder / "snapshots" / commit


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def index(*shards):
    return json.dumps({"metadata": {}, "weight_map": {str(i): shard for i, shard in enumerate(shards)}}).encode()


def download(**options):
    return find_model("org/model", files=["weights"], **options) / FILE


def left(repository):
    """Names of the unfinished files in the cache."""
    return sorted(path.name for path in repository.rglob("*") if path.suffix in (".incomplete", ".tmp"))


def cut(at):
    return lambda handler: handler.answer(
        200, WEIGHTS, {"ETag": f'"{SHA256}"', "X-Repo-Commit": COMMIT}, length=LENGTH, cut=at
    )


def resumed(start, body=None, etag=SHA256, content_range=None, status=206):
    """An answer to a Range request as the arguments say, right or wrong."""

    def answer(handler):
        said = content_range or f"bytes {start}-{LENGTH - 1}/{LENGTH}"
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Content-Range": said}
        handler.answer(status, WEIGHTS[start:] if body is None else body, headers)

    return answer
