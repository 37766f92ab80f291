"""The process that a submission runs in.  A stand-alone script: `python -I harness.py FOLDER`.

The folder holds `request.pickle`, written by the grader, and `given.zip`, the package without the solution.  The script
runs the student's cells, calls the function, and writes what came of it: `result.json`, with the arrays in
`result.npz`.  It judges nothing: the expected outputs never enter this process, so that nothing a submission does here
can make a wrong answer right.

Before the first line of a submission runs, limits are set and a guard is installed that Python code cannot take away
(`sys.addaudithook`): no network, no other processes, no writing outside the folder, no reading of anything but the
standard library, NumPy, regex and the folder.  The guard ends the process.  What it would not be told of is taken away:
functions of `os`, modules that open files in C.  It is a fence for students, not a wall against experts: grade
strangers' submissions in a container.
"""

from __future__ import annotations

import builtins
import json
import linecache
import os
import pickle
import stat
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

GUARDED = 77  # exit code: the guard ended the process
UNFINISHED = 78  # exit code: the harness itself could not go on
FORBIDDEN = {  # beginning of an audit event -> what was tried
    "subprocess.": "start a process",
    "os.system": "start a process",
    "os.exec": "start a process",
    "os.posix_spawn": "start a process",
    "os.spawn": "start a process",
    "os.fork": "start a process",
    "os.startfile": "start a process",
    "pty.": "start a process",
    "_winapi.": "start a process",
    "os.kill": "send a signal",
    "signal.pthread_kill": "send a signal",
    "socket.": "use the network",
    "urllib.": "use the network",
    "ctypes.": "call machine code",
    "mmap.": "map memory",
    "winreg.": "use the registry",
    "sqlite3.": "open a database",
    "syslog.": "write to the system's log",
    "resource.": "change its limits",
    "_wmi.": "ask the system",
    "os.add_dll_directory": "load machine code",
    "sys.remote_exec": "run code in another process",
    "os.rename": "rename a file",
    "os.rmdir": "remove a folder",
    "os.mkdir": "make a folder",
    "os.link": "make a link",
    "os.symlink": "make a link",
    "os.truncate": "change a file",
    "os.ch": "change a folder, an owner or a mode",
    "os.fchdir": "change the folder",
    "os.utime": "change a file",
    "os.setxattr": "change a file",
    "shutil.": "copy or move files",
    "gc.get_": "search the objects of the interpreter",
    "sys._current": "look into other frames",
}
OF_OS = """
    mkfifo mknod chroot unshare setns memfd_create pidfd_open nice setpriority sched_setaffinity sched_setscheduler
    sched_setparam setuid seteuid setreuid setresuid setgid setegid setregid setresgid setgroups initgroups setsid
    setpgid setpgrp tcsetpgrp killpg sync openpty posix_openpt login_tty plock
"""
TAKEN_AWAY = {  # module -> functions that reach outside the process or its folder, of which the guard is not told
    **{module: OF_OS.split() for module in ("os", "posix", "nt")},
    **{module: ["pidfd_send_signal", "pthread_kill"] for module in ("signal", "_signal")},
    **{module: ["fork_exec", "_fork_exec"] for module in ("_posixsubprocess", "subprocess")},
    "_imp": ["create_builtin"],  # it would make a new `posix` with all of its functions
}
OF_THE_LIBRARY = """
    _posixsubprocess _xxsubinterpreters _xxinterpchannels _interpreters _interpchannels _interpqueues _remote_debugging
    _testcapi _testinternalcapi _testlimitedcapi _testexternalinspection _testsinglephase _testmultiphase _xxtestfuzz
    _posixshmem _multiprocessing _sqlite3 _dbm _gdbm _tkinter _ssl _curses _curses_panel readline syslog ossaudiodev nis
    spwd _overlapped _msi _wmi winsound _scproxy
"""
ABSENT = set(OF_THE_LIBRARY.split())  # modules of the standard library that do so too
ONE_PROCESS = {"multiprocessing.connection", "multiprocessing.synchronize", "multiprocessing.resource_tracker"}
OWN_FILES = {"request.pickle", "given.zip", "printed.txt", "guard.txt", "result.json", "result.npz"}
ALWAYS = {"numpy", "regex", "bert_numpy"}  # what may be imported beside the standard library


