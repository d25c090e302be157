#!/usr/bin/env python3
"""What a WebAssembly module is made of: scripts/sizes.py NAMED [FORMER]

Bytes of code by crate, and of the plugin's own code by part, as the names of the functions tell (build/portcullis.names.wasm). What is inlined counts
where it went. With FORMER, another build of the same, how much each has grown."""
import re
import sys
from collections import Counter
from pathlib import Path

from wasm_module import number, sections

OWN = "portcullis_filter"
IMPORT, CODE, DATA, CUSTOM = 2, 10, 11, 0
# How an import of each kind goes on behind its name, as LEB128 numbers: the index of a type, a table, a memory, a global.
FUNCTION = 0


def text(data, at):
    """A name, and where it ends."""
    length, at = number(data, at)
    return data[at : at + length].decode(errors="replace"), at + length


def imported_functions(section):
    """How many functions are the host's. The plugin imports nothing else."""
    count, at = number(section, 0)
    for _ in range(count):
        _, at = text(section, at)
        _, at = text(section, at)
        if section[at] != FUNCTION:
            sys.exit("sizes: the module imports more than functions")
        _, at = number(section, at + 1)
    return count


def bodies(section):
    """The size of each function."""
    count, at = number(section, 0)
    for _ in range(count):
        size, at = number(section, at)
        yield size
        at += size


def names(section):
    """Index and name of each function, of the custom section `name`."""
    _, at = text(section, 0)
    while at < len(section):
        kind, (size, at) = section[at], number(section, at + 1)
        end = at + size
        if kind == 1:
            count, at = number(section, at)
            for _ in range(count):
                index, at = number(section, at)
                name, at = text(section, at)
                yield index, name
        at = end


def path(symbol):
    """The path that a symbol of Rust's begins with (RFC 2603): crate and modules. What has none is the compiler's, or the linker's."""
    found = re.search(r"Cs[0-9A-Za-z]+_(?=\d)", symbol)
    rest, parts = symbol[found.end() :] if found else "", []
    while (length := re.match(r"(\d+)_?", rest)) is not None:
        end = length.end() + int(length[1])
        parts.append(rest[length.end() : end])
        rest = rest[end:]
    return parts or ["(no name)"]


def part(parts):
    """What the reader of ARCHITECTURE.md would call it: `policy`, `guards::access`."""
    return "::".join(parts[1:3] if parts[1:2] == ["guards"] else parts[1:2])


def read(file):
    """Bytes by crate, by part of our own, and of the data."""
    crates, parts, data, known, imports, sizes = Counter(), Counter(), 0, {}, 0, []
    for kind, content in sections(Path(file).read_bytes()):
        if kind == IMPORT:
            imports = imported_functions(content)
        elif kind == CODE:
            sizes = list(bodies(content))
        elif kind == DATA:
            data = len(content)
        elif kind == CUSTOM and text(content, 0)[0] == "name":
            known = dict(names(content))
    if not known:
        sys.exit(f"sizes: {file} has no names of functions; take build/portcullis.names.wasm")
    for index, size in enumerate(sizes, imports):
        found = path(known.get(index, ""))
        crates[found[0]] += size
        if found[0] == OWN:
            parts[part(found)] += size
    return crates, parts, data


def table(title, now, former):
    print(f"\n{title:<28} {'bytes':>9} {'share':>6}" + (f" {'grown':>8}" if former is not None else ""))
    total = sum(now.values())
    for name in sorted(now | (former or {}), key=lambda name: (-now[name], name)):
        grown = f" {now[name] - former[name]:>+8}" if former is not None else ""
        if now[name] * 500 >= total or grown.strip(" +0"):
            print(f"{name:<28} {now[name]:>9} {now[name] / total:>6.1%}{grown}")
    print(f"{'all':<28} {total:>9}" + (f" {'':>6} {total - sum(former.values()):>+8}" if former is not None else ""))


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    crates, parts, data = read(sys.argv[1])
    former = read(sys.argv[2]) if len(sys.argv) == 3 else (None, None, None)
    table("code by crate", crates, former[0])
    table(f"code of {OWN}", parts, former[1])
    print(f"\n{'data':<28} {data:>9}" + (f" {'':>6} {data - former[2]:>+8}" if former[2] is not None else ""))


main()
