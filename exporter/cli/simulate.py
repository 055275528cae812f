"""`simulate`: the simulator alone."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import replace
from threading import Event
from typing import Any

import click

from exporter.clock import Clock
from exporter.errors import ExporterError
from exporter.simulator import SCENARIOS, Fault, Tiers, describe_faults, simulate
from exporter.web.addresses import REMEDIES, parse_address


def _explain_faults(ctx: click.Context, _parameter: click.Parameter, wanted: object) -> None:
    if wanted:
        click.echo(describe_faults())
        ctx.exit()


@click.command(name="simulate")
@click.option("--listen-address", default="127.0.0.1:10111", show_default=True, metavar="ADDRESS", help="Listen here.")
@click.option(
    "--scenario", type=click.Choice(list(SCENARIOS)), default="demo", show_default=True, help="Scenario to start from."
)
@click.option("--brands", type=click.IntRange(1), help="Brands, each with credentials of its own.")
@click.option("--venues", type=click.IntRange(1), help="Venues per brand.")
@click.option("--stations", type=click.IntRange(0), help="Stations per venue.")
@click.option("--inactive", type=click.FloatRange(0, 1), help="Share of the stations that start inactive.")
@click.option("--changes-per-minute", type=click.FloatRange(0), help="How often something changes by itself.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same world and changes.")
@click.option(
    "--fault", "faults", multiple=True, metavar="FAULT", help="Add a fault; can be repeated. See --list-faults."
)
@click.option(
    "--list-faults",
    is_flag=True,
    is_eager=True,
    callback=_explain_faults,
    expose_value=False,
    help="Explain what --fault understands, and exit.",
)
@click.option("--no-limits", is_flag=True, help="Do not enforce the API's rate limits.")
@click.option(
    "--token-lifetime",
    type=click.FloatRange(0, min_open=True),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long logins last.",
)
@click.option("--speed", type=click.FloatRange(0.01), default=1.0, show_default=True, help="Let time run faster.")
def command(
    *,
    listen_address: str,
    scenario: str,
    seed: int,
    faults: Sequence[str],
    no_limits: bool,
    token_lifetime: float,
    speed: float,
    **size: Any,
) -> None:
    """Simulate Clopos: a real HTTP server that follows the API documentation, with faults on demand.

    Stations and faults can be changed by hand while it runs, through the control path that it prints. To switch
    station 1 of venue 1 off:

    \b
    curl -X PATCH -d '{"status": 0}' http://127.0.0.1:10111/_control/stations/openapitest/1/1
    """  # noqa: D301 - click wants the character itself, which keeps lines as they are
    chosen = replace(SCENARIOS[scenario], **{key: value for key, value in size.items() if value is not None})
    try:
        simulator = simulate(
            chosen,
            seed=seed,
            clock=Clock(speed),
            faults=[Fault.parse(text) for text in faults],
            listen=parse_address(listen_address),
            tiers=None if no_limits else Tiers(),
            token_lifetime=token_lifetime,
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        simulator.start()
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, str(error.strerror or error))
        raise ExporterError(f"cannot listen on {listen_address}: {remedy} (--listen-address)") from error
    click.echo(f"# control path: {simulator.control_url}")
    first = next(iter(simulator.world.brands))
    click.echo("# switch a station off, here station 1 of venue 1:")
    click.echo(f"""# curl -X PATCH -d '{{"status": 0}}' {simulator.control_url}stations/{first}/1/1""")
    for brand in simulator.world.brands:
        click.echo(f"# {brand}")
        click.echo(f"CLOPOS_BASE_URL={simulator.url}")
        for key, value in simulator.credentials(brand).items():
            click.echo(f"CLOPOS_{key.upper()}={value}")
    stopped.wait()
    simulator.stop()
