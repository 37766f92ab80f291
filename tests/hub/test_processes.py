"""Several processes at once, and processes that are killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hub.fake_server import (
    COMMIT,
    FILE,
    LENGTH,
    SHA256,
    WEIGHTS,
    download,
    left,
)

from bert_numpy.hub import parts

COMMAND = "from bert_numpy.hub import find_model; print(find_model('org/model', files=['weights']))"


def process():
    return subprocess.Popen([sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_at_once_do_not_disturb_each_other(server, repository):
    together = threading.Barrier(3, timeout=20)

    def wait_and_serve(handler):
        together.wait()
        handler.serve(FILE)

    server.faults[FILE] = [wait_and_serve] * 3
    running = [process() for _ in range(3)]
    for one in running:
        out, err = one.communicate(timeout=30)
        assert out.strip() == str(repository / "snapshots" / COMMIT), err
    assert download().read_bytes() == WEIGHTS
    assert left(repository) == []


def test_a_part_that_another_process_writes_is_copied_not_shared(server, repository):
    """And when that one finishes first, whose file is then gone, it finds the content."""
    other = parts.Part(repository / "blobs", FILE)
    other.restart(SHA256)
    with other.opened() as file:
        file.write(WEIGHTS[:1000])
        file.flush()
        assert download().read_bytes() == WEIGHTS
        assert server.asked(FILE)[0]["Range"] == "bytes=1000-"
        file.write(b"more")
        file.flush()
        assert (repository / "blobs" / SHA256).read_bytes() == WEIGHTS
    assert other.size in (0, 1004)  # 1004 on Windows, where an open file is not deleted
    if other.size == 0:
        other.install(repository / "blobs" / SHA256)
        assert (repository / "blobs" / SHA256).read_bytes() == WEIGHTS


@pytest.mark.skipif(sys.platform == "win32", reason="an open file is not deleted there")
def test_a_download_whose_part_was_taken_away_finds_the_content(server, repository):
    lost = []

    def lose(progress):  # the last call comes when all bytes are here, and before they are checked
        for path in [] if lost else list((repository / "blobs").glob("*.incomplete")):
            path.unlink()
            lost.append(path)

    assert download(progress=lose).read_bytes() == WEIGHTS
    assert len(server.asked(FILE)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_download_is_continued(server, repository):
    release = threading.Event()

    def half(handler):
        headers = {"ETag": f'"{SHA256}"', "X-Repo-Commit": COMMIT}
        handler.answer(200, WEIGHTS, headers, length=LENGTH, cut=200_000)
        release.wait(20)

    server.faults[FILE] = [half]
    running = process()
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size > 100_000 for path in repository.glob("blobs/*.incomplete")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    release.set()
    assert not (repository / "snapshots").exists()
    assert download().read_bytes() == WEIGHTS
    start = int(server.asked(FILE)[-1]["Range"][len("bytes=") : -1])
    assert 100_000 < start <= 200_000
    assert left(repository) == []


def test_abandoned_parts_are_cleaned_up(server, repository):
    for etag in ("old", ""):
        part = parts.Part(repository / "blobs", FILE)
        part.restart(etag)
        part.path.write_bytes(b"x")
        os.utime(part.path, (0, 0))
    assert download().read_bytes() == WEIGHTS
    assert left(repository) == []
