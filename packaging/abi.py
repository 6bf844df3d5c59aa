#!/usr/bin/env python3
"""Writes packaging/abi.txt: what programs that were compiled against include/contrib.h rely on, so that no change of it goes
unseen. Functions and callbacks are as they are declared, constants by value, structs by the sizes and offsets that a C compiler
says (CC, on a 64-bit machine). With --check it writes nothing, and fails where the file is not what it would write."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "include" / "contrib.h"
ABI = ROOT / "packaging" / "abi.txt"
# Each release has its own.
VERSION = re.compile(r"CONTRIB_VERSION_")
GROWS = ", may grow"


def preprocessed(*options):
    command = [os.environ.get("CC", "cc"), "-std=c11", "-E", "-P", *options, "-x", "c", str(HEADER)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def declarations():
    """The declarations of the header that are ours, each on one line."""
    text = re.sub(r"_Static_assert\s*\([^;]*;", "", preprocessed())
    # Those of system headers are before ours.
    first = text.rindex(";", 0, text.index("contrib_")) + 1
    text = text[first : text.rindex(";") + 1]
    depth, start, found = 0, 0, []
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == ";" and depth == 0:
            found.append(" ".join(text[start:place].split()))
            start = place + 1
    return found


def structs(found):
    """The fields of each struct."""
    for declaration in found:
        match = re.fullmatch(r"typedef struct (\w+) \{(.*)\} \1", declaration)
        if match:
            yield match[1], [re.findall(r"\w+", field)[-1] for field in match[2].split(";") if field.strip()]


def constants():
    """The names of the constants; macros that are no numbers are left to the compiler of the caller."""
    for line in preprocessed("-dM").splitlines():
        match = re.fullmatch(r"#define (CONTRIB_[A-Z0-9_]+) (-?\d+)", line)
        if match and not VERSION.match(match[1]):
            yield match[1], match[2]


def layouts(found):
    """What the compiler says of each struct."""
    lines = []
    for name, fields in structs(found):
        # Later versions may append fields to a struct that says its size.
        grows = GROWS if fields[0] == "struct_size" else ""
        lines.append(f'printf("{name}: aligned to %zu, %zu bytes{grows}\\n", _Alignof({name}), sizeof({name}));')
        for field in fields:
            size = f"sizeof((({name} *)0)->{field})"
            lines.append(f'printf("{name}.{field}: at %zu, %zu bytes\\n", offsetof({name}, {field}), {size});')
    program = '#include <contrib.h>\n#include <stdio.h>\nint main(void) {\n' + "\n".join(lines) + "\nreturn 0;\n}\n"
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        (path / "layout.c").write_text(program)
        compiler = os.environ.get("CC", "cc")
        subprocess.run(
            [compiler, "-std=c11", f"-I{ROOT / 'include'}", "layout.c", "-o", "layout"], cwd=path, check=True
        )
        return subprocess.run([path / "layout"], check=True, stdout=subprocess.PIPE, text=True).stdout


def abi():
    found = declarations()
    others = [declaration for declaration in found if "{" not in declaration]
    if not any("contrib_contributions(" in declaration for declaration in others):
        sys.exit("abi.py: found no functions in the header")
    numbers = [f"{name} = {value}" for name, value in sorted(constants())]
    return "\n".join(sorted(others)) + "\n\n" + "\n".join(numbers) + "\n\n" + layouts(found)


def main():
    text = abi()
    if "--check" not in sys.argv[1:]:
        ABI.write_text(text)
        return
    before = ABI.read_text() if ABI.exists() else ""
    if before == text:
        print("packaging/abi.txt is fresh")
        return
    lost = [line for line in before.splitlines() if line not in text.splitlines()]
    new = [line for line in text.splitlines() if line not in before.splitlines()]
    for line in lost:
        print("-", line)
    for line in new:
        print("+", line)
    breaks = any(not line.endswith(GROWS) for line in lost)
    print("The ABI has", "changed: programs may break (packaging/README.md says when it may)" if breaks else "grown")
    sys.exit("packaging/abi.txt is stale: if that is meant, run `python3 packaging/abi.py`")


main()
