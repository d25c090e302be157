#!/usr/bin/env python3
"""Which changes of the code does no unit test notice? scripts/mutants.py [GLOB | --again]

cargo-mutants lists the changes (GLOB: of which files; the guards without it). Tried by itself, one build each, they take a night; here all are in
one build, each in a copy of its function that `MUTANT=n` chooses, and the tests run once for each: some 150 a minute. What cannot stand beside
the others (in a `const fn`, or where the type of the result has no name) cargo-mutants tries as it does, four a minute.

Survivors are listed, those of filter/survivors.txt apart: there each is explained. Ends with 1 if there are others, or if an explained one is
caught now. `--again` tries only those that the last run missed (build/mutants/missed.txt).
"""
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOOL = ".tools/bin/cargo-mutants"
PACKAGE = ["--package", "portcullis-filter"]
PLACE = Path("build/mutants")
COPY = PLACE / "tree"
MISSED = PLACE / "missed.txt"
EXPLAINED = Path("filter/survivors.txt")
# A change that lets a loop run for ever, or gather memory, is noticed.
SECONDS, BYTES = 60, 4 << 30
# Each round leaves out what the compiler refuses. Two are enough: one for types, one for borrows.
ROUNDS = 10
SWITCH = """
pub(crate) fn mutant() -> u32 {
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var("MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0))
}
"""


def listed(glob):
    """The changes that there are, numbered from one."""
    command = [TOOL, "mutants", *PACKAGE, "--file", glob, "--list", "--json"]
    changes = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for number, change in enumerate(changes, 1):
        change["number"] = number
        # Places move with every line that is written.
        change["what"] = re.sub(r"^(\S+?):\d+:\d+: ", r"\1: ", change["name"])
    return changes


