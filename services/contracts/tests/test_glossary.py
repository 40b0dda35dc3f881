import re
from pathlib import Path

from services.contracts.families import FAMILIES

GLOSSARY = Path(__file__).resolve().parents[3] / "docs" / "glossary.md"


def named_in_glossary() -> set[str]:
    """Every identifier the glossary gives in code type."""
    return set(re.findall(r"`([^`]+)`", GLOSSARY.read_text(encoding="utf-8")))


def test_glossary_names_every_event_type() -> None:
    """Every event type has its official Chinese term in the glossary."""
    named = named_in_glossary()
    missing = {arm for family in FAMILIES for arm in family.arms} - named
    assert missing == set()


def test_glossary_names_no_event_type_that_is_gone() -> None:
    """A term for an arm the contract does not have would mislead."""
    arms = {arm for family in FAMILIES for arm in family.arms}
    text = GLOSSARY.read_text(encoding="utf-8")
    sections = text.split("## 登记注册", 1)[1].split("## 画像与预警", 1)[0]
    fields = {"is_real_name", "is_prepaid", "decision_number", "exemption_item", "fine_amount_fen"}
    named = {word for word in re.findall(r"`([a-z_]+)`", sections) if "_" in word}
    assert named - arms == fields