def no_question(*args: Any, **kwargs: Any) -> Any:
    """In the place of `input` and `breakpoint`: an ordinary error, with the line where it was raised."""
    raise EOFError("nobody is at the keyboard during a check, so input() and breakpoint() cannot be used")


class NotHere:
    """Refuses imports of other packages with an ordinary error, so that a cell that draws fails alone."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        first = name.partition(".")[0]
        if name in ONE_PROCESS:
            raise ModuleNotFoundError(f"{name} is not at hand here: a check starts no other processes", name=name)
        if first in ABSENT:
            raise ModuleNotFoundError(f"{first} is not at hand here: it reaches outside the check", name=name)
        known = first in ALWAYS or first in sys.stdlib_module_names or first.startswith("_sysconfigdata")
        if not known:
            raise ModuleNotFoundError(f"{first} is not at hand here; the standard library and numpy are", name=name)


def main(folder: str) -> None:
    """Carry out the request in a folder; the process ends without cleaning up, whatever a submission left behind."""
    with open(os.path.join(folder, "request.pickle"), "rb") as file:
        request = file.read()
    settings = json.loads(request.partition(b"\n")[0])
    sys.path.extend(path for path in settings["paths"] if path not in sys.path)
    sys.path.insert(0, os.path.join(folder, "given.zip"))

    import numpy as np
    import regex  # type: ignore[import-untyped]

    from bert_numpy.classroom import calls
    from bert_numpy.nn import blas

    blas.can_be_switched()  # asks for a function of BLAS, which the guard would not let pass later
    tools = (calls, np.savez, json.dumps)
    content = pickle.loads(request.partition(b"\n")[2])  # the grader's own bytes
    packages = [os.path.dirname(os.path.abspath(module.__file__ or "")) for module in (np, regex)]
    result_json = open(os.path.join(folder, "result.json"), "wb")  # noqa: SIM115  ended with the process
    result_npz = open(os.path.join(folder, "result.npz"), "wb")  # noqa: SIM115
    report = os.open(os.path.join(folder, "guard.txt"), os.O_WRONLY | os.O_CREAT)
    finish, any_error = os._exit, BaseException
    give_up = _last_words(report)
    _limit(settings["memory"], settings["seconds"], settings["output"])
    builtins.input = sys.breakpointhook = no_question
    _no_reading_of_sources()
    _take_away()
    sys.meta_path.insert(0, NotHere())
    sys.addaudithook(_guard(folder, packages, settings["forbidden"], report))
    try:
        answer, arrays = _answer(content, tools[0])
    except any_error as error:
        give_up("it broke off", error)
    try:
        tools[1](result_npz, **arrays)
        result_npz.flush()
        result_json.write(tools[2](answer).encode())
        result_json.flush()
        sys.stdout.flush()
    except any_error as error:
        give_up("what came of it could not be written down", error)
    finish(0)


def _last_words(report: int) -> Callable[[str, BaseException], None]:
    """The function that says what went wrong and ends the process, in spite of builtins that were replaced."""
    kind, write, end, code, any_error = type, os.write, os._exit, UNFINISHED, BaseException
    is_a, usual, system = isinstance, Exception, OSError
    blamed = "; does it replace functions or classes of Python or NumPy?"

    def give_up(what: str, error: BaseException) -> None:
        try:
            text = what + ": " + kind(error).__name__
            message = error.__str__()
            text += ": " + message[:120] if message else ""
            text += blamed if is_a(error, usual) and not is_a(error, system) else ""
        except any_error:
            text = what + blamed
        try:
            write(report, text.encode("utf-8", "backslashreplace")[:300])
        finally:
            end(code)

    return give_up


def _answer(content: dict[str, Any], calls: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the cells and the calls: (what is written as JSON, the arrays that it refers to)."""
    namespace = calls.new_namespace()
    errors = []
    for name, source in content["cells"]:
        error = calls.run_cell(name, source, namespace)
        errors += [error] if error else []
    try:
        calls.use_library(content["others"], namespace)
        function = calls.find_function(content["name"], namespace)
    except calls.WrongReturn as error:
        return {"missing": str(error), "cells": errors, "observations": []}, {}
    arrays: dict[str, Any] = {}
    observations = [calls.observe(content["call"], function, args) for args in content["args"]]
    return {"cells": errors, "observations": [_encoded(o, arrays) for o in observations]}, arrays


