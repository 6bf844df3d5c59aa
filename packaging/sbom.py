#!/usr/bin/env python3
"""Prints the software bill of materials of the C libraries, CycloneDX 1.5 as JSON: the crates that are linked into them, with
the hashes of their archives that Cargo.lock has."""

import json
import sys
import tomllib

from crates import ROOT, linked_crates


def reference(name, version):
    return f"pkg:cargo/{name}@{version}"


def component(package, checksums):
    """A crate, as CycloneDX has it."""
    name, version = package["name"], package["version"]
    return {
        "type": "library",
        "bom-ref": reference(name, version),
        "name": name,
        "version": version,
        "purl": reference(name, version),
        "hashes": [{"alg": "SHA-256", "content": checksums[name, version]}],
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
    }


def main():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(crate["name"], crate["version"]): crate.get("checksum") for crate in lock["package"]}
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    about = {
        "type": "library",
        "bom-ref": reference("contrib-ffi", workspace["version"]),
        "name": "libcontrib",
        "version": workspace["version"],
        "licenses": [{"expression": workspace["license"]}],
    }
    components = [component(package, checksums) for package in linked_crates()]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": about},
        "components": components,
    }
    json.dump(bom, sys.stdout, indent=2)
    print()


main()
