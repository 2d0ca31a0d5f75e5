"""The pages: links lead somewhere, tables name everything that there is, the results stay a reference."""

import re
from pathlib import Path

import pytest

from core.settings import config_names

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose(page))}


def dead_links(page):
    dead = []
    for link in LINK.findall(prose(page)):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = page.parent / place if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page):
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "a.md"
    page.write_text(
        "# The paper's figure 5\n[a](#the-papers-figure-5) [b](a.md#nothing) ![c](none.png) [d](https://x.y)\n"
    )
    assert dead_links(page) == ["a.md#nothing", "none.png"]


@pytest.mark.parametrize("kind", ["algs", "envs"])
def test_the_tables_of_the_readme_name_every_algorithm_and_environment(kind):
    rows = [line.split("|")[1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(set(config_names(kind)) - set(named)) == []
    assert len(named) == len(set(named))


def test_every_learner_is_explained():
    page = (ROOT / "docs" / "algorithms.md").read_text()
    learners = {path.name for path in (ROOT / "src" / "learners").glob("*_learner.py")}
    assert {name for name in learners if name not in page} == set()


def test_the_results_are_a_reference_and_no_diary():
    assert len((ROOT / "docs" / "results.md").read_text().splitlines()) <= 200
