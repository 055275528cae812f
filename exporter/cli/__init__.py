"""Commands, flags and exit codes."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import platform
import sys
from io import TextIOWrapper
from typing import Any

import click

from exporter import __version__
from exporter.errors import ExporterError

COMMANDS = ("serve", "demo", "simulate", "check", "stations", "history", "notify", "healthcheck")
"""In the order people need them; each is a module of this package."""


class Commands(click.Group):
    """Import a command when it is called: a health check every few seconds must not load the whole daemon."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order people need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of a name, None where there is no such."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        gc.disable()  # What modules make is there to stay: collections would look through it in vain.
        try:
            command: click.Command = importlib.import_module(f"exporter.cli.{cmd_name}").command
        finally:
            gc.enable()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what a person can fix ends in clear lines and exit code 1, not in a trace."""
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # A terminal may lack the letters of a name.
        try:
            return super().invoke(ctx)
        except ExporterError as error:
            for line in str(error).split("\n"):
                click.echo(f"error: {line}", err=True)
            sys.exit(1)
        except OSError as error:
            if error.filename is None:
                raise  # of the output: see `main`
            click.echo(f"error: {error.filename}: {error.strerror}", err=True)
            sys.exit(1)

    def main(self, *arguments: Any, **rest: Any) -> Any:
        """Run a command line; where its output cannot be written, exit with 1, and say so unless nobody reads."""
        try:
            try:
                return super().main(*arguments, **rest)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except OSError as error:
            # Whatever is still in the buffer would fail again when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno != errno.EPIPE:
                click.echo(f"error: the output cannot be written: {error.strerror}", err=True)
            sys.exit(1)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message=f"clopos-exporter %(version)s (Python {platform.python_version()})")
def main() -> None:
    """Watch the stations of Clopos restaurants for Prometheus.

    A station that is switched inactive in Clopos gets no new orders. The exporter polls every venue, serves the
    stations as metrics, and logs every change.

    \b
    Try it without credentials:   clopos-exporter demo
    One restaurant:               set CLOPOS_BRAND, CLOPOS_CLIENT_ID, CLOPOS_CLIENT_SECRET and
                                  CLOPOS_INTEGRATOR_ID, then: clopos-exporter serve
    A chain:                      clopos-exporter serve --config.file clopos.yml
    """  # noqa: D301 - click wants the character itself, which keeps lines as they are
