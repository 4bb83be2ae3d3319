# SPDX-License-Identifier: Apache-2.0
"""Which files are source code: by suffix, or by name where build tools ask for one."""

from pathlib import PurePosixPath
from typing import Literal

# Data and prose (json, yaml, toml, csv, xml, html, md, rst, tex) are text.
SUFFIXES = frozenset(
    ".adb .ads .asm .astro .awk .bash .bat .bzl .c .cc .cjs .cl .clj .cljs .cmake .coffee .cpp .cr"
    " .cs .css .cu .cuh .cxx .d .dart .el .elm .erl .ex .exs .f .f03 .f08 .f90 .f95 .fish .for .fs"
    " .fsx .glsl .go .gradle .graphql .groovy .h .hcl .hh .hlsl .hpp .hrl .hs .hxx .inl .ino .java"
    " .jl .js .jsx .kt .kts .less .lisp .lua .m .mak .mjs .mk .ml .mli .mm .mojo .nim .nix .pas"
    " .php .pl .pm .proto .ps1 .psm1 .py .pyi .pyx .pxd .r .rb .rkt .rs .s .sass .scala .scm .scss"
    " .sh .sol .sql .sv .svelte .svh .swift .tcl .tf .thrift .ts .tsx .v .vb .vhd .vhdl .vim .vue"
    " .wat .wgsl .zig .zsh".split()
)
NAMES = frozenset(
    "build.bazel cmakelists.txt containerfile dockerfile gnumakefile jenkinsfile justfile makefile"
    " meson.build rakefile vagrantfile workspace.bazel".split()
)
COMPRESSED = frozenset((".gz", ".xz", ".bz2"))


def kind_of(name: str) -> Literal["text", "code"]:
    """`app.py.gz` is code as `app.py` is: the suffix of a compression is not the file's own."""
    path = PurePosixPath(name.lower())
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
    return "code" if path.suffix in SUFFIXES or path.name in NAMES else "text"
