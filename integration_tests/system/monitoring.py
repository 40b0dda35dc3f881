"""An operator's look at a process: its health, its metrics, its log."""

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from services.local.system import LocalSystem

NOT_THERE = 0
"""Status of a process that does not answer."""


class Health(NamedTuple):
    """An answer of `/healthz` or `/readyz`."""

    status: int
    details: Mapping[str, Any]


class Monitor:
    """The endpoint of one process of a system, wherever it listens now."""

    def __init__(self, system: LocalSystem, name: str) -> None:
        self._system = system
        self._name = name

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines so far. Every one is a JSON object: nothing else may be printed."""
        path: Path = self._system.process(self._name).log_file
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def events(self, event: str) -> list[dict[str, Any]]:
        """Lines of one event."""
        return [line for line in self.log if line["event"] == event]

    def health(self, path: str = "/readyz") -> Health:
        """Ask for health; status NOT_THERE when nothing answers."""
        status, body = self._get(path)
        return Health(status, json.loads(body) if status else {})

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample, by name and labels; empty when nothing answers."""
        status, body = self._get("/metrics")
        assert status in {200, NOT_THERE}
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """One sample; None when there is none."""
        return self.metrics().get((name, frozenset(labels.items())))

    def total(self, name: str, **labels: str) -> float:
        """Sum of all samples of a name that have the labels."""
        wanted = set(labels.items())
        found = self.metrics().items()
        return sum(value for (each, had), value in found if each == name and wanted <= had)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            address = json.loads(self._system.metrics_file(self._name).read_text("utf-8"))
            connection = http.client.HTTPConnection(address["host"], address["port"], timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return NOT_THERE, ""
