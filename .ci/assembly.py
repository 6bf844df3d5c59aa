"""Looks at the machine code of the kernels: each must use the registers of its instruction set, fuse no multiplication
with an addition, and call nothing. An intrinsic that was not inlined gives right results, very slowly, which no test of
values sees.

    python3 .ci/assembly.py target/release/libcontrib.so

A library that was built with RUSTFLAGS="-C symbol-mangling-version=v0" names the kernel of each entry point. In others
all entry points of an instruction set have one name, and are told apart by their addresses.
"""

import re
import subprocess
import sys

# `dispatch::avx2_entry_point::<kernels::rows::Rows<f32, MagnitudeSum>>`; without mangling v0, up to the colons.
ENTRY_POINT = re.compile(r"^(\w+) <.*\bdispatch::(avx2|avx512)_entry_point(?:::<(.*)>)?>:$")
PATHS = re.compile(r"\b(?:\w+::)+")
REGISTERS = {"avx2": "ymm", "avx512": "zmm"}
ARITHMETIC = re.compile(r"\tv(?:add|sub|mul)p[sd]\s.*%([xyz]mm)")

# Additions that reduce the lanes of a vector to one number: 8, 4, 2 and 1.
REDUCTION = 15

# Entry points for each instruction set. `Rows` and `Columns`: five measures in f64 for four element types, and two in f32
# for the three that are not f64. `Prepare`, `PackPanel` and `Widen`: to f64 from four element types, to f32 from three.
# `Excess`, `Gather`, `GemmMicrokernel`, `LargestBounds`, `PanelLargest`, `PanelSquares`, `ProjectValue`, `Proximities`, `Scores`,
# `Softmax`, `SquareProximities`: of f64 and of f32. `Shares`, `Sum`.
EXPECTED = 2 * (5 * 4 + 2 * 3) + 3 * (4 + 3) + 11 * 2 + 2


def functions(library):
    """The kernels' entry points: instruction set, kernel or address, lines of assembly."""
    listing = subprocess.run(
        ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", library],
        check=True, capture_output=True, text=True,
    ).stdout
    for text in listing.split("\n\n"):
        title, _, body = text.partition("\n")
        entry_point = ENTRY_POINT.search(title)
        if entry_point:
            address, instruction_set, kernel = entry_point.groups()
            yield instruction_set, PATHS.sub("", kernel) if kernel else f"at {address}", body.splitlines()


def problems(instruction_set, lines):
    """What is wrong with one kernel."""
    wanted = REGISTERS[instruction_set]
    arithmetic = [found[1] for line in lines if (found := ARITHMETIC.search(line))]
    calls = [line.strip() for line in lines if re.search(r"\tcall", line)]
    narrower = [registers for registers in arithmetic if registers != wanted]
    if len(narrower) > REDUCTION:
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
    seen, failed = {instruction_set: 0 for instruction_set in REGISTERS}, 0
    for instruction_set, kernel, lines in functions(sys.argv[1]):
        seen[instruction_set] += 1
        for problem in problems(instruction_set, lines):
            failed += 1
            print(f"{instruction_set} {kernel}: {problem}")
    for instruction_set, count in seen.items():
        print(f"{instruction_set:7} {count:3} kernels looked at")
        if count != EXPECTED:
            failed += 1
            print(f"{instruction_set}: {count} kernels, expected {EXPECTED}")
    return 1 if failed else 0


sys.exit(main())
