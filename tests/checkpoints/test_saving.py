"""A save is all or nothing: whatever fails, the old file stays whole and no new file is left."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from bert_numpy.checkpoints import CheckpointError, CheckpointNotFoundError, files, safetensors

OLD = {"a": np.arange(5.0), "b": np.zeros((2, 3), np.float32)}
NEW = {"a": np.arange(50.0), "b": np.ones((20, 3), np.float32)}


@pytest.fixture
def saved(tmp_path, same):
    """The path of a file that holds OLD; afterwards it must still, and be alone in its folder."""
    path = tmp_path / "model.safetensors"
    safetensors.save_file(OLD, path)
    yield path
    assert os.listdir(tmp_path) == ["model.safetensors"]
    same(safetensors.load_file(path), OLD)


def failing_at(monkeypatch, step, error):
    """Make the save raise at a step; return the list in which reaching it is recorded."""
    reached = []

    def fail(*_args, **_kwargs):
        reached.append(step)
        raise error

    if step == "second tensor":
        stored = safetensors._stored
        monkeypatch.setattr(safetensors, "_stored", lambda a, d: stored(a, d) if a is NEW["a"] else fail())
    else:
        monkeypatch.setattr(files.os, step, fail)
    return reached


STEPS = ["open", "second tensor", "fsync", "replace"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS])
def test_failing_save_says_why_and_leaves_the_old_file(saved, monkeypatch, step, code):
    with monkeypatch.context() as patch:
        reached = failing_at(patch, step, OSError(code, os.strerror(code)))
        with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be written: ") as caught:
            safetensors.save_file(NEW, saved)
    assert reached[0] == step
    assert os.strerror(code) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_save_leaves_the_old_file(saved, monkeypatch, step):
    with monkeypatch.context() as patch:
        reached = failing_at(patch, step, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            safetensors.save_file(NEW, saved)
    assert reached[0] == step


@pytest.mark.parametrize("path_of_step", ["write", "fsync", "replace"])
def test_killed_process_leaves_the_old_file(tmp_path, same, path_of_step):
    """Nothing can be tidied up then, but what is left behind is hidden and never loaded."""
    path = tmp_path / "model.safetensors"
    safetensors.save_file(OLD, path)
    program = """
        import os, signal, sys
        import numpy as np
        from bert_numpy.checkpoints import safetensors
        def die(*_): os.kill(os.getpid(), signal.SIGTERM) if os.name == "nt" else os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[2] == "write": safetensors._stored = die
        else: setattr(os, sys.argv[2], die)
        safetensors.save_file({"a": np.ones(9)}, sys.argv[1])
    """
    done = run(program, path, path_of_step)
    assert done.returncode in (-getattr(signal, "SIGKILL", 9), signal.SIGTERM)
    same(safetensors.load_file(path), OLD)
    leftovers = sorted(set(os.listdir(tmp_path)) - {"model.safetensors"})
    assert len(leftovers) == 1
    assert leftovers[0].startswith(".model.safetensors.")
    assert leftovers[0].endswith(".tmp")


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_file_size_limit_of_the_system(saved):
    """A real refusal by the kernel in the middle of the data, not a simulated one."""
    program = """
        import resource, signal, sys
        import numpy as np
        from bert_numpy.checkpoints import CheckpointError, safetensors
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try: safetensors.save_file({"a": np.ones(1_000_000)}, sys.argv[1])
        except CheckpointError as error: print(error)
    """
    done = run(program, saved)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors: cannot be written: File too large" in done.stdout


def run(program, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_data_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    path, order = tmp_path / "model.safetensors", []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor):
        status = os.fstat(descriptor)
        order.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)
        fsync(descriptor)

    def recording_replace(source, target):
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    safetensors.save_file(OLD, path)
    whole = len(safetensors.save(OLD, {"format": "pt"}))  # nothing waits in a buffer when the file is synced
    assert order == [whole, "replace", *([] if os.name == "nt" else ["folder"])]


def test_folder_that_cannot_be_synced_is_no_failure(saved, monkeypatch):
    monkeypatch.setattr(files, "_sync_folder", lambda folder: None)
    safetensors.save_file(OLD, saved)


def test_umask_decides_who_may_read(tmp_path):
    if os.name == "nt":
        pytest.skip("no umask")
    before = os.umask(0o027)
    try:
        safetensors.save_file(OLD, tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o640


def test_path_is_a_folder(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="this is a folder"):
        safetensors.save_file(NEW, tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_folder_is_missing(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"cannot be written: no such file or folder"):
        safetensors.save_file(NEW, tmp_path / "nowhere" / "model.safetensors")


def test_folder_is_a_file(saved):
    with pytest.raises(CheckpointError, match="cannot be written"):
        safetensors.save_file(NEW, saved / "model.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_device_or_pipe_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="device, pipe or socket"):
        safetensors.save_file(NEW, tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_link_is_replaced_and_its_target_kept(tmp_path, same):
    blob, link = tmp_path / "blob", tmp_path / "model.safetensors"
    safetensors.save_file(OLD, blob)
    try:
        link.symlink_to(blob)
    except OSError:
        pytest.skip("no symbolic links here")
    safetensors.save_file(NEW, link)
    same(safetensors.load_file(blob), OLD)
    same(safetensors.load_file(link), NEW)


def test_relative_and_very_long_names(tmp_path, monkeypatch, same):
    monkeypatch.chdir(tmp_path)
    synced = []
    monkeypatch.setattr(files, "_sync_folder", synced.append)
    name = "n" * 230 + ".safetensors"  # with a suffix it would pass the usual limit of 255
    safetensors.save_file(OLD, name)
    assert synced == [os.curdir]
    assert os.listdir(tmp_path) == [name]
    same(safetensors.load_file(name), OLD)


REFUSED = {
    "list": ({"a": [1.0]}, "is of type list, an ndarray was wanted"),
    "object": ({"a": np.array([None])}, "has dtype object"),
    "text": ({"a": np.array(["x"])}, "has dtype <U1"),
    "bytes": ({"a": np.array([b"x"])}, "has dtype |S1"),
    "dates": ({"a": np.array(["2020-01-01"], "M8[D]")}, "has dtype datetime64"),
    "complex128": ({"a": np.zeros(1, complex)}, "has dtype complex128"),
    "complex256": ({"a": np.zeros(1, np.clongdouble)}, "has dtype complex"),
    "structured": ({"a": np.zeros(1, "f4,f4")}, "has dtype [("),
    "key is an int": ({1: np.ones(1)}, "1 cannot be the name of a tensor"),
    "key is bytes": ({b"a": np.ones(1)}, "b'a' cannot be the name"),
    "reserved name": ({"__metadata__": np.ones(1)}, "'__metadata__' cannot be the name"),
    "half a surrogate pair": ({"\ud800": np.ones(1)}, r"'\ud800' cannot be the name"),
}
if np.dtype(np.longdouble).itemsize > 8:  # elsewhere long double is an ordinary double
    REFUSED["longdouble"] = ({"a": np.zeros(1, np.longdouble)}, "has dtype float")


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_format_cannot_hold_is_refused_before_anything_is_written(saved, case):
    tensors, fragment = REFUSED[case]
    with pytest.raises(CheckpointError) as caught:
        safetensors.save_file(tensors, saved)
    assert fragment in str(caught.value)
    with pytest.raises(CheckpointError):
        safetensors.save(tensors)


@pytest.mark.parametrize("metadata", [{"a": 1}, {1: "a"}, {"a": None}, {"a": "\udfff"}])
def test_metadata_must_be_text(saved, metadata):
    with pytest.raises(CheckpointError, match="metadata must map text to text"):
        safetensors.save_file(NEW, saved, metadata)


def test_header_beyond_the_limit_of_the_format(saved, monkeypatch):
    from bert_numpy.checkpoints import safetensors_header

    monkeypatch.setattr(safetensors_header, "SIZE_LIMIT", 100)
    with pytest.raises(CheckpointError, match="the format allows 100"):
        safetensors.save_file(NEW, saved)
    monkeypatch.undo()
