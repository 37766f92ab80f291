"""What can go wrong with finding and downloading, as exceptions.

Two classes are enough for callers: `HubError` for everything, `ModelNotFoundError` where the model or file does not
exist or is not here.  The message is one line that names the file, what came instead, and what helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class HubError(OSError):
    """A model cannot be had: the server, the network, the cache folder or the content is at fault.

    Examples
    --------
    >>> raise HubError("google-bert/bert-base-uncased: the server cannot be reached")
    Traceback (most recent call last):
    bert_numpy.hub.errors.HubError: google-bert/bert-base-uncased: the server cannot be reached
    """


class ModelNotFoundError(HubError, FileNotFoundError):
    """There is no such model or file: not in any folder, not in the cache, or not on the server.

    Examples
    --------
    >>> issubclass(ModelNotFoundError, FileNotFoundError)
    True
    """


class TransientError(HubError):
    """A fault that may pass, for which `transfer.py` tries again; callers only ever see it as a `HubError`.

    Parameters
    ----------
    message : str
    wait : float, optional
        Seconds that the server asked to wait; None leaves it to the back-off.
    cost : int
        How many of the tries it takes: what cannot be reached at all is not worth as many.

    Examples
    --------
    >>> TransientError("google-bert/bert-base-uncased: 503", wait=2.0).wait
    2.0
    """

    def __init__(self, message: str, wait: float | None = None, cost: int = 1) -> None:
        super().__init__(message)
        self.wait = wait
        self.cost = cost


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the file system into one message that says how to use another folder.

    Raises
    ------
    HubError
        For any OSError.
    """
    try:
        yield
    except HubError:
        raise
    except OSError as error:
        raise HubError(
            f"{path}: cannot be written: {error.strerror or error}; HF_HUB_CACHE names another folder for downloads"
        ) from error
