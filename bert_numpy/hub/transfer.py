"""One file from a URL into a folder, complete and checked or not at all.

    GET, from where the last attempt broke off (Range, and If-Range so that a changed file starts afresh)
    → bytes appended to a part file  → size and checksum of the whole file  → the caller gives it its name

Whatever fails on the way either passes, and is tried again after a pause that doubles, or is final, and is one message.
The part file survives the first kind, and the end of the process; wrong content is deleted.

Here: one file.  Not here: which files, and where they go (`download.py`).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import web
from .errors import HubError, TransientError, writing
from .parts import Part
from .progress import Callback, Meter

TRIES = 5
FIRST_PAUSE = 1.0  # seconds; doubles with every failure in a row
LONGEST_PAUSE = 30.0
WORTH_A_TRY = 1 << 20  # bytes of new progress after which the count of failures starts afresh
CHUNK = 1 << 16
LONGEST_FILE = 1 << 36  # of those whose length nobody says
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_COMPLETE_RANGE = re.compile(r"bytes \*/(\d+)", re.ASCII)


class Wanted(NamedTuple):
    """A file to be fetched; size and SHA-256 are those of the registry, None if it does not know them."""

    url: str
    file: str
    subject: str  # for messages: the repository and the file
    size: int | None = None
    sha256: str | None = None
    token: str | None = None
    timeout: float = 10.0


def fetch(
    wanted: Wanted, folder: Path, progress: Callback | None, is_here: Callable[[web.Told], bool]
) -> tuple[Part, web.Told]:
    """Download a file into a part file in `folder`.

    Parameters
    ----------
    wanted : Wanted
    folder : Path
    progress : function of a Progress, optional
    is_here : function of a Told
        Asked once the server has said which content this is: whether that is in the cache already.

    Returns
    -------
    part : Part
        Complete and checked, to be installed; its `path` is None if the content is here already.
    told : Told
        What the server said.

    Raises
    ------
    ModelNotFoundError
        If the server has no such file.
    HubError
        If it cannot be had, after several tries, or is not what it should be.
    """
    with writing(folder):
        part = Part.continued(folder, wanted.file)
    left, best, pause = TRIES, part.size, FIRST_PAUSE
    meter = Meter(progress, wanted.file)
    try:
        while True:
            try:
                return part, _attempt(wanted, part, meter, is_here)
            except FileNotFoundError:
                if part.path is None or part.path.is_file():
                    raise
                part.discard()  # it was taken away, because another process has installed this content
            except TransientError as error:
                if part.size >= best + WORTH_A_TRY:  # grows at most to the size of the file, so this ends
                    left, best, pause = TRIES, part.size, FIRST_PAUSE
                left -= error.cost
                if left <= 0:
                    raise HubError(f"{error} (tried several times)") from error
                time.sleep(min(pause, LONGEST_PAUSE) * random.uniform(0.8, 1.2) if error.wait is None else error.wait)
                pause *= 2
    except BaseException:  # an interrupt, too, leaves what can be continued
        part.release()
        raise


def _attempt(wanted: Wanted, part: Part, meter: Meter, is_here: Callable[[web.Told], bool]) -> web.Told:
    """Connect once.  On return the part is complete and checked, or discarded because the content is here."""
    start = part.size
    headers = {"Accept-Encoding": "identity", "User-Agent": "bert_numpy"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": f'"{part.etag}"'}
    with web.get(wanted.url, wanted.subject, headers, wanted.token, wanted.timeout) as answer:
        told = answer.told
        if is_here(told):
            part.discard()
            return told
        _check_announced(wanted, told.size, told.sha256)
        total = _body_begins(wanted, part, answer, start)
        if answer.status != 416:
            _check_room(wanted, part, total)
            _append(wanted, part, answer, total, meter)
    _verify(wanted, part, told, continued=bool(start) and answer.status != 200)
    return told


def _body_begins(wanted: Wanted, part: Part, answer: web.Answer, start: int) -> int | None:
    """Make the part end where the body begins, and return how long the whole file is, None if nobody says."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding not in ("identity", ""):
        raise HubError(f"{wanted.subject}: the server sends it encoded as {encoding}, although it was asked not to")
    etag = web.strong_etag(answer.headers.get("ETag"))
    content_range = answer.headers.get("Content-Range", "")
    if answer.status == 200 and not content_range:
        total = _length(wanted, answer)
        _check_announced(wanted, total, None, answer.headers.get_content_type())  # before anything is deleted
        with writing(part.folder):
            part.restart(etag)  # also where a Range was asked for: the server cannot, or the file has changed
        return total
    if answer.status == 416:
        complete = _COMPLETE_RANGE.fullmatch(content_range)
        if start and complete and int(complete[1]) == start:  # killed between the last byte and the new name
            return start
    else:
        given = _CONTENT_RANGE.fullmatch(content_range)
        if answer.status == 206 and start and given and etag == part.etag:
            first, last, total = map(int, given.groups())
            if first == start and last == total - 1:
                return total
    part.discard()
    said = f"{answer.status} with Content-Range {content_range or 'missing'} and ETag {etag or 'missing'}"
    raise TransientError(f"{wanted.subject}: asked for the bytes from {start} on, the server answers {said}", wait=0.0)


