#!/usr/bin/env python3
"""Print the version that sklearn_decaf/__init__.py states, without importing the package."""

import re
from pathlib import Path

source = Path(__file__).parents[1] / "sklearn_decaf" / "__init__.py"
print(re.search(r'^__version__ = "(.+)"$', source.read_text(), flags=re.MULTILINE)[1])
