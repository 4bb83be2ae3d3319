# SPDX-License-Identifier: Apache-2.0
"""What a program in the sandbox can do, and all that it cannot."""

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pollux.serve import sandbox, syscalls
from pollux.serve.errors import ApiError
from pollux.serve.sandbox import MEBIBYTE, Limits, run
from tests.serve.conftest import FACT, NUMBER, QUESTION, asked

needs_sandbox = pytest.mark.skipif(
    bool(sandbox.why_not()), reason=f"no sandbox here: {sandbox.why_not()}"
)
URL = "/v1beta/models/spark:generateContent"
TOOL = {"tools": [{"codeExecution": {}}]}


PATIENT = Limits(seconds=60)  # where a slow machine is not what is tested


def failed(program, **limits):
    found = run(program, replace(PATIENT, **limits))
    assert found.outcome == "OUTCOME_FAILED", found
    return found.output


@needs_sandbox
def test_an_ordinary_program():
    program = """
import csv, datetime, decimal, hashlib, io, json, math, random, re, statistics, sqlite3, zlib
from pathlib import Path
Path("a.txt").write_text("kept for now")
print(Path("a.txt").read_text(), math.factorial(20), json.dumps({"x": "é"}, ensure_ascii=False))
base = sqlite3.connect(":memory:")
print(base.execute("select 6 * 7").fetchone()[0], hashlib.sha256(b"").hexdigest()[:8])
class Pair: pass
print(Pair.__module__, __name__)
"""
    found = run(program, PATIENT)
    assert found.outcome == "OUTCOME_OK", found
    assert found.output == (
        'kept for now 2432902008176640000 {"x": "é"}\n42 e3b0c442\n__main__ __main__\n'
    )


@needs_sandbox
def test_how_a_program_ends():
    output = failed("def f(x):\n    return 1 / x\nprint('before')\nf(0)")
    assert output.startswith("before\nTraceback")
    assert 'File "main.py", line 2, in f\n    return 1 / x' in output
    assert output.endswith("ZeroDivisionError: division by zero\n")
    assert "jail" not in output
    assert "SyntaxError" in failed("x = = 1")
    assert failed("raise SystemExit('enough')") == "enough\n"
    assert failed("import sys; sys.exit(3)") == ""
    assert failed("import ctypes; ctypes.string_at(0)").startswith("\n[stopped by signal 11")
    assert run("import sys; print('to both', file=sys.stderr); sys.exit()").output == "to both\n"


@needs_sandbox
def test_nothing_of_the_machine_is_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_API_KEY", "a-long-secret")
    secret = tmp_path / "secret"
    secret.write_text("5591")
    seen = run("""
import os
print(sorted(os.listdir("/")), os.listdir("/work"), dict(os.environ), os.getpid(), os.getuid())
""")
    assert seen.output == ("['lib', 'work'] [] {'HOME': '/work', 'TMPDIR': '/work'} 1 65534\n")
    for path in (secret, "/etc/passwd", Path.home(), "/proc/self/environ", "/dev/mem", sys.prefix):
        assert "FileNotFoundError" in failed(f"import os; os.stat({str(path)!r})")
    assert "No module named 'numpy'" in failed("import numpy")
    assert "FileNotFoundError" in failed("open('../../../../../../etc/passwd')")
    left = run("""
import os
for descriptor in range(3, 256):
    try:
        os.fstat(descriptor)
        print(descriptor)
    except OSError:
        pass
""")
    assert left.output == ""


@needs_sandbox
def test_what_python_is_here_is_not_told():
    found = run("""
import sys, sysconfig, os, traceback, json
print(sys.executable, sys.prefix, sys.base_prefix, sys.path, os.__file__, sys.argv)
try:
    json.loads("{")
except ValueError:
    traceback.print_exc()
""")
    assert "/lib/json" in found.output
    for place in (sys.prefix, sys.base_prefix, sys.executable):
        assert place not in found.output