def _length(wanted: Wanted, answer: web.Answer) -> int | None:
    """How long a whole body is; None where it marks its own end."""
    length = answer.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit():
        return int(length)
    if answer.body.chunked:
        return None
    known = wanted.size or answer.told.size
    if not known:
        raise HubError(f"{wanted.subject}: the server does not say how long it is, so that its end cannot be known")
    return known


def _append(wanted: Wanted, part: Part, answer: web.Answer, total: int | None, meter: Meter) -> None:
    """Read the body to its end into the part file."""
    done = part.size
    limit = total or wanted.size or answer.told.size or LONGEST_FILE
    meter.begin(done)
    with part.opened() as file:
        while chunk := answer.read(CHUNK):
            done += len(chunk)
            if done > limit:
                break
            with writing(part.folder):
                file.write(chunk)
            meter.update(done, total)
    if done > limit:
        part.discard()
        raise HubError(f"{wanted.subject}: more than the expected {limit} bytes came")
    if total is not None and done < total:
        raise TransientError(f"{wanted.subject}: the connection ended after {done} of {total} bytes")
    meter.update(done, done, last=True)


def _check_room(wanted: Wanted, part: Part, total: int | None) -> None:
    import shutil

    needed = (total or 0) - part.size
    with writing(part.folder):
        free = shutil.disk_usage(part.folder).free
    if needed > free:
        raise HubError(
            f"{wanted.subject}: needs {needed / 1e6:.1f} MB, and {part.folder} has {free / 1e6:.1f} MB left; free some "
            "or set HF_HUB_CACHE to a folder on another disk"
        )


def _check_announced(wanted: Wanted, size: int | None, sha256: str | None, kind: str | None = None) -> None:
    """Refuse at once what would be refused after the download."""
    if kind == "text/html":  # the login page of a network, mostly
        raise HubError(f"{wanted.subject}: a web page came instead of the file; is there a login page in between?")
    if sha256 and wanted.sha256 and sha256 != wanted.sha256:
        raise HubError(
            f"{wanted.subject}: the server announces another file: SHA-256 {sha256}, expected {wanted.sha256}; "
            "revision= names a version whose checksum is not pinned"
        )
    if size and wanted.size and size > wanted.size:
        raise HubError(f"{wanted.subject}: the server announces {size} bytes, expected {wanted.size}")


def _verify(wanted: Wanted, part: Part, told: web.Told, continued: bool) -> None:
    """Check the file as it is on the disk, and delete it if it is wrong; if only its halves misfit, try once more."""
    problem = _problem(wanted, part.complete, told)
    if problem is None:
        return
    part.discard()
    if continued:
        raise TransientError(f"{wanted.subject}: {problem}", wait=0.0)
    raise HubError(f"{wanted.subject}: {problem}; it was deleted")


def _problem(wanted: Wanted, path: Path, told: web.Told) -> str | None:
    size = path.stat().st_size
    with open(path, "rb") as file:
        impostor = _impostor(file.read(512), wanted.file)
    came = f"{impostor} came instead of the file: " if impostor else ""
    expected_size = wanted.size or told.size
    if expected_size is not None and size != expected_size:
        return f"{came}{size} bytes, expected {expected_size}"
    expected = wanted.sha256 or told.sha256
    if expected:
        actual = digest(path, "sha256")
    elif told.git_sha1:
        expected, actual = told.git_sha1, digest(path, "sha1", b"blob %d\0" % size)
    else:
        return f"{came}{size} bytes" if impostor else None
    return None if actual == expected else f"{came}checksum {actual}, expected {expected}"


def digest(path: Path, algorithm: str, start: bytes = b"") -> str:
    import hashlib

    digest = hashlib.new(algorithm, start, usedforsecurity=algorithm == "sha256")
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _impostor(head: bytes, file: str) -> str | None:
    """What the first bytes give away as something that servers send instead of a file."""
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "a Git LFS pointer"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if head.startswith(b"\x1f\x8b"):
        return "gzip-compressed data"
    if not head:
        return "nothing"
    if file.endswith(".json") and not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "something that is not a JSON object"
    return None
