"""The feed's position survives a run, and the next season has entities of its own."""

from datetime import date
from pathlib import Path

import pytest

from services.demo.season import Season, SeasonFileError, load_season, save_season
from services.synthetic.city import build_city

SEASON = Season(2026, 120, 2, 0, date(2026, 6, 30), delivered=7)


def test_season_saved_comes_back(tmp_path: Path) -> None:
    """What was saved is what is loaded; without a file there is no season."""
    file = tmp_path / "city.json"
    assert load_season(file) is None
    save_season(file, SEASON)
    assert load_season(file) == SEASON
    assert [path.name for path in tmp_path.iterdir()] == ["city.json"]


def test_season_damaged_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is refused by name instead of being replaced."""
    file = tmp_path / "city.json"
    file.write_text('{"seed": "x"}')
    with pytest.raises(SeasonFileError, match=r"city\.json"):
        load_season(file)


def test_season_next_shares_no_entity() -> None:
    """The next season begins anew, with other entities and a present that ends yesterday."""
    following = SEASON.next_season(date(2026, 7, 9))
    assert following.delivered == 0
    assert following.present == date(2026, 7, 8)
    before, after = (build_city(season.arguments) for season in (SEASON, following))
    assert not {e.key.value for e in before.entities} & {e.key.value for e in after.entities}


def test_season_names_the_wishes_it_does_not_fulfil() -> None:
    """An option without effect is told, not ignored."""
    assert SEASON.differs_from(2026, 120, 2) == ""
    told = SEASON.differs_from(2026, 500, 3)
    assert "--entities 500" in told
    assert "--years 3" in told
    assert "--seed" not in told
