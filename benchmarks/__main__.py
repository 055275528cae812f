"""`python -m benchmarks [PART...]`: measure, print, and keep the tables of docs/performance.md."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence

import click

from benchmarks import cluster, cost, incidents, notifying, polling, rules, scrape, ten_thousand, weighting
from benchmarks.figures import DOCUMENT, Figure, circumstances, table, write

PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "scrape": scrape.figures,
    "polling": polling.figures,
    "weighting": weighting.figures,
    "cost": cost.figures,
    "fleet": ten_thousand.figures,
    "cluster": cluster.figures,
    "notifying": notifying.figures,
    "incidents": incidents.figures,
    "rules": rules.figures,
}
REAL_TIME = "polling in real time"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--keep/--no-keep", default=True, help=f"Write the tables into {DOCUMENT.name}.")
@click.option("--real-time", is_flag=True, help="Measure polling in real time only: six minutes.")
def main(parts: Sequence[str], *, keep: bool, real_time: bool) -> None:
    """Measure PARTS, all of them by default, against their targets; exit with 1 where one is missed."""
    chosen = {REAL_TIME: polling.real_time_figures} if real_time else {part: PARTS[part] for part in parts or PARTS}
    missed = 0
    for part, measure in chosen.items():
        began = time.monotonic()
        click.echo(f"== {part}")
        figures = []
        for figure in measure():
            figures.append(figure)
            click.echo(f"   {figure.what}: {figure.measured} {figure.target}")
        result = f"{circumstances()}\n\n{table(figures)}"
        click.echo(f"\n{result}\n\n{part} took {time.monotonic() - began:.0f} s\n")
        missed += sum(figure.reached is False for figure in figures)
        if keep:
            write(part, result)
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
