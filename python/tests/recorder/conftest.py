import sys
from pathlib import Path

import pytest

for package in ("torch", "transformers", "safetensors"):
    pytest.importorskip(package, reason="records models of Hugging Face")

# What these tests share: families.py, naive.py.
sys.path.insert(0, str(Path(__file__).parent))
