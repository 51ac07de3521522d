"""The documents: what they name is in the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import report

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "offline_data" / "README.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_it_names_is_there_for_everybody(document: Path) -> None:
    text = document.read_text()
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    named = [document.parent / link for link in links if "://" not in link]
    named += [ROOT / path for path in re.findall(r"docs/results/\w+\.\w+", text)]
    for path in named:
        assert path.exists(), path
        if (ROOT / ".git").exists():
            ignored = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
            assert ignored.returncode != 0, f"git ignores {path}"


@pytest.mark.parametrize("name", ["smax", "single_agent"])
def test_the_tables_of_the_readme_are_made_from_the_committed_rows(name: str) -> None:
    rows = report.read_csv(ROOT / "docs" / "results" / f"{name}.csv")
    assert f"\n\n{report.table(rows)}\n\n" in (ROOT / "README.md").read_text()
