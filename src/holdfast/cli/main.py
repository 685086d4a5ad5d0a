"""Entry point: assembles the commands and prints our errors without a traceback."""

from __future__ import annotations

import sys

import typer

from holdfast import __version__
from holdfast.cli import (
    breakers,
    chaos,
    chaos_allow,
    chaos_controls,
    chaos_run,
    cluster,
    compare,
    demo,
    dlq,
    groups,
    leader,
    produce,
    publish,
    replay,
    run,
    state,
    state_compare,
    switch,
    topology,
    verify,
)
from holdfast.cli.app import App
from holdfast.cli.console import print_error
from holdfast.errors import HoldfastError

AREAS = (
    *(cluster, topology, publish, produce, run, groups, state, state_compare, replay, compare, switch),
    *(leader, breakers, dlq, verify, chaos, chaos_run, chaos_allow, chaos_controls, demo),
)
"""Modules of this package that register commands, in the order of `--help`."""


def _version(show: bool) -> None:
    if show:
        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


def build_app() -> typer.Typer:
    """Assemble the command tree."""
    app = App(
        name="holdfast",
        help="Exactly-once event processing on Apache Kafka.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ) -> None:
        """Exactly-once event processing on Apache Kafka."""

    for area in AREAS:
        area.register(app)
    return app


def main() -> None:
    """Run the command line; our own errors end it with exit code 1 and a message.

    Raises:
        KeyboardInterrupt: Ctrl-C, where no command foresaw it.
    """
    try:
        build_app()()
    except HoldfastError as error:
        print_error(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
