"""The catalogue of faults: every row, and how it is shown."""

from collections.abc import Mapping
from types import MappingProxyType

from integration_tests.nemesis.crash_rows import CRASH_ROWS
from integration_tests.nemesis.input_rows import INPUT_ROWS
from integration_tests.nemesis.order_rows import ORDER_ROWS
from integration_tests.nemesis.plan import Row

CATALOGUE: Mapping[str, Row] = MappingProxyType(
    {
        row.number: row
        for row in sorted((*CRASH_ROWS, *ORDER_ROWS, *INPUT_ROWS), key=lambda row: row.number)
    }
)
