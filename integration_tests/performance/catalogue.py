"""All rows, in the order in which they are run and shown."""

from integration_tests.performance.row import Row
from integration_tests.performance.rows import (
    engine,
    growth,
    latency,
    long_history,
    pipeline,
    projection,
    recovery,
)

ROWS: tuple[Row, ...] = (
    *pipeline.ROWS,
    *engine.ROWS,
    *recovery.ROWS,
    *latency.ROWS,
    *projection.ROWS,
    *long_history.ROWS,
    *pipeline.DISTURBED_ROWS,
    *growth.ROWS,
)
BY_NAME = {row.name: row for row in ROWS}
