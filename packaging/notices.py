#!/usr/bin/env python3
"""Writes packaging/THIRD-PARTY, the notices of the crates that are linked into the C libraries. With --check it writes
nothing, and fails where the file is not what it would write. It also fails where a crate's licence is none of ALLOWED, or
where a crate comes from elsewhere than the registry."""

import pathlib
import sys

from crates import ROOT, linked_crates

NOTICES = ROOT / "packaging" / "THIRD-PARTY"
# Those that allow what MIT allows. Of several that a crate offers, the first of these is taken.
ALLOWED = ["MIT", "Apache-2.0", "Zlib", "BSD-2-Clause", "BSD-3-Clause", "Unicode-3.0"]

HEAD = """\
libcontrib contains code of others. Each crate is listed with the licence that it offers, and the text of the one that is
taken.

It also contains the Rust standard library of the toolchain that built it, under MIT or Apache-2.0. What that library
contains in turn is listed in COPYRIGHT-library.html, which comes with the toolchain.
"""


def choices(expression):
    """The licences of an expression such as "MIT OR Apache-2.0", of which one may be taken."""
    return [choice.strip(" ()") for choice in expression.replace("/", " OR ").split(" OR ")]


def licence_of(package):
    """Which licence is taken, and its text in the crate."""
    expression = package["license"] or ""
    taken = next((licence for licence in ALLOWED if licence in choices(expression)), None)
    if taken is None:
        sys.exit(f"{package['name']} {package['version']}: its licence {expression!r} is none of {', '.join(ALLOWED)}")
    folder = pathlib.Path(package["manifest_path"]).parent
    word = taken.split("-")[0].upper()
    texts = sorted(path for path in folder.iterdir() if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")))
    named = [path for path in texts if word in path.name.upper()] or texts
    if not named:
        sys.exit(f"{package['name']} {package['version']}: no text of its licence in {folder.name}")
    lines = named[0].read_text(encoding="utf-8").strip().splitlines()
    return taken, "\n".join(line.rstrip() for line in lines)


def notices():
    by_text = {}
    for package in linked_crates():
        if not (package["source"] or "").startswith("registry+https://github.com/rust-lang/crates.io-index"):
            sys.exit(f"{package['name']} {package['version']} comes from {package['source']}, not from the registry")
        taken, text = licence_of(package)
        by_text.setdefault(text, []).append(f"{package['name']} {package['version']} ({package['license']}; {taken} is taken)")
    sections = ["\n".join(crates) + "\n\n" + text for text, crates in by_text.items()]
    line = "\n" + "-" * 78 + "\n\n"
    return HEAD + line + ("\n" + line).join(sections) + "\n"


def main():
    text = notices()
    if "--check" not in sys.argv[1:]:
        NOTICES.write_text(text, encoding="utf-8")
    elif not NOTICES.exists() or NOTICES.read_text(encoding="utf-8") != text:
        sys.exit("packaging/THIRD-PARTY is stale: run `python3 packaging/notices.py`")
    else:
        print("packaging/THIRD-PARTY is fresh, and every licence is allowed")


main()