@needs_sandbox
def test_nothing_is_written_outside():
    for path in ("/x", "/lib/x.py", "/lib/site-packages/x.py", "/tmp/x"):
        assert "Error: [Errno" in failed(f"open({path!r}, 'w')")
    assert "Read-only file system" in failed("import os; os.chmod('/lib/os.py', 0o777)")
    assert "Errno 28" in failed(
        "for i in range(9):\n open(f'{i}', 'wb').write(bytes(400_000))", work=2 * MEBIBYTE
    )
    assert "Errno 27" in failed("open('x', 'wb').write(bytes(3_000_000))", work=2 * MEBIBYTE)
    assert "Errno" in failed("for i in range(5_000):\n open(f'{i}', 'w').close()")
    run("open('x', 'w').write('x')")
    assert run("import os; print(os.listdir())").output == "[]\n"


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 80))",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:80')",
        "import os; os.fork()",
        "import os; os.execv('/lib/x', ['x'])",
        "import subprocess; subprocess.run(['/bin/sh'])",
        "import threading; threading.Thread(target=print).start()",
        "import os; os.kill(0, 9)",
        "import os; os.kill(-1, 9)",
        "import os; os.killpg(0, 15)",
        "import os, signal; os.kill(os.getppid(), signal.SIGSTOP)",
        "import os; os.memfd_create('x')",
        "import os; os.setuid(0)",
        "import os; os.chroot('/work')",
        "import os; os.setpriority(0, 0, -20)",
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "from multiprocessing.shared_memory import SharedMemory as S; S(create=True, size=9)",
    ],
)
def test_what_is_refused(program):
    output = failed(program)
    assert "rror" in output.splitlines()[-1], output


@needs_sandbox
def test_system_calls_that_are_not_left():
    """mount, unshare, ptrace, keyctl, bpf, io_uring_setup, shmget, setns, process_vm_readv."""
    calls = {"x86_64": (165, 272, 101, 250, 321, 425, 29, 308, 310)}
    calls["aarch64"] = (40, 97, 117, 219, 280, 425, 194, 268, 270)
    program = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for number in {calls[os.uname().machine]}:
    print(libc.syscall(number, 0, 0, 0, 0, 0), ctypes.get_errno())
"""
    assert run(program).output == "-1 1\n" * 9


@needs_sandbox
def test_what_takes_too_much():
    assert "MemoryError" in failed("x = bytearray(2_000_000_000)")
    assert "MemoryError" in failed("x = []\nwhile True: x.append(bytes(1 << 20))")
    assert "Errno 24" in failed("x = [open('a', 'w') for _ in range(999)]")
    output = failed("while True: print('x' * 999)", output=5_000)
    assert len(output) < 5_100 and output.endswith("[stopped: more than 5,000 bytes of output]")
    assert failed("def f(): return f()\nf()").endswith("maximum recursion depth exceeded\n")


@needs_sandbox
@pytest.mark.parametrize("program", ["while True: pass", "import time; time.sleep(60)"])
def test_what_takes_too_long(program):
    began = time.monotonic()
    found = run("print('so far')\n" + program, Limits(seconds=1))
    assert time.monotonic() - began < 5
    assert found.outcome == "OUTCOME_DEADLINE_EXCEEDED"
    assert found.output == "so far\n\n[stopped after 1 s]"


@needs_sandbox
def test_it_ends_when_nobody_wants_it():
    def gone():
        if time.monotonic() > began + 0.7:
            raise ApiError("CANCELLED", "gone")

    began = time.monotonic()
    with pytest.raises(ApiError):
        run("while True: pass", check=gone)
    assert time.monotonic() - began < 5
    deadline = time.monotonic() + 5
    while "jail.py" in children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "jail.py" not in children()


def children():
    """Command lines of the processes that this one and its children started."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/task/*/children"):
        if path.parts[2] == str(os.getpid()):
            for number in path.read_text().split():
                command = Path(f"/proc/{number}/cmdline")
                lines.append(command.read_text() if command.exists() else "")
    return " ".join(lines)


