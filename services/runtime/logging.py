"""structlog for our own events and, through the same lines, what libraries log.

Events are snake_case names with fields, never prose: ``log.info("unit_committed", partition=3)``.
Never log a person's identity, free text, or a request's content.
"""

import logging
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from services.runtime.settings import LogFormat, LogSettings

FRAMES_MAX = 20
CAUSES_MAX = 4

OWN_PACKAGE = "services"
REPEAT_SECONDS = 60.0
SAME_CHARACTERS = 200
SAID_MAX = 1_000
"""Different things remembered at once."""
LIBRARY_LEVEL = logging.WARNING
"""Libraries speak up only when something is wrong."""


def configure_logging(service: str, settings: LogSettings | None = None) -> None:
    """Send all log lines of this process to stderr, each with the service's name; call once."""
    settings = settings or LogSettings()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _add_service(service),
    ]
    as_json = settings.format is LogFormat.JSON or (
        settings.format is LogFormat.AUTO and not sys.stderr.isatty()
    )
    last: list[structlog.types.Processor] = (
        [
            # Never with local variables: they hold requests, and requests hold people.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=True),
        ]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(LibraryRepeats())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(LIBRARY_LEVEL)
    logging.getLogger("services").setLevel(settings.level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class LibraryRepeats(logging.Filter):
    """Lets a library say the same thing once a minute.

    A client without a broker says the same of every partition ten times a second. The same are
    warnings of one line of its code, and errors with one text. The next that is let through has a
    field ``repeated``: how many were not.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._said: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write the record. What this project says is always written."""
        if record.name.partition(".")[0] == OWN_PACKAGE:
            return True
        text = record.getMessage() if record.levelno >= logging.ERROR else ""
        same = (record.name, record.lineno, text[:SAME_CHARACTERS])
        now = self._monotonic()
        since, held_back = self._said.get(same, (now - REPEAT_SECONDS, 0))
        if now - since < REPEAT_SECONDS:
            self._said[same] = (since, held_back + 1)
            return False
        if len(self._said) >= SAID_MAX:
            self._said.clear()
        self._said[same] = (now, 0)
        if held_back:
            record.repeated = held_back
        return True


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; pass ``__name__``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def origin_of(error: BaseException) -> dict[str, Any]:
    """Return what may be logged of an error: its type, its lines of code and those of its causes.

    Not its text: that may quote what a caller sent.
    """
    causes: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(causes) < CAUSES_MAX:
        frames = traceback.extract_tb(cause.__traceback__)[-FRAMES_MAX:]
        kind = f"{type(cause).__module__}.{type(cause).__qualname__}"
        lines = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]
        causes.append({"kind": kind, "frames": lines})
        cause = cause.__cause__ or cause.__context__
    return {"kind": causes[0]["kind"], "frames": causes[0]["frames"], "causes": causes[1:]}


def _add_service(service: str) -> structlog.types.Processor:
    def add(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.setdefault("service", service)
        return event

    return add
