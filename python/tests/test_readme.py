"""The README's own code prints what the README says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
DATA = Path(__file__).parents[2] / "examples/data"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not README.is_file() or not DATA.is_dir(), reason="the README is in the repository")
def test_the_code_of_the_readme_prints_what_it_says(monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(DATA)
    names = {}
    blocks = BLOCK.findall(README.read_text())
    assert len(blocks) >= 3
    for code, expected in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        assert printed.getvalue() == expected
