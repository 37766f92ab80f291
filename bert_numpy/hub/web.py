"""One GET request: redirects followed with care, refusals turned into errors that say what helps.

The standard library would follow redirects by itself, but it hands the token to whatever host it is sent to and
forgets the headers of the way, where the Hugging Face server says which commit and which SHA-256 a file has.  So every
step is made here.

Here: HTTP.  Not here: what is done with the body (`transfer.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from .errors import HubError, ModelNotFoundError, TransientError

if TYPE_CHECKING:  # they take longer to import than all of this package
    from email.message import Message
    from http.client import HTTPResponse

MAX_REDIRECTS = 10
LONGEST_WAIT = 300.0  # of those that a server may ask for
_HEX40, _HEX64 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")


class Told(NamedTuple):
    """What the asked server itself, not one that it redirected to, says of a file; None where it says nothing."""

    commit: str | None = None
    etag: str | None = None  # names the content; a weak one does not count
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None  # of small files, which the server keeps in git itself


class Answer(NamedTuple):
    """A body to be read, and what came with it."""

    status: int
    headers: Message
    told: Told
    body: HTTPResponse
    url: str
    subject: str
    timeout: float

    def read(self, limit: int) -> bytes:
        """What has arrived, at most `limit` bytes, nothing at the end.

        Raises
        ------
        TransientError
            If the connection breaks, or is silent for too long.
        """
        from http.client import HTTPException

        try:
            return self.body.read1(limit)
        except (OSError, HTTPException, ValueError) as error:
            raise _broken(error, self.subject, self.url, self.timeout) from error


@contextmanager
def get(url: str, subject: str, headers: dict[str, str], token: str | None, timeout: float) -> Iterator[Answer]:
    """Ask for a URL and yield the answer, whose status is 200, 206 or 416.

    Parameters
    ----------
    url : str
    subject : str
        What is fetched, for the messages.
    headers : dict
        Sent to every server on the way.
    token : str, optional
        Sent to the host of `url`, and never again once a redirect has led elsewhere.
    timeout : float
        Seconds of silence after which the connection is given up.

    Raises
    ------
    ModelNotFoundError
        For 404, and where the server says that there is no such repository or revision.
    TransientError
        If the server cannot be reached, breaks off, or asks to come back later.
    HubError
        For any other refusal, and for a redirect to anything but a web page as safe as the one before.
    """
    from http.client import HTTPException

    try:
        answer = _follow(url, subject, headers, token, timeout)
    except HubError:
        raise
    except (OSError, HTTPException, ValueError) as error:  # ValueError: http.client on a malformed answer
        raise _broken(error, subject, url, timeout) from error
    with answer.body:
        _check_status(answer, bool(token))
        yield answer


def _follow(url: str, subject: str, headers: dict[str, str], token: str | None, timeout: float) -> Answer:
    import string
    from urllib.parse import quote, urljoin
    from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

    opener = OpenerDirector()  # unlike build_opener(): no file://, no ftp://, no redirects of its own
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    home, at_home, told = _origin(url), True, Told()
    for _ in range(MAX_REDIRECTS + 1):
        at_home = at_home and _origin(url) == home
        authorization = {"Authorization": f"Bearer {token}"} if token and at_home else {}
        body = opener.open(Request(url, headers={**headers, **authorization}), timeout=timeout)
        if body is None:
            raise HubError(f"{subject}: {url} is no web address")
        location = body.headers.get("Location") if body.status in (301, 302, 303, 307, 308) else None
        if at_home:
            told = _told(body.headers, told, redirects=location is not None)
        if location is None:
            return Answer(body.status, body.headers, told, body, url, subject, timeout)
        body.close()
        target = urljoin(url, quote(location, safe=string.punctuation))
        _check_redirect(url, target, subject)
        url = target
    raise HubError(f"{subject}: refused, because the server redirects in a circle (at {url})")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _check_redirect(url: str, target: str, subject: str) -> None:
    scheme = _origin(target)[0]
    if scheme not in ("http", "https"):
        raise HubError(f"{subject}: refused, because the server redirects to {target!r}, which is no web page")
    if scheme == "http" and url.startswith("https:"):
        raise HubError(f"{subject}: refused, because the server redirects from https to the unprotected {target!r}")


def _told(headers: Message, before: Told, redirects: bool) -> Told:
    """Add what a step of the way says.  `X-Linked-*` describe the file; of a redirect, the plain ETag does not."""
    commit = headers.get("X-Repo-Commit", "")
    size = headers.get("X-Linked-Size", "")
    linked, plain = _content_name(headers.get("X-Linked-Etag")), _content_name(headers.get("ETag"))
    etag = linked or before.etag or (None if redirects else plain)
    known_commit = commit if _HEX40.fullmatch(commit) else before.commit
    return Told(
        commit=known_commit,
        etag=etag,
        size=int(size) if size.isascii() and size.isdigit() else before.size,
        sha256=etag if etag and _HEX64.fullmatch(etag) else None,
        git_sha1=etag if etag and known_commit and _HEX40.fullmatch(etag) else None,
    )


def _content_name(text: str | None) -> str | None:
    """An ETag that tells contents apart: a strong one, or a weak one around a checksum."""
    bare = strong_etag((text or "").removeprefix("W/"))
    is_checksum = bare and (_HEX40.fullmatch(bare) or _HEX64.fullmatch(bare))
    return bare if is_checksum else strong_etag(text)


def strong_etag(text: str | None) -> str | None:
    """The content of a strong ETag, without its quotes; None for a weak one, which does not promise equal bytes.

    Examples
    --------
    >>> strong_etag('"abc"'), strong_etag('W/"abc"'), strong_etag(None)
    ('abc', None, None)
    """
    return None if not text or text.startswith("W/") else text.strip().strip('"') or None


def _check_status(answer: Answer, has_token: bool) -> None:
    status, headers, subject = answer.status, answer.headers, answer.subject
    if status in (200, 206, 416):
        return
    said = headers.get("X-Error-Code", "")
    if said in ("RepoNotFound", "RevisionNotFound") and status != 401:
        what = "repository" if said == "RepoNotFound" else "revision"
        raise ModelNotFoundError(f"{subject}: the server has no such {what}; check the spelling")
    if status in (404, 410):
        raise MissingFileError(f"{subject}: the server has no such file", answer.told.commit, said)
    if status in (401, 403):
        remedy = "the token in HF_TOKEN does not open it" if has_token else "set HF_TOKEN to a token that may read it"
        if said == "GatedRepo":
            remedy = f"its licence must be accepted on the web page of the model first; then, {remedy}"
        kind = "gated" if said == "GatedRepo" else "private, gated, or does not exist"
        raise HubError(f"{subject}: access refused ({status}): it is {kind}; {remedy}")
    if status in (408, 425, 429) or status >= 500:
        wait = _retry_after(headers.get("Retry-After"))
        if wait is not None and wait > LONGEST_WAIT:
            raise HubError(f"{subject}: the server answers {status} and asks to come back in {wait:.0f} s")
        raise TransientError(f"{subject}: the server answers {status}; try again later", wait)
    raise HubError(f"{subject}: the server answers {status}, which is no file")


class MissingFileError(ModelNotFoundError):
    """404 for a file, with the commit in which it is missing; for an optional file that is good news."""

    def __init__(self, message: str, commit: str | None, said: str) -> None:
        super().__init__(message)
        self.commit = commit if said in ("", "EntryNotFound") else None


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or a date."""
    import time
    from email.utils import parsedate_to_datetime

    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _broken(error: Exception, subject: str, url: str, timeout: float) -> HubError:
    """An error of the network as one of ours: does trying again make sense?"""
    from ssl import SSLCertVerificationError
    from urllib.error import URLError

    host = _origin(url)[1]
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, SSLCertVerificationError):
        return HubError(
            f"{subject}: the certificate of {host} is not trusted ({reason.verify_message}); behind a proxy that has "
            "its own, name its file in SSL_CERT_FILE"
        )
    if isinstance(reason, TimeoutError):
        return TransientError(f"{subject}: {host} was silent for {timeout:g} s (HF_HUB_DOWNLOAD_TIMEOUT)")
    if isinstance(error, URLError):  # no connection at all
        return TransientError(f"{subject}: {host} cannot be reached ({reason})", cost=3)
    return TransientError(f"{subject}: the connection to {host} broke ({type(error).__name__}: {error})")
