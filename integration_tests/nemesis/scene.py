"""What a fault may act upon: the processes, and the clients of the round."""

from dataclasses import dataclass

from integration_tests.nemesis.load import Load
from integration_tests.nemesis.stage import Stage


class FaultError(AssertionError):
    """A fault could not be done as planned, or what it asked for was not kept."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The system under test and its load."""

    stage: Stage
    load: Load
    seed: int
