"""Google's archives of 2018 to 2020: one zip with a TensorFlow checkpoint, its bert_config.json and its vocab.txt.

They are no repositories, so they lie beside the models: `$HF_HOME/assets/bert_numpy/archives/uncased_L-12_H-768_A-12/`.
An unpacked folder is complete: it is filled under another name, and renamed when every member has been checked.
"""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path, PurePosixPath

from .errors import HubError, writing
from .parts import ABANDONED
from .progress import Callback
from .registry import Model
from .settings import Settings
from .transfer import Wanted, digest, fetch

# Only these are unpacked, and without the folders of the archive, so that no name in it can lead anywhere else.
MEMBERS = (
    "bert_config.json",
    "vocab.txt",
    "bert_model.ckpt.index",
    "bert_model.ckpt.data-00000-of-00001",
    "bert_model.ckpt.meta",
)
_NEEDED = MEMBERS[:4]


def folder_of(settings: Settings, model: Model) -> Path:
    """Where an archive is, or will be, unpacked."""
    return settings.assets / "bert_numpy" / "archives" / model.name


def download_archive(settings: Settings, model: Model, progress: Callback | None) -> Path:
    """Download and unpack an archive of the registry, and return its folder.

    Raises
    ------
    HubError
        If it cannot be had, is damaged, or is not what the registry says.
    """
    folder = folder_of(settings, model)
    file = f"{model.name}.zip"
    wanted = Wanted(str(model.url), file, f"{model.name}: {file}", timeout=settings.timeout)  # never with a token
    part, _ = fetch(wanted, folder.parent, progress, lambda told: folder.is_dir())
    if part.path is None:  # another process was faster
        return folder
    with writing(folder):
        try:
            _unpack(part.complete, folder, model)  # if this is killed, the part is still there
        except FileNotFoundError:
            if not folder.is_dir():
                raise  # else another process was faster, and has deleted the part
        except HubError:
            part.discard()
            raise
        except BaseException:  # interrupted: the next attempt need not download again
            part.release()
            raise
        etag = part.etag
        part.discard()
        part.delete_others(etag)
    return folder


def _unpack(archive: Path, folder: Path, model: Model) -> None:
    import shutil
    import zlib

    for old in folder.parent.glob(f".{model.name}.*.tmp"):  # of processes that were killed here
        if time.time() - old.stat().st_mtime > ABANDONED:
            shutil.rmtree(old, ignore_errors=True)
    temporary = folder.parent / f".{model.name}.{os.urandom(4).hex()}.tmp"
    temporary.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {PurePosixPath(info.filename).name: info for info in opened.infolist()}
            missing = [name for name in _NEEDED if name not in members]
            if missing:
                raise HubError(f"{model.name}: the archive has no {', '.join(missing)}")
            for name in MEMBERS:
                if name in members:
                    with opened.open(members[name]) as source, open(temporary / name, "wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                        target.flush()
                        os.fsync(target.fileno())
                    _check(temporary / name, model)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise HubError(f"{model.name}: {model.url} is no intact zip archive ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(path: Path, model: Model) -> None:
    pin = model.files.get(path.name)
    if pin is None or pin.sha256 is None:
        return
    actual = digest(path, "sha256")
    if actual != pin.sha256:
        raise HubError(f"{model.name}: {path.name} in the archive has SHA-256 {actual}, expected {pin.sha256}")
