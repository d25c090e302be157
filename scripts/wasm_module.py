"""The little of a WebAssembly module's form that the scripts beside this need: numbers and sections."""


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


def leb(value):
    """That number's bytes."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sections(module):
    """The number and the content of each section."""
    at = 8
    while at < len(module):
        size, content = number(module, at + 1)
        yield module[at], module[content : content + size]
        at = content + size


def written(module, changed):
    """The same module with these sections."""
    return module[:8] + b"".join(bytes([kind]) + leb(len(content)) + content for kind, content in changed)
