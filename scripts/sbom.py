#!/usr/bin/env python3
"""Prints what the plugin is made of, as CycloneDX 1.5: scripts/sbom.py build/portcullis.wasm

From `cargo metadata` and Cargo.lock, for the plugin's target and without what only tests and builds use. Two runs print the same bytes.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "wasm32-wasip1"
PLUGIN = "portcullis-filter"


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums):
    entry = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package.get("license"):
        # Cargo's old form of "either".
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package.get("repository"):
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


def linked(nodes, start):
    """Every package that is linked into `start`, with what each of them needs."""
    needs, left = {}, [start]
    while left:
        package = left.pop()
        if package in needs:
            continue
        deps = [dep["pkg"] for dep in nodes[package]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        needs[package] = sorted(deps)
        left.extend(deps)
    return needs


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    plugin = pathlib.Path(sys.argv[1]).read_bytes()
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={TARGET}"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    start = next(id for id, package in packages.items() if package["name"] == PLUGIN)
    needs = linked(nodes, start)
    digest = hashlib.sha256(plugin).hexdigest()
    whole = component(packages[start], checksums) | {
        "type": "application",
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }
    parts = sorted((component(packages[id], checksums) for id in needs if id != start), key=lambda part: part["purl"])
    graph = [{"ref": purl(packages[id]), "dependsOn": sorted(purl(packages[dep]) for dep in deps)} for id, deps in needs.items()]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # Of the plugin's bytes, so that the same plugin has the same document.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'sha256:' + digest)}",
        "version": 1,
        "metadata": {"component": whole},
        "components": parts,
        "dependencies": sorted(graph, key=lambda entry: entry["ref"]),
    }
    print(json.dumps(bom, indent=2, ensure_ascii=False))


main()
