#!/usr/bin/env python3
"""Takes the names of functions out of a WebAssembly module: scripts/split-names.py IN OUT

OUT is IN without its custom section `name`: the same code, a seventh smaller. Keep IN beside it: with it, the function numbers of a
backtrace in Envoy's log can be told by name (`wasm-objdump`, `wasm-tools`)."""
import sys
from pathlib import Path

from wasm_module import number, sections, written


def is_names(kind, content):
    if kind != 0:
        return False
    length, name = number(content, 0)
    return content[name : name + length] == b"name"


source, target = map(Path, sys.argv[1:])
module = source.read_bytes()
target.write_bytes(written(module, [section for section in sections(module) if not is_names(*section)]))
