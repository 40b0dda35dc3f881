"""Where the services answer: from the environment, else from the run directory (服务地址)."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from services.contracts.labels import Label
from services.importing.errors import ServiceRefusedError

ENDPOINTS_VARIABLE = "MARKET_SUPERVISION_ENDPOINTS"
"""JSON object of addresses by service name, or the path of a file that holds one."""

RUN_FILE = Path(".run") / "endpoints.json"
"""Written by `make run` while it is up."""


class Endpoints:
    """Addresses by name: the four families, `profiles`, `kafka`, `redis`."""

    def __init__(self, addresses: Mapping[str, str], origin: str) -> None:
        self._addresses = dict(addresses)
        self._origin = origin

    def address(self, name: str) -> str:
        """Return an address such as `127.0.0.1:50051`; raise ServiceRefusedError if unknown."""
        found = self._addresses.get(name)
        if not found:
            raise ServiceRefusedError(
                Label(
                    f"不知道{name}的地址 (来源: {self._origin}); 请先运行 make run, "
                    f"或设置 {ENDPOINTS_VARIABLE}",
                    f"no address for {name} (looked in: {self._origin}); start the system with "
                    f"`make run`, or set {ENDPOINTS_VARIABLE}",
                )
            )
        return found

    def with_overrides(self, overrides: Mapping[str, str]) -> "Endpoints":
        """Return the same addresses with some replaced."""
        return Endpoints({**self._addresses, **overrides}, self._origin)


def find_endpoints(run_file: Path = RUN_FILE) -> Endpoints:
    """Return the addresses; raise ServiceRefusedError when what is given cannot be read."""
    given = os.environ.get(ENDPOINTS_VARIABLE, "").strip()
    kafka = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "").strip()
    overrides = {"kafka": kafka} if kafka else {}
    if given.startswith("{"):
        return _parse(given, ENDPOINTS_VARIABLE).with_overrides(overrides)
    path = Path(given) if given else run_file
    if not path.is_file():
        return Endpoints(overrides, str(path))
    return _parse(path.read_text(encoding="utf-8"), str(path)).with_overrides(overrides)


def _parse(text: str, origin: str) -> Endpoints:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _unreadable(origin, str(error)) from error
    if not isinstance(document, dict):
        raise _unreadable(origin, "not an object of addresses by name")
    # The run directory's file tells more than addresses, such as who wrote it.
    addresses = {name: value for name, value in document.items() if isinstance(value, str)}
    return Endpoints(addresses, origin)


def _unreadable(origin: str, detail: str) -> ServiceRefusedError:
    return ServiceRefusedError(
        Label(f"无法读取服务地址: {origin}: {detail}", f"cannot read addresses: {origin}: {detail}")
    )
