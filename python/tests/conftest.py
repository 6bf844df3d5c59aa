import sys
from pathlib import Path

# What tests share: oracle.py, kinds.py, stored.py.
sys.path.insert(0, str(Path(__file__).parent))
