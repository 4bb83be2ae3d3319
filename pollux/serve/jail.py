# SPDX-License-Identifier: Apache-2.0
"""Runs a program that nobody trusts: `python -I -S jail.py`, with the job as JSON on its input.

A script of its own, with nothing but the standard library, started by sandbox.py. It makes
namespaces of its own (users, mounts, processes, network, IPC, host name), in which there is no
file but the standard library, read-only, and an empty directory to work in; gives up every
capability; sets limits; and leaves the program only the system calls of syscalls.py. The program's
output is that of this process; on its standard error it says in JSON how the program ended, or why
this system cannot run it.
"""

import base64
import ctypes
import json
import linecache
import os
import resource
import signal
import sys
import sysconfig
import traceback
import types
from pathlib import Path
from typing import NoReturn

NEW = {"mounts": 0x20000, "cgroups": 0x2000000, "host name": 0x4000000, "IPC": 0x8000000}
NEW |= {"users": 0x10000000, "processes": 0x20000000, "network": 0x40000000}
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
DETACH = 2
SET_DEATH_SIGNAL, SET_SECCOMP, SET_NO_NEW_PRIVILEGES = 1, 22, 38
DROP_BOUNDING, FILTER_MODE = 24, 2
CAPABILITIES_VERSION = 0x20080522
FILES = 64  # open at a time
INODES = 1_024  # in the directory to work in
# These load libraries that the program will not find.
READY = ("bz2", "ctypes", "decimal", "hashlib", "lzma", "pyexpat", "sqlite3", "uuid", "zlib")

BEGUN = b"+"

libc = ctypes.CDLL(None, use_errno=True)
LONG, TEXT = ctypes.c_ulong, ctypes.c_char_p
libc.mount.argtypes = [TEXT, TEXT, TEXT, LONG, TEXT]
libc.prctl.argtypes = [ctypes.c_int, LONG, LONG, LONG, LONG]


class Refused(Exception):
    """This system does not let us make the sandbox."""


def main() -> None:
    die_with_parent()
    job = json.loads(sys.stdin.buffer.read())
    for name in READY:
        try:
            __import__(name)
        except ImportError:  # this Python was built without it
            continue
    told, tell = os.pipe()
    try:
        unshare()
        process = os.fork()
    except (Refused, OSError) as error:
        end(refused=str(error))
    if not process:
        os.close(told)
        inside(job, tell)
    os.close(tell)
    word = os.read(told, 1_000)
    _, status = os.waitpid(process, 0)
    if word != BEGUN:
        end(refused=word.decode(errors="replace") or "it ended before it began")
    end(code=os.waitstatus_to_exitcode(status))


def end(**how: object) -> NoReturn:
    os.write(2, json.dumps(how).encode())
    os._exit(0)


def die_with_parent() -> None:
    call("it would outlive the server", libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))


def call(what: str, result: int) -> None:
    if result:
        raise Refused(f"{what}: {os.strerror(ctypes.get_errno()).lower()}")


def unshare() -> None:
    """Namespaces of our own, in which this user is the only one."""
    user, group = os.getuid(), os.getgid()
    call("no namespaces of its own", libc.unshare(sum(NEW.values())))
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"65534 {user} 1")
        Path("/proc/self/gid_map").write_text(f"65534 {group} 1")
    except OSError as error:
        raise Refused(f"no users of its own: {(error.strerror or '').lower()}") from None


def inside(job: dict, tell: int) -> NoReturn:
    """The first process of its namespace: when it ends, everything in it does."""
    try:
        os.setsid()  # signals to its group reach nobody else
        confine(Path(job["directory"]), job["work"])
        limit(job["seconds"], job["memory"], job["work"])
        give_up(base64.b64decode(job["filter"]))
        os.write(tell, BEGUN)
    except (Refused, OSError, ValueError) as error:
        os.write(tell, str(error).encode()[:1_000])
        os._exit(1)
    os.close(tell)
    os.dup2(1, 2)
    os._exit(run(job["program"]))


def confine(directory: Path, work: int) -> None:
    """A root with the standard library and a place to work, where we then are."""
    source = Path(sysconfig.get_paths()["stdlib"])
    mount("none", "/", "", RECURSIVE | PRIVATE)
    mount("tmpfs", str(directory), "tmpfs", NO_SUID | NO_DEVICES, "size=64k,mode=755")
    library, place = directory / "lib", directory / "work"
    for made in (library, place):
        made.mkdir()
    mount(str(source), str(library), "", BIND)
    kept = os.statvfs(library).f_flag & (NO_SUID | NO_DEVICES | NO_EXEC)
    mount("none", str(library), "", REMOUNT | BIND | READ_ONLY | kept | NO_SUID | NO_DEVICES)
    for packages in ("site-packages", "dist-packages"):
        if (library / packages).is_dir():
            hidden = READ_ONLY | NO_SUID | NO_DEVICES
            mount("tmpfs", str(library / packages), "tmpfs", hidden, "size=4k,mode=555")
    room = f"size={work},nr_inodes={INODES},mode=700"
    mount("tmpfs", str(place), "tmpfs", NO_SUID | NO_DEVICES | NO_EXEC, room)
    os.chdir(directory)
    call("no root of its own", libc.pivot_root(b".", b"."))
    call("the old root stays", libc.umount2(b".", DETACH))
    mount("none", "/", "", REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES)
    os.chdir("/work")
    os.environ.clear()
    os.environ.update(HOME="/work", TMPDIR="/work")
    sys.path[:] = ["/work", "/lib", "/lib/lib-dynload"]
    sys.argv[:] = ["main.py"]
    sys.executable = ""
    sys.prefix = sys.base_prefix = sys.exec_prefix = sys.base_exec_prefix = "/"


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    given = (source.encode(), target.encode(), kind.encode(), flags, options.encode())
    call("no mounts of its own", libc.mount(*given))


def limit(seconds: int, memory: int, work: int) -> None:
    """What the kernel holds it to, of processor, memory and files."""
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, work),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_NPROC, 1),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(what, (most, most))


def give_up(filtered: bytes) -> None:
    """No capabilities, none to be had, and few system calls; ends with whoever started it."""

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]

    for capability in range(64):
        libc.prctl(DROP_BOUNDING, capability, 0, 0, 0)  # the kernel knows fewer
    nothing = (ctypes.c_uint32 * 6)()
    header = Header(CAPABILITIES_VERSION, 0)
    call("capabilities stay", libc.capset(ctypes.byref(header), nothing))
    die_with_parent()  # after the last change of what it may do, which undoes it
    call("privileges stay", libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    program = Filter(len(filtered) // 8, filtered)
    call("no seccomp", libc.prctl(SET_SECCOMP, FILTER_MODE, ctypes.addressof(program), 0, 0))


def run(program: str) -> int:
    """As `python main.py` would; its exit code."""
    lines = program.splitlines(keepends=True)
    linecache.cache["main.py"] = (len(program), None, lines, "main.py")
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", errors="replace", buffering=1)
    code = 0
    try:
        exec(compile(program, "main.py", "exec"), module.__dict__)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if not isinstance(error.code, int | None):
            sys.stdout.write(f"{error.code}\n")
    except BaseException as error:
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, frames, file=sys.stdout)
        code = 1
    try:
        sys.stdout.flush()
    except BaseException:
        code = 1
    return code & 255


if __name__ == "__main__":
    main()
