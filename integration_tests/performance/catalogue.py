"""All rows, in the order in which they are run and shown."""

from integration_tests.performance.row import Row
from integration_tests.performance.rows import engine, latency, pipeline, projection, recovery

ROWS: tuple[Row, ...] = (
    *pipeline.ROWS,
    *engine.ROWS,
    *recovery.ROWS,
    *latency.ROWS,
    *projection.ROWS,
)
BY_NAME = {row.name: row for row in ROWS}
