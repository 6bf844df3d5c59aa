"""Looks at the machine code of the kernels: each must use the registers of its instruction set, fuse no multiplication
with an addition, and call nothing. An intrinsic that was not inlined gives right results, very slowly, which no test of
values sees.

    python3 .ci/assembly.py target/release/libcontrib.so
"""

import re
import subprocess
import sys

ENTRY = re.compile(r"lanes::(avx2|avx512)::\w+ as .*::(\w+_entry)")
REGISTERS = {"avx2": "ymm", "avx512": "zmm"}
ARITHMETIC = re.compile(r"\tv(?:add|sub|mul)p[sd]\s.*%([xyz]mm)")

# Where the lanes of a vector become one number: 8, 4, 2 and 1 additions.
JOINING = 15


def functions(library):
    """The kernels' entry points: instruction set, kernel, lines of assembly."""
    listing = subprocess.run(
        ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", library],
        check=True, capture_output=True, text=True,
    ).stdout
    for text in listing.split("\n\n"):
        title, _, body = text.partition("\n")
        entry = ENTRY.search(title)
        if entry:
            yield entry[1], entry[2], body.splitlines()


def problems(instruction_set, lines):
    """What is wrong with one kernel."""
    wanted = REGISTERS[instruction_set]
    arithmetic = [found[1] for line in lines if (found := ARITHMETIC.search(line))]
    calls = [line.strip() for line in lines if re.search(r"\tcall", line)]
    narrower = [registers for registers in arithmetic if registers != wanted]
    if len(narrower) > JOINING:
        yield f"{len(narrower)} calculations in narrower registers than {wanted}"
    if arithmetic and len(narrower) == len(arithmetic):
        yield f"no calculation in {wanted}"
    if not arithmetic and not any(wanted in line for line in lines):
        yield f"no {wanted} register"
    if any("vfm" in line or "vfnm" in line for line in lines):
        yield "a fused multiplication, which other instruction sets do not have"
    if calls:
        yield f"{len(calls)} calls, such as {calls[0]}"


def main():
    seen, failed = {}, 0
    for instruction_set, kernel, lines in functions(sys.argv[1]):
        key = (instruction_set, kernel)
        seen[key] = seen.get(key, 0) + 1
        for problem in problems(instruction_set, lines):
            failed += 1
            print(f"{instruction_set} {kernel}: {problem}")
    for (instruction_set, kernel), count in sorted(seen.items()):
        print(f"{instruction_set:7} {kernel:14} {count:3} kernels looked at")
    # Five norms in f64 for four element types, two gains in f32 for the three that are not f64; wholes, and panels, of
    # either; products in both. Kernels that compile to the same code may be one.
    kernels = {"rows_entry": 26, "columns_entry": 26, "prepare_entry": 7, "panel_entry": 7, "products_entry": 2,
               "largest_entry": 1, "squares_entry": 1, "overshoots_entry": 1}
    expected = {(instruction_set, kernel): count for instruction_set in REGISTERS for kernel, count in kernels.items()}
    for key, count in expected.items():
        if seen.get(key, 0) < count:
            failed += 1
            print(f"{key[0]} {key[1]}: {seen.get(key, 0)} kernels, expected {count}")
    return 1 if failed else 0


sys.exit(main())
