# SPDX-License-Identifier: Apache-2.0
"""What keeps the package readable: imports that point down, small files, no machine's paths."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pollux"
SPDX = "# SPDX-License-Identifier: Apache-2.0"
MAX_FILE, MAX_FUNCTION = 499, 59  # lines

# What each layer may import of the others; a new file or folder of pollux/ gets a row here.
# Each of BASE sees those before it.
BASE = ("errors", "cache", "config", "params", "sharding", "tokenizer", "prompt", "calls")
FACE = "pollux"  # pollux/__init__.py
BELOW_PLAN = {*BASE, "interleaved", "ops", "model", "checkpoint", "media", "memory"}
BELOW_ENGINE = {*BELOW_PLAN, "plan"}
BELOW_EVALS = {*BELOW_ENGINE, "engine", "data", "examples", "options", FACE}
LAYERS: dict[str, set[str]] = {
    **{name: set(BASE[:place]) for place, name in enumerate(BASE)},
    "ops": {*BASE},
    "model": {*BASE, "ops"},
    "checkpoint": {*BASE, "ops", "model"},
    "media": {"errors"},
    "interleaved": {*BASE, "media"},
    "memory": {*BASE, "ops", "model", "media"},
    "plan": BELOW_PLAN,
    "native": {*BASE, "ops", "model"},
    "engine": {*BELOW_ENGINE, "native"},
    "data": {"errors", "cache", "config", "tokenizer", "prompt", "calls", "media", "interleaved"},
    "train": {*BASE, "interleaved", "ops", "model", "checkpoint", "data"},
    FACE: {*BELOW_ENGINE, "engine"},
    "evals": {*BELOW_EVALS, "serve"},
    "bench": {*BELOW_EVALS, "train"},
    "serve": {*BELOW_ENGINE, "engine", "examples", FACE},
    "options": set(),
    "terminal": {*BASE, "media"},
    "cli": {*BELOW_EVALS, "train", "evals", "bench", "serve", "examples", "terminal"},
    "examples": BELOW_ENGINE | {"engine", FACE},
    "demo": {*BELOW_EVALS, "cli", "terminal"},
    "__main__": {"cli"},
}

# The base install has none of these, so only what names them here may import them.
HEAVY = {"train", "bench", "evals"}
OPTIONAL = {
    "PIL": {*HEAVY, "data", "media"},
    "Stemmer": HEAVY,
    "av": {*HEAVY, "data", "media"},
    "bm25s": HEAVY,
    "fastapi": {"serve"},
    "glin_profanity": {"serve"},
    "grain": {*HEAVY, "data"},
    "llguidance": {"serve"},
    "llama_cpp": HEAVY,
    "matplotlib": {*HEAVY, "data"},
    "optax": HEAVY,
    "orbax": HEAVY,
    "pypdfium2": {*HEAVY, "data", "media"},
    "pydantic": {"serve"},
    "resvg_py": {*HEAVY, "data"},
    "starlette": {"serve"},
    "sacrebleu": HEAVY,
    "tensorboardX": HEAVY,
    "torch": HEAVY,
    "transformers": HEAVY,
    "uvicorn": {"serve"},
}

# Imported by media/stream.py when the first file of their kind is met.
DECODERS = {PACKAGE / "media" / f"{name}.py" for name in "audio container image pdf video".split()}

MACHINE_PATH = re.compile(r"(?<![\w.\-])/(work/|root/|tmp/env|tmp/w/)")


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def layer(path: Path) -> str:
    """The file's row in LAYERS: its own name, or that of its folder directly under pollux/."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return FACE if first == "__init__" else first


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def imported(path: Path) -> Iterator[tuple[ast.stmt, str]]:
    """Every import in the file, wherever it stands, as (statement, absolute dotted name)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parent.parts
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield from ((node, f"{module}.{alias.name}") for alias in node.names)


def imported_layer(name: str) -> str | None:
    """The layer of a dotted name, or None outside pollux."""
    first, *rest = name.split(".")
    if first != "pollux":
        return None
    inside = bool(rest) and ((PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").is_file())
    return rest[0] if inside else FACE


def test_every_layer_has_a_row():
    missing = {layer(path) for path in sources(PACKAGE)} - LAYERS.keys()
    assert not missing, f"give {sorted(missing)} a row in LAYERS of tests/test_layout.py"


def test_rows_point_down():
    for name, allowed in LAYERS.items():
        for lower in allowed:
            assert name not in LAYERS[lower], f"{name} and {lower} may import each other"


def test_imports_point_down():
    wrong = [
        f"{place(path, node)}: {layer(path)} may not import {name}"
        for path in sources(PACKAGE)
        for node, name in imported(path)
        if (target := imported_layer(name)) is not None
        and target not in {layer(path), *LAYERS.get(layer(path), set())}
    ]
    assert not wrong, "\n".join(wrong)


def test_optional_packages_stay_home():
    wrong = [
        f"{place(path, node)}: {name} only in {sorted(OPTIONAL[name.split('.')[0]])}"
        for path in sources(PACKAGE)
        for node, name in imported(path)
        if layer(path) not in OPTIONAL.get(name.split(".")[0], {layer(path)})
    ]
    assert not wrong, "\n".join(wrong)


def test_base_install_imports():
    """What a person asks with imports where no optional package is installed."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources(PACKAGE)
        if layer(path) not in {*HEAVY, "data", "serve", "__main__"} and path not in DECODERS
    ]
    script = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(OPTIONAL)!r}))\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_files_are_small():
    lengths = {
        path: path.read_text("utf-8").count("\n") for path in sources(PACKAGE, ROOT / "tests")
    }
    wrong = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MAX_FILE]
    assert not wrong, "\n".join(wrong)


def test_functions_are_small():
    wrong = [
        f"{place(path, node)}: {node.name} has {length} lines"
        for path in sources(PACKAGE, ROOT / "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION
    ]
    assert not wrong, "\n".join(wrong)


def test_spdx_line_comes_first():
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources(PACKAGE, ROOT / "tests")
        if SPDX not in path.read_text("utf-8").splitlines()[:2]  # below a #! line
    ]
    assert not wrong, f"no SPDX line in {wrong}"


def test_only_the_command_line_prints():
    wrong = [
        f"{place(path, node)}: print"
        for path in sources(PACKAGE)
        if layer(path) not in {"cli", "demo", "examples"}
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_machine_path():
    """In no file that git tracks, or would with `git add`."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    wrong = []
    for name in filter(None, names.split("\0")):
        path = ROOT / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" in content[:8192]:  # binary
            continue
        text = content.decode("utf-8", "replace")
        wrong += [f"{name}: {found.group()}" for found in MACHINE_PATH.finditer(text)]
    assert not wrong, "\n".join(wrong)