def copy_tree():
    """What git knows of, as it is now."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True).stdout.splitlines():
        if Path(name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, COPY / name)


class Source:
    """A file, whose functions are written once for each change."""

    def __init__(self, name, changes):
        self.name = name
        self.text = Path(name).read_text()
        self.starts = [0]
        for line in self.text.split("\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.functions = defaultdict(list)
        spans = sorted({self.span(change["function"]) for change in changes}, key=lambda span: (span[0], -span[1]))
        outer = []
        for span in spans:
            # A function within another is a part of that one.
            if not outer or span[1] > outer[-1][1]:
                outer.append(span)
        for change in changes:
            begin, _ = self.span(change["function"])
            home = outer[bisect_right(outer, (begin, len(self.text) + 1)) - 1]
            self.functions[home].append(change)
        self.marks = []

    def span(self, place):
        """Where something begins and ends, counted in characters."""
        ends = place["span"]["start"], place["span"]["end"]
        return tuple(self.starts[end["line"] - 1] + end["column"] - 1 for end in ends)

    def body(self, begin, end):
        """Where the body of a function opens."""
        depth = 0
        for at in range(self.text.index("fn ", begin), end):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(self.text[at], 0)
            if self.text[at] == "{" and depth == 0:
                return at
        sys.exit(f"mutants: {self.name}: a function without a body")

    def alone(self):
        """The changes that cannot stand beside others."""
        for (begin, end), changes in self.functions.items():
            signature = self.text[begin : self.body(begin, end)]
            if re.search(r"\bconst fn\b|->.*\bimpl\b", signature, re.DOTALL):
                yield from changes

    def weave(self, without):
        """Writes the copy, and remembers which lines are whose."""
        out, at, line = [], 0, 1
        self.marks = []

        def add(text, numbers=()):
            nonlocal line
            last = line + text.count("\n")
            if numbers:
                self.marks.append((line, last, numbers))
            out.append(text)
            line = last

        for (begin, end), changes in sorted(self.functions.items()):
            changes = [change for change in changes if change["number"] not in without]
            if not changes:
                continue
            opening = self.body(begin, end)
            add(self.text[at:opening] + "{ match crate::mutant() {\n")
            for change in changes:
                first, last = self.span(change)
                changed = self.text[opening:first] + change["replacement"] + self.text[last:end]
                add(f"{change['number']} => {changed}\n", [change["number"]])
            add(f"_ => {self.text[opening:end]}\n", [change["number"] for change in changes])
            add("} }")
            at = end
        add(self.text[at:])
        (COPY / self.name).write_text("".join(out))

    def of_line(self, line):
        """The changes that stand in a line."""
        return next((numbers for first, last, numbers in self.marks if first <= line <= last), [])


def build():
    """Compiles the tests: the program, and what the compiler says."""
    command = ["cargo", "test", *PACKAGE, "--lib", "--no-run", "--message-format", "json"]
    settings = {
        "CARGO_TARGET_DIR": str(PLACE.resolve() / "target"),
        "CARGO_PROFILE_TEST_DEBUG": "0",
        "CARGO_INCREMENTAL": "0",
        "RUSTFLAGS": "--cap-lints warn",
    }
    done = subprocess.run(command, cwd=COPY, env={**os.environ, **settings}, capture_output=True, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    program = next((message["executable"] for message in messages if message.get("executable")), None)
    errors = [message["message"] for message in messages if message["reason"] == "compiler-message"]
    return program, [error for error in errors if error["level"] == "error" and error["spans"]], done.stderr


def weave_all(sources, alone):
    """A program with all changes in it that compile, and the numbers of those that do not."""
    library = COPY / "filter/src/lib.rs"
    library.write_text(library.read_text() + SWITCH)
    unviable = set()
    for _ in range(ROUNDS):
        for source in sources.values():
            source.weave(unviable | alone)
        program, errors, rest = build()
        refused = set()
        for error in errors:
            spans = sorted(error["spans"], key=lambda span: not span["is_primary"])
            found = (sources[span["file_name"]].of_line(span["line_start"]) for span in spans if span["file_name"] in sources)
            refused.update(next((numbers for numbers in found if numbers), []))
        if not errors and program:
            return program, unviable
        if not refused:
            sys.exit(f"mutants: the changes do not compile together\n{errors[:1] or rest}")
        unviable |= refused
        print(f"mutants: {len(unviable)} do not compile", flush=True)
    sys.exit("mutants: the changes do not compile together")


def limit_memory():
    """In a process that is about to be the tests."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def passes(program, number, *arguments):
    """Whether the tests notice nothing."""
    command = [program, "--quiet", "--test-threads", "2", *arguments]
    tests = subprocess.Popen(
        command,
        cwd=COPY / "filter",
        env={**os.environ, "MUTANT": str(number), "RUST_BACKTRACE": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=limit_memory,
        start_new_session=True,
    )
    try:
        return tests.wait(SECONDS) == 0
    except subprocess.TimeoutExpired:
        os.killpg(tests.pid, signal.SIGKILL)
        tests.wait()
        return False


def survives(program, change):
    """Asks the tests nearby first, which mostly know."""
    parts = Path(change["file"]).relative_to("filter/src").with_suffix("").parts
    parts = [part for part in parts if part != "mod"]
    nearby = dict.fromkeys("::".join(parts[:many]) + "::" for many in (len(parts), max(len(parts) - 1, 2), 2))
    return all(passes(program, change["number"], part) for part in nearby) and passes(program, change["number"])


def try_all(program, changes):
    """Those that no test notices, as they are found."""
    if not passes(program, 0):
        sys.exit("mutants: the tests fail without a change")
    began, missed = time.monotonic(), []
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for tried, (change, survived) in enumerate(zip(changes, workers.map(lambda c: survives(program, c), changes)), 1):
            if survived:
                missed.append(change)
                print(f"missed: {change['name']}", flush=True)
            if tried % 100 == 0 or tried == len(changes):
                pace = (time.monotonic() - began) / tried
                print(f"mutants: {tried} of {len(changes)} tried, {pace * (len(changes) - tried) / 60:.0f} minutes left", flush=True)
    return missed


def try_alone(changes):
    """What cargo-mutants says of those, each in a build of its own."""
    if not changes:
        return [], 0
    print(f"mutants: {len(changes)} by themselves", flush=True)
    command = [TOOL, "mutants", *PACKAGE, "--minimum-test-timeout", str(SECONDS), "--output", str(PLACE), "--no-shuffle"]
    names = "|".join(re.escape(change["name"]) for change in changes)
    # Changes that leave out a field it tries whatever is asked for: those of these files at most.
    files = [argument for name in sorted({change["file"] for change in changes}) for argument in ("--file", name)]
    done = subprocess.run([*command, *files, "--re", f"^({names})$", "--", "--lib"])
    # 2: there are survivors, 3: there are timeouts.
    if done.returncode not in (0, 2, 3):
        sys.exit(done.returncode)
    outcomes = PLACE / "mutants.out"
    missed = set((outcomes / "missed.txt").read_text().splitlines())
    unviable = len((outcomes / "unviable.txt").read_text().splitlines())
    return [change for change in changes if change["name"] in missed], unviable


def explained():
    """What filter/survivors.txt knows: a change in a line, and below it, indented, why no test can tell."""
    lines = EXPLAINED.read_text().splitlines()
    return Counter(line for line in lines if line and not line.startswith((" ", "#")))


def main():
    again = sys.argv[1:] == ["--again"]
    glob = "filter/src/guards/**" if again or len(sys.argv) < 2 else sys.argv[1]
    PLACE.mkdir(parents=True, exist_ok=True)
    changes = listed(glob)
    if again:
        # By what they are: lines have moved since.
        missed = set(MISSED.read_text().splitlines())
        changes = [change for change in changes if change["what"] in missed]
    files = defaultdict(list)
    for change in changes:
        if change["function"]:
            files[change["file"]].append(change)
    sources = {name: Source(name, found) for name, found in files.items()}
    alone = {change["number"] for change in changes if not change["function"]}
    alone |= {change["number"] for source in sources.values() for change in source.alone()}
    print(f"mutants: {len(changes)} changes, {len(alone)} of them by themselves; building", flush=True)
    copy_tree()
    program, unviable = weave_all(sources, alone)
    together = [change for change in changes if change["number"] not in alone | unviable]
    missed = try_all(program, together)
    others, more = try_alone([change for change in changes if change["number"] in alone])
    missed += others

    found, known = Counter(change["what"] for change in missed), explained()
    tried = {change["what"] for change in changes}
    looked_at = (what for what in known - found if what in tried or not again)
    new, gone = found - known, [what for what in looked_at if fnmatch.fnmatch(what.split(": ")[0], glob)]
    MISSED.write_text("".join(f"{change['what']}\n" for change in missed))
    unviable = len(unviable) + more
    caught = len(changes) - unviable - len(missed)
    print(f"mutants: {len(changes)} changes: {unviable} do not compile, {caught} caught, {len(missed)} missed, of which {len(missed) - new.total()} are explained")
    for change in missed:
        if change["what"] in new:
            print(f"missed, and not in {EXPLAINED}: {change['name']}")
    for what in gone:
        print(f"{'caught now' if what in tried else 'no such change any more'}, but in {EXPLAINED}: {what}")
    sys.exit(1 if new or gone else 0)


main()
