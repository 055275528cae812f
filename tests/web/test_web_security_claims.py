"""SECURITY.md claims nothing that no test holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()
CLAIMS = [row for row in re.findall(r"^\| (.+) \|$", TEXT, re.MULTILINE) if "tests/" in row]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", TEXT)))


def test_there_are_claims() -> None:
    assert len(CLAIMS) > 15
    tables = re.split(r"^\| [^|]+ \| held by \|\n\| --- \| --- \|\n", TEXT, flags=re.MULTILINE)[1:]
    for table in tables:
        for row in re.match(r"(?:\|.*\n)*", table)[0].splitlines():  # type: ignore[index]
            assert "`tests/" in row, f"no test holds: {row}"


@pytest.mark.parametrize(("file", "names"), TESTS)
def test_the_test_that_holds_a_claim_is_there(file: str, names: str) -> None:
    text = (ROOT / file).read_text()
    for name in filter(None, names.split("::")):
        assert re.search(rf"^ *(?:async )?(?:def|class) {name}\b", text, re.MULTILINE), name
