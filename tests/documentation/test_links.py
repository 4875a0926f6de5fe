"""Links in the Markdown files lead to files that are there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
if not (REPOSITORY / "README.md").exists():
    pytest.skip("the tests are not beside the source tree", allow_module_level=True)

PAGES = [
    path
    for folder in (".", "doc", "benchmarks", "sklearn_decaf")
    for path in sorted((REPOSITORY / folder).glob("*.md"))
]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files(page):
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []


def test_the_readme_has_links_to_check():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert "CONTRIBUTING.md" in LINK.findall(readme)
