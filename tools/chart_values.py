"""Write the chart README's table of values from values.yaml: `python -m tools.chart_values`, `--check` to compare."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent.parent / "helm" / "clopos-exporter"
BEGIN, END = "<!-- values: made by `make docs` -->", "<!-- values end -->"
KEY = re.compile(r"( *)([A-Za-z_]+):")


def described(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return the path of each key that has a comment beginning with `# --`, and the comment."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# --"):
            comment = [bare[4:].strip()]
        elif bare.startswith("#"):
            if comment:
                comment.append(bare[1:].strip())
        elif match := KEY.match(line):
            path[len(match[1]) // 2 :] = [match[2]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []
        else:
            comment = []


def rows(text: str) -> Iterator[str]:
    """Return the table's lines, one for each described value with its default."""
    values = yaml.safe_load(text)
    yield "| value | default | meaning |"
    yield "| --- | --- | --- |"
    for path, comment in described(text):
        default: Any = values
        for key in path:
            default = default[key]
        shown = json.dumps(default, ensure_ascii=False)
        yield f"| `{'.'.join(path)}` | `{shown}` | {comment} |"


def renewed(readme: str) -> str:
    """Return the README with the table as it should be."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = "\n".join(rows(CHART.joinpath("values.yaml").read_text()))
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def main(arguments: list[str]) -> None:
    """Renew the README, or exit with what to do when it is not as it should be."""
    path = CHART / "README.md"
    readme = path.read_text()
    if "--check" not in arguments:
        path.write_text(renewed(readme))
    elif readme != renewed(readme):
        sys.exit(f"{path} is not what values.yaml says: run `make docs`")


if __name__ == "__main__":
    main(sys.argv[1:])