def _encoded(observation: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """An observation with the names of arrays in the place of arrays."""
    encoded = dict(observation)
    for side in ("outputs", "arguments"):
        flat = encoded.get(side)
        if flat is not None:
            encoded[side] = {}
            for path, leaf in flat.items():
                if hasattr(leaf, "dtype"):
                    key = f"a{len(arrays)}"
                    arrays[key] = leaf
                    encoded[side][path] = {"array": key}
                else:
                    encoded[side][path] = leaf
    return encoded


# ---- limits and guard ----


def _take_away() -> None:
    """Put errors in the place of the functions of which the guard is not told, here and wherever they are kept."""
    import subprocess  # noqa: F401  so that modules that import it later find it without its one function

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sys.builtin_module_names:  # now: none of them can be made later
            if name not in ABSENT and name != "_asyncio":  # which takes long, and which asyncio can do without
                try:
                    __import__(name)
                except Exception:  # a module that this system only has by name
                    continue
    for module, functions in TAKEN_AWAY.items():
        for function in functions:
            original = getattr(sys.modules.get(module), function, None)
            if original is not None:
                setattr(sys.modules[module], function, _refusal(f"{module}.{function}"))
                for capable in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                    capable.discard(original)
    for name in ABSENT | ONE_PROCESS:
        sys.modules.pop(name, None)


def _refusal(name: str) -> Callable[..., Any]:
    error = ImportError if name.startswith("_imp.") else PermissionError

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error(f"{name} is not at hand here: it reaches outside the check")

    return refuse


def _no_reading_of_sources() -> None:
    """Have tracebacks shown without opening files that the guard would not let pass: this one, and those of no file."""

    def show(kind: Any, error: Any, trace: Any) -> None:
        traceback.print_exception(kind, error, trace)

    def show_args(args: Any) -> None:
        show(args.exc_type, args.exc_value, args.exc_traceback)

    linecache.cache[__file__] = (1, None, [], __file__)  # None: not to be looked up again
    sys.excepthook = show
    sys.unraisablehook = threading.excepthook = show_args


def _limit(memory: int, seconds: int, output: int) -> None:
    """Bytes of memory, seconds of processor time, bytes of one file; where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    wanted = {
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_CPU": (seconds, seconds + 1),  # a signal that can be ignored, then one that cannot
        "RLIMIT_FSIZE": (output, output),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_NPROC": (0, 0),  # no further process or thread, where one is not root
    }
    for name, values in wanted.items():
        limit = getattr(resource, name, None)
        if limit is not None:
            try:
                resource.setrlimit(limit, values)
            except (ValueError, OSError):  # macOS refuses some
                continue


def _guard(folder: str, packages: list[str], forbidden: str, report: int) -> Callable[[str, tuple[Any, ...]], None]:
    """The hook.  It uses nothing that a submission can reach and replace, raises nothing and calls nothing foreign."""
    plain = os.name != "nt"
    separator = "/" if plain else "\\"

    def normal(path: str) -> str:
        return path if plain else path.replace("/", "\\").lower()

    paths = sysconfig.get_paths()
    stdlib = {paths["stdlib"], paths["platstdlib"], os.path.join(sys.base_prefix, "DLLs")}
    stdlib |= {path for path in sys.path if path.endswith("lib-dynload")}
    library = tuple(normal(p) + separator for root in stdlib for p in (root, os.path.realpath(root)))
    own = tuple(normal(p) + separator for p in (folder, os.path.realpath(folder)))
    beside = (separator, ".", "-")  # numpy, numpy.libs, numpy-2.0.0.dist-info
    others = tuple(normal(p) + mark for root in packages for p in (root, os.path.realpath(root)) for mark in beside)
    given = os.path.join(folder, "given.zip")
    hidden = tuple(normal(p) + separator for p in (forbidden, os.path.realpath(forbidden), given))
    harmless = ("/dev/null", "/dev/urandom", "nul", *(normal(p) for p in sys.path if p.endswith(".zip")))
    aside = tuple(separator + name + separator for name in ("site-packages", "dist-packages"))
    climbing = separator + ".." + separator
    here = normal(folder) + separator
    events = tuple(FORBIDDEN.items())
    absent = frozenset(ABSENT)
    roots = (folder, *stdlib, *packages, *sys.path)
    listable = frozenset(normal(p) for root in roots for p in (root, os.path.realpath(root)))
    own_files, itself = frozenset(OWN_FILES), frozenset(normal(p) for p in (folder, os.path.realpath(folder)))
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    end, write, status, is_folder, code = os._exit, os.write, os.stat, stat.S_ISDIR, GUARDED
    kind, integer, string, octets, length = type, int, str, bytes, len
    failure: type[BaseException] = BaseException
    os_error: type[BaseException] = OSError
    softly: type[BaseException] = IsADirectoryError  # of which tempfile and pdb make nothing

    def stop(what: str) -> None:
        try:
            write(report, what.encode("utf-8", "backslashreplace")[:300])
        finally:
            end(code)

    def is_same_code(old: Any, new: Any) -> bool:
        """Whether it does the same: `types.coroutine`, which asyncio uses, only sets a flag."""
        if kind(new) is not kind(old) or new.co_code != old.co_code:
            return False
        return new.co_consts is old.co_consts and new.co_names is old.co_names and new.co_freevars == old.co_freevars

    def full_path(what: str, path: Any) -> str:
        """A plain path from the root on, that does not climb."""
        if kind(path) is octets:
            path = path.decode("utf-8", "surrogateescape")
        if kind(path) is not string:
            stop(what + " something that is no plain path")
        full = normal(path)
        if not (full.startswith(separator) or full[1:2] == ":"):
            full = here + full
        if climbing in full + separator:
            stop(what + " a path that climbs up: " + path)
        return full

    def judge_open(path: Any, mode: Any, flags: Any) -> bool:
        """Whether it is refused with an ordinary error; what is forbidden ends the process."""
        if kind(path) is integer:
            return False
        full = full_path("open", path)
        path = path if kind(path) is string else full
        if full.startswith(hidden):
            stop("read the library's own source: " + path)
        if full in itself:  # tempfile names the folder, and has the file opened by a function of its own
            return kind(mode) is not string
        if full.endswith(".pdbrc"):
            return True
        writes = kind(flags) is integer and flags & writing
        if kind(mode) is string and ("w" in mode or "a" in mode or "x" in mode or "+" in mode):
            writes = True
        if full.startswith(own) or full in harmless:
            allowed = True
        else:
            inside = full.startswith(library) and not (aside[0] in full or aside[1] in full)
            allowed = not writes and (inside or full.startswith(others))
        if not allowed:
            stop(("write to " if writes else "read ") + path)
        if mode is None and kind(flags) is integer:  # os.open: a folder's descriptor would be a way around all this
            try:
                mode_bits = status(path).st_mode
            except os_error:
                return False
            if is_folder(mode_bits):
                stop("open a folder: " + path)
        return False

    def judge_remove(path: Any, folder: Any) -> None:
        """Only what the submission has written itself: temporary files."""
        if folder != -1:
            stop("remove a file by the descriptor of its folder")
        full = full_path("remove a file by", path)
        if not full.startswith(own) or full.rpartition(separator)[2].lower() in own_files:
            stop("remove a file: " + full)

    def judge_import(path: Any) -> None:
        """An extension module, on its way into the process."""
        full = full_path("load machine code from", path)
        if not full.startswith(library + others):
            stop("load machine code: " + full)
        if full.rpartition(separator)[2].partition(".")[0] in absent:
            stop("import " + full.rpartition(separator)[2].partition(".")[0])

    def judge_list(path: Any) -> None:
        if path is None or kind(path) is integer:
            return
        full = full_path("list a folder by", path)
        if not (full.rstrip(separator) in listable or full.startswith(own + library + others)):
            stop("list the folder " + full)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        refused = False
        try:
            if event == "open":
                refused = judge_open(args[0], args[1], args[2])
            elif event == "os.remove":
                judge_remove(args[0], args[1])
            elif event == "import":
                if args[1] is not None:  # else nothing is loaded yet
                    judge_import(args[1])
            elif event == "os.listdir" or event == "os.scandir":
                judge_list(args[0])
            elif event == "object.__setattr__":
                if length(args) > 1 and args[1] == "__code__" and not is_same_code(args[0].__code__, args[2]):
                    stop("replace the code of a function")
            else:
                for beginning, what in events:
                    if event.startswith(beginning):
                        stop(what + " (" + event + ")")
        except failure:
            end(code)
        if refused:
            raise softly("this cannot be opened during a check")

    return hook


if __name__ == "__main__":
    main(sys.argv[1])
