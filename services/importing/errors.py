"""What can be wrong with an import: the file, the profile, one row, the service, the outcome."""

from dataclasses import dataclass

from services.contracts.labels import Label


class ImportingError(Exception):
    """Base of the errors that end an import; the text is English and Chinese."""

    def __init__(self, reason: Label) -> None:
        super().__init__(f"{reason.en} ({reason.zh})")
        self.reason = reason


class FileUnreadableError(ImportingError):
    """The file as a whole cannot be read: format, encoding, header."""


class CheckpointMismatchError(ImportingError):
    """A checkpoint belongs to another file, profile or format; nothing was sent."""


class ServiceRefusedError(ImportingError):
    """An intake service cannot be used: wrong address, not permitted, method unknown."""


class OutcomeUnknownError(ImportingError):
    """Outcomes stayed unknown although sending was repeated; the checkpoint stands before them."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing wrong with one row (行问题): where, what stands there, why it cannot be taken."""

    column: str
    """Column of the file, or field of the event where no single column is to blame."""
    value: str
    reason: Label


class RowRefusedError(Exception):
    """A row cannot become an event, for one or more reasons."""

    def __init__(self, problems: tuple[RowProblem, ...]) -> None:
        super().__init__(
            "; ".join(f"{problem.column}: {problem.reason.en}" for problem in problems)
        )
        self.problems = problems
