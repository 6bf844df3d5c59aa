"""Prompts of so many tokens out of two kinds of text that Debian ships."""

import re
import shutil
import subprocess
from pathlib import Path

# Of the package base-files.
LICENCES = Path("/usr/share/common-licenses")
# What a passage may begin after: an empty line.
PARAGRAPH = re.compile(r"\n\s*\n\s*(?=\w)")
VERSE = re.compile(r"^(\S+):\d+ ", re.MULTILINE)
BIBLE = "gen1:1-rev22:21"


def licences():
    """Texts from the paragraphs of the licences on, by turns; lines are joined."""
    passages = []
    for path in sorted(LICENCES.iterdir()):
        if path.is_symlink():
            continue
        text = path.read_text()
        for start in [0, *(match.end() for match in PARAGRAPH.finditer(text))]:
            passages.append(" ".join(text[start:start + 2000].split()))
    return passages


def bible(unpacked):
    """The King James Bible from each verse on, of the packages bible-kjv and bible-kjv-text; `unpacked`: where they are if they are not
    installed."""
    program = shutil.which("bible") or unpacked / "usr/bin/bible"
    text = subprocess.run([program, "-p", unpacked / "usr/lib" if unpacked else "/usr/lib", "-f", BIBLE], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = text.splitlines()
    found = [VERSE.match(line) for line in lines]
    verses = [line[match.end():].strip() for line, match in zip(lines, found) if match]
    return [" ".join(verses[first:first + 20]) for first in range(len(verses))]


def prompts(passages, tokenizer, count, length):
    """So many of the passages, evenly spread, as the numbers of their first tokens; none comes twice."""
    found, seen = [], set()
    for number in range(4 * count):
        # The multiples of the golden ratio, wherever one stops, are spread evenly.
        passage = passages[int(len(passages) * ((number * 0.6180339887498949) % 1))]
        ids = tuple(tokenizer(passage).input_ids[:length])
        if len(ids) == length and ids not in seen:
            seen.add(ids)
            found.append(list(ids))
        if len(found) == count:
            return found
    raise SystemExit(f"only {len(found)} different prompts of {length} tokens were found, and {count} are wanted")
