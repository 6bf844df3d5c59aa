"""Which crates are linked into the C libraries."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The systems whose libraries the list is of. (Crates for others, such as firmware, do not all carry their licence.)
SYSTEMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-gnu"]


def linked_crates():
    """The packages whose code is in the libraries of any of SYSTEMS: neither build scripts' nor procedural macros'."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    for system in SYSTEMS:
        command += ["--filter-platform", system]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = set(), [key for key, package in packages.items() if package["name"] == "contrib-ffi"]
    while waiting:
        key = waiting.pop()
        is_macro = any("proc-macro" in target["kind"] for target in packages[key]["targets"])
        if key in found or is_macro:
            continue
        found.add(key)
        for dependency in nodes[key]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    ours = set(metadata["workspace_members"])
    return sorted((packages[key] for key in found - ours), key=lambda package: (package["name"], package["version"]))
