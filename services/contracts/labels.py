"""Labels in both working languages."""

from typing import NamedTuple


class Label(NamedTuple):
    """One text in Chinese and English (双语标签)."""

    zh: str
    en: str
