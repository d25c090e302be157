#!/usr/bin/env python3
"""Takes exports out of a WebAssembly module that the plugin has no use for: scripts/drop-callbacks.py IN OUT

The SDK exports every callback of the ABI, and a host enters each of them for each request that has an occasion for it, at some
tenths of a microsecond. These do nothing here. A host takes a callback that is not exported for one that has no objection, so none may
stand in this list that the plugin implements; host-tests/tests/plugin.rs looks at that."""
import sys
from pathlib import Path

from wasm_module import leb, number, sections, written

UNUSED = {
    "proxy_on_done",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_new_connection",
    "proxy_on_downstream_data",
    "proxy_on_downstream_connection_close",
    "proxy_on_upstream_data",
    "proxy_on_upstream_connection_close",
    "proxy_on_queue_ready",
    "proxy_on_foreign_function",
    "proxy_on_grpc_receive_initial_metadata",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_receive_trailing_metadata",
    "proxy_on_grpc_close",
}
EXPORTS = 7


def exports(section):
    """Each export, with its name."""
    count, at = number(section, 0)
    for _ in range(count):
        begin = at
        length, at = number(section, at)
        name = section[at : at + length].decode()
        # A byte that says what it is, and its index.
        _, at = number(section, at + length + 1)
        yield name, section[begin:at]


def kept(kind, content):
    if kind != EXPORTS:
        return content
    left = [export for name, export in exports(content) if name not in UNUSED]
    return leb(len(left)) + b"".join(left)


source, target = map(Path, sys.argv[1:])
module = source.read_bytes()
target.write_bytes(written(module, [(kind, kept(kind, content)) for kind, content in sections(module)]))