@needs_sandbox
def test_no_more_than_some_at_once(monkeypatch):
    monkeypatch.setattr(sandbox, "running", threading.BoundedSemaphore(1))
    sandbox.running.acquire()
    tries = []

    def check():
        tries.append(None)
        if len(tries) > 2:
            raise ApiError("CANCELLED", "gone")

    with pytest.raises(ApiError):
        run("print(1)", check=check)


def test_without_a_sandbox_nothing_is_run(http, monkeypatch):
    monkeypatch.setattr(sandbox, "why_not", lambda: "no namespaces of its own: not permitted")
    answer = http.post(URL, json=asked("```python\nprint(1)\n```", **TOOL))
    assert answer.status_code == 501
    assert answer.json()["error"]["message"] == (
        "the tool codeExecution is not supported: this system cannot run it safely "
        "(no namespaces of its own: not permitted)"
    )


def test_other_systems_have_none(monkeypatch):
    monkeypatch.setattr(sandbox, "seccomp_filter", lambda: b"")
    with pytest.raises(sandbox.Unavailable, match="x86-64 or AArch64"):
        run("print(1)")
    assert syscalls.seccomp_filter("riscv64") == b""
    assert len(syscalls.seccomp_filter("aarch64")) % 8 == 0
    assert all(len(syscalls.numbers(machine)) < 250 for machine in syscalls.MACHINES)


@needs_sandbox
def test_a_block_is_run_and_answered(client):
    response = client.models.generate_content(
        model="spark",
        contents=f"```python\nprint('The code of the gate is', 43 * 13)\n```\n{QUESTION}",
        config={"tools": [{"code_execution": {}}]},
    )
    [candidate] = response.candidates
    code, result, *_ = candidate.content.parts
    assert code.executable_code.language == "PYTHON"
    assert code.executable_code.code == "print('The code of the gate is', 43 * 13)\n"
    assert result.code_execution_result.outcome == "OUTCOME_OK"
    assert result.code_execution_result.output == "The code of the gate is 559\n"
    assert response.usage_metadata.tool_use_prompt_token_count > 5


@needs_sandbox
def test_what_is_printed_is_context(client):
    printed = f"print({FACT!r})"
    chunks = list(
        client.models.generate_content_stream(
            model="spark",
            contents=[f"```python\n{printed}\n```", QUESTION],
            config={"tools": [{"code_execution": {}}]},
        )
    )
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    assert parts[1].code_execution_result.output == f"{FACT}\n"
    assert NUMBER in parts[-1].text
    grounding = chunks[-1].candidates[0].grounding_metadata
    assert grounding.grounding_supports[0].segment.part_index == 2


@needs_sandbox
def test_programs_alone(http):
    turns = [
        {"role": "user", "parts": [{"text": "What is the code?"}]},
        {"role": "model", "parts": [{"executableCode": {"code": "print(6 * 7)"}}]},
    ]
    found = http.post(URL, json={"contents": turns, **TOOL}).json()
    [code, result] = found["candidates"][0]["content"]["parts"]
    assert result == {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}
    assert found["candidates"][0]["finishReason"] == "STOP"
    text = "```python\nraise KeyError(1)\n```\n```py\nprint(2)"
    parts = http.post(URL, json=asked(text, **TOOL)).json()["candidates"][0]["content"]["parts"]
    assert parts[1]["codeExecutionResult"]["outcome"] == "OUTCOME_FAILED"
    assert parts[1]["codeExecutionResult"]["output"].endswith("KeyError: 1\n")


def test_without_the_tool_nothing_is_run(http):
    parts = http.post(URL, json=asked("```python\nprint(6 * 7)\n```\nWhat is it?")).json()
    assert "executableCode" not in str(parts)


@needs_sandbox
def test_programs_that_cannot_be(http):
    for part in (
        {"executableCode": {"code": "print(1)", "language": "RUST"}},
        {"executableCode": {"code": "#" * 100_001}},
        {"text": "```python\n1\n```\n" * 9},
    ):
        answer = http.post(URL, json={"contents": [{"parts": [part]}], **TOOL})
        assert answer.status_code == 400, part
