"""Where the services are, with the overrides of the command line."""

from typing import Annotated

import typer

from services.cli.exit_codes import ExitCode
from services.cli.output import fail
from services.importing.endpoints import Endpoints, find_endpoints
from services.importing.errors import ServiceRefusedError

EndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="NAME=HOST:PORT",
        help="Address of a service, instead of the one found; repeatable. "
        "Names: registration, inspections, complaints, penalties, profiles, kafka. 服务地址",
    ),
]


def endpoints(overrides: list[str] | None) -> Endpoints:
    """Return the addresses; ends the command when they cannot be used."""
    given: dict[str, str] = {}
    for override in overrides or []:
        name, separator, address = override.partition("=")
        if not (name and separator and address):
            fail(f"--endpoint {override}: not NAME=HOST:PORT (应为 名称=主机:端口)", ExitCode.USAGE)
        given[name] = address
    try:
        return find_endpoints().with_overrides(given)
    except ServiceRefusedError as error:
        fail(str(error), ExitCode.USAGE)


def address(name: str, overrides: list[str] | None) -> str:
    """Return one address; ends the command when it is not known."""
    try:
        return endpoints(overrides).address(name)
    except ServiceRefusedError as error:
        fail(str(error), ExitCode.USAGE)
