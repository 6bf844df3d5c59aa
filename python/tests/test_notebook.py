"""The notebook runs from its first cell to its last, and shows the page of the routes."""

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples/python"


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the notebook is in the repository")
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_and_shows_the_page():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for package in ("ipykernel", "matplotlib", "pandas", "safetensors"):
        pytest.importorskip(package)
    notebook = nbformat.read(EXAMPLES / "capitals.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": EXAMPLES}}).execute()
    shown = [output.data["text/html"] for cell in notebook.cells for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
    pages = [html for html in shown if html.startswith("<iframe srcdoc=")]
    assert len(pages) == 1
    assert "&lt;svg" in pages[0] or "&lt;canvas" in pages[0] or "&lt;script" in pages[0]
