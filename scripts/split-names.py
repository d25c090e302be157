#!/usr/bin/env python3
"""Takes the names of functions out of a WebAssembly module: scripts/split-names.py IN OUT

OUT is IN without its custom section `name`: the same code, a seventh smaller. Keep IN beside it: with it, the function numbers of a
backtrace in Envoy's log can be told by name (`wasm-objdump`, `wasm-tools`)."""
import sys
from pathlib import Path


def number(data, at):
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def sections(module):
    """The beginning, the content's beginning and the end of each section, with its number."""
    at = 8
    while at < len(module):
        size, content = number(module, at + 1)
        yield module[at], at, content, content + size
        at = content + size


def is_names(module, kind, content):
    if kind != 0:
        return False
    length, name = number(module, content)
    return module[name : name + length] == b"name"


source, target = map(Path, sys.argv[1:])
module = source.read_bytes()
kept = [module[begin:end] for kind, begin, content, end in sections(module) if not is_names(module, kind, content)]
target.write_bytes(module[:8] + b"".join(kept))
