"""What the environment says: where the cache is, which server, which token, whether offline.

The variables are those of the Hugging Face tools, with the same meaning, so that everything on a machine shares one
cache:

| variable | meaning | without it |
|---|---|---|
| `HF_HOME` | folder of everything | `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
| `HF_HUB_CACHE` | folder of the models | `$HF_HOME/hub` |
| `HF_ASSETS_CACHE` | folder of what is not a repository: Google's archives | `$HF_HOME/assets` |
| `HF_ENDPOINT` | the server, or a mirror of it | `https://huggingface.co` |
| `HF_TOKEN` | who is asking; sent to that server only | nobody in particular |
| `HF_HUB_OFFLINE` | `1`: never use the network | the network is used for what is not here |
| `HF_HUB_DOWNLOAD_TIMEOUT` | seconds of silence after which a connection is given up | 10 |

Read next: `cache.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .errors import HubError


class Settings(NamedTuple):
    """Everything that the environment decides, read once for each call and passed on."""

    cache: Path
    assets: Path
    endpoint: str
    token: str | None
    offline: bool
    timeout: float


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings, from `os.environ` unless another mapping is given.

    Raises
    ------
    HubError
        If the server is no http address, the timeout no positive number, or the token holds a control character.

    Examples
    --------
    >>> settings = from_environment({"HF_HOME": "models", "HF_HUB_OFFLINE": "1"})
    >>> settings.cache.as_posix(), settings.endpoint, settings.offline
    ('models/hub', 'https://huggingface.co', True)
    """
    variables = os.environ if environment is None else environment
    general = _folder(variables.get("XDG_CACHE_HOME") or "~/.cache")
    home = _folder(variables["HF_HOME"]) if variables.get("HF_HOME") else general / "huggingface"
    return Settings(
        cache=_folder(variables["HF_HUB_CACHE"]) if variables.get("HF_HUB_CACHE") else home / "hub",
        assets=_folder(variables["HF_ASSETS_CACHE"]) if variables.get("HF_ASSETS_CACHE") else home / "assets",
        endpoint=_endpoint(variables.get("HF_ENDPOINT") or "https://huggingface.co"),
        token=_token(variables.get("HF_TOKEN", "")),
        offline=variables.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"},
        timeout=_timeout(variables.get("HF_HUB_DOWNLOAD_TIMEOUT") or "10"),
    )


def _folder(text: str) -> Path:
    return Path(os.path.expandvars(os.path.expanduser(text)))


def _endpoint(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise HubError(f"HF_ENDPOINT is {text!r}; it must start with https:// or http://")
    return text.rstrip("/")


def _token(text: str) -> str | None:
    token = text.strip()  # a token read from a file often ends in a newline
    if not token.isprintable() or not token.isascii():
        raise HubError("HF_TOKEN holds characters that no token has; copy it again")
    return token or None


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise HubError(f"HF_HUB_DOWNLOAD_TIMEOUT is {text!r}; it must be a positive number of seconds")
    return seconds
