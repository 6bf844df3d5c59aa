"""The hashes of the page's style and scripts, by which its Content-Security-Policy allows them and nothing else.

Says whether those in src/write/page are up to date; with --write, makes them so.
"""

import base64
import hashlib
import pathlib
import sys

PAGE = pathlib.Path(__file__).parents[2] / "src/write/page"
FILES = {"scripts.sha256": ["graph.js", "picture.js", "page.js"], "style.sha256": ["page.css"]}


def hash_of(name):
    digest = hashlib.sha256((PAGE / name).read_bytes()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def main():
    is_stale = False
    for hashes, names in FILES.items():
        expected = " ".join(map(hash_of, names))
        path = PAGE / hashes
        if path.exists() and path.read_text() == expected:
            continue
        if "--write" in sys.argv:
            path.write_text(expected)
        else:
            is_stale = True
            print(f"{path}: expected {expected}; run hashes.py --write", file=sys.stderr)
    sys.exit(is_stale)


main()
