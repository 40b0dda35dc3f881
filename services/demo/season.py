"""Which city is fed, and how far: kept in a file, so that a second run goes on (城市进度)."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from services.synthetic.city import CityArguments


class SeasonFileError(Exception):
    """The file of the feed's position cannot be read; the message names it (进度文件无效)."""


@dataclass(frozen=True, slots=True)
class Season:
    """One city and the number of its submissions that are on the log.

    When all of a city was fed, the next season is another city with entities of its own.
    """

    seed: int
    entities: int
    years: int
    first_number: int
    present: date
    delivered: int = 0

    @property
    def arguments(self) -> CityArguments:
        """What decides the city."""
        return CityArguments(
            seed=self.seed,
            present=self.present,
            entities=self.entities,
            years=self.years,
            first_number=self.first_number,
        )

    def differs_from(self, seed: int, entities: int, years: int) -> str:
        """Say which wishes for a city this one does not fulfil; empty when it fulfils all."""
        wishes = {
            "seed": (self.seed, seed),
            "entities": (self.entities, entities),
            "years": (self.years, years),
        }
        return ", ".join(
            f"--{name} {wish} (is 实为 {own})"
            for name, (own, wish) in wishes.items()
            if own != wish
        )

    def next_season(self, today: date) -> "Season":
        """Return a city of other entities, whose present ends the day before ``today``."""
        return replace(
            self,
            first_number=self.first_number + self.entities,
            present=today - timedelta(days=1),
            delivered=0,
        )


_ADAPTER = TypeAdapter(Season)


def load_season(file: Path) -> Season | None:
    """Return the season a file holds, None without a file; SeasonFileError when it is damaged."""
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        message = f"{file}: {error}; remove it to begin anew (进度文件无效，删除后可重新开始)"
        raise SeasonFileError(message) from error


def save_season(file: Path, season: Season) -> None:
    """Write the season; a reader sees the old or the new one, never half."""
    temporary = file.with_suffix(".writing")
    temporary.write_bytes(_ADAPTER.dump_json(season, indent=2))
    temporary.replace(file)
