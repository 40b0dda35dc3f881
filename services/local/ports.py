"""Ports chosen by the operating system and remembered, so that a restart keeps its addresses."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Return ``count`` different loopback ports that are free now (somebody may take them)."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind((LOOPBACK, 0))
        return [int(listener.getsockname()[1]) for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def is_free(port: int) -> bool:
    """Return whether the loopback port can be bound now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT of our own earlier run counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def remembered_ports(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Return a port for each name: the remembered ones while all are free, else new ones."""
    try:
        known = {name: int(json.loads(file.read_text(encoding="utf-8"))[name]) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        known = {}
    if known and all(is_free(port) for port in known.values()):
        return known
    chosen = dict(zip(names, free_ports(len(names)), strict=True))
    file.write_text(json.dumps(chosen), encoding="utf-8")
    return chosen
