"""The hashes of the page's script and style, by which its Content-Security-Policy allows them and nothing else.

Says whether those in src/write/page are up to date; with --write, makes them so.
"""

import base64
import hashlib
import pathlib
import re
import sys

WRITE = pathlib.Path(__file__).parents[2] / "src/write"
# The script is made of files in the order in which html.rs names them.
SCRIPT = re.findall(r'include_str!\("(page/script/\w+\.js)"\)', (WRITE / "html.rs").read_text())
FILES = {"page/script.sha256": SCRIPT, "page/style.sha256": ["page/page.css"]}


def hash_of(names):
    digest = hashlib.sha256(b"".join((WRITE / name).read_bytes() for name in names)).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def main():
    is_stale = False
    left_out = {path.name for path in WRITE.glob("page/script/*")} - {pathlib.Path(name).name for name in SCRIPT}
    if left_out:
        is_stale = True
        print(f"html.rs does not put these into the page: {left_out}", file=sys.stderr)
    for hashes, names in FILES.items():
        expected = hash_of(names)
        path = WRITE / hashes
        if path.exists() and path.read_text() == expected:
            continue
        if "--write" in sys.argv:
            path.write_text(expected)
        else:
            is_stale = True
            print(f"{path}: expected {expected}; run hashes.py --write", file=sys.stderr)
    sys.exit(is_stale)


main()
