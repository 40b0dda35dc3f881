"""What the pages say exists, exists: links, paths, commands, settings, codes, tests, examples."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from market_supervision.common.v1.error_reason_pb2 import ErrorReason
from pydantic import BaseModel

from services.cli.main import app
from services.contracts.topics import CATALOGUE, STATE_VERSION_VARIABLE
from services.importing.endpoints import ENDPOINTS_VARIABLE
from services.intake.service import IntakeSettings
from services.lifecycle.settings import LifecycleSettings
from services.profiles.settings import ProfilesSettings
from services.projection.settings import ProjectionSettings
from services.streaming.exits import ExitCode

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
SETTINGS: dict[str, type[Any]] = {
    "REGISTRATION": IntakeSettings,
    "INSPECTIONS": IntakeSettings,
    "COMPLAINTS": IntakeSettings,
    "PENALTIES": IntakeSettings,
    "LIFECYCLE": LifecycleSettings,
    "PROJECTION": ProjectionSettings,
    "PROFILES": ProfilesSettings,
}
SHARED = {ENDPOINTS_VARIABLE, STATE_VERSION_VARIABLE, "MARKET_SUPERVISION_TOPIC_PREFIX"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    """Text of a page."""
    return page.read_text(encoding="utf-8")


def code_of(page: Path) -> list[str]:
    """Everything a page sets in code type: spans, and the lines of its blocks."""
    text = text_of(page)
    blocks = [line for _, block in FENCE.findall(text) for line in block.splitlines()]
    return blocks + re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def variables(kind: type[Any], prefix: str) -> Iterator[str]:
    """Environment variables of a settings class, nested ones included."""
    if is_dataclass(kind):
        yield from (prefix + field.name.upper() for field in fields(kind))
        return
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and (is_dataclass(inner) or issubclass(inner, BaseModel)):
            yield from variables(inner, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


@each_page
def test_link_of_a_page_leads_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and a heading that file has."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text_of(page))):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{page}: {target}"


@each_page
def test_path_on_a_page_exists(page: Path) -> None:
    """A path of the repository in code type is there; placeholders in angle brackets are none."""
    pattern = re.compile(r"^(?:services|protos|deploy|docs|integration_tests)/[\w./-]+$")
    missing = [code for code in code_of(page) if pattern.match(code) and not (ROOT / code).exists()]
    assert missing == []


@each_page
def test_command_on_a_page_exists(page: Path) -> None:
    """Every make target, msctl command and service that a page names can be called."""
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    msctl = typer.main.get_command(app)
    for code in code_of(page):
        for made in re.findall(r"(?:^|[^\w-])make ((?:[a-z-]+ ?)+)", code):
            assert set(made.split()) <= targets, f"{page}: make {made}"
        for called in re.findall(r"msctl ((?:[a-z-]+ ?)+)", code):
            assert_command(msctl, called.split(), f"{page}: msctl {called}")
        for module in re.findall(r"python -m (services\.[a-z_.]+)", code):
            assert importlib.util.find_spec(module), f"{page}: {module}"


def assert_command(command: Any, words: list[str], where: str) -> None:
    """Follow the words of a command line as far as groups go."""
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, where
        command, words = command.commands[words[0]], words[1:]


@each_page
def test_setting_on_a_page_exists(page: Path) -> None:
    """A service refuses to start with a variable it does not know, so a page must not name one."""
    known = set(SHARED)
    for service, kind in SETTINGS.items():
        known.update(variables(kind, f"MARKET_SUPERVISION_{service}__"))
    named = set(re.findall(r"MARKET_SUPERVISION_[A-Z_]*[A-Z]\b", text_of(page)))
    assert named - known == set()


@each_page
def test_topic_on_a_page_is_in_the_catalogue(page: Path) -> None:
    """A topic named in full is one that is created."""
    named = set(re.findall(r"market-supervision\.([a-z-]+\.v1)\b", text_of(page)))
    assert named <= set(CATALOGUE)


def test_every_setting_is_told() -> None:
    """One that is not told is found in the night it is needed; base ones are shown for one service.

    What the services share is named without their prefix.
    """
    page = text_of(ROOT / "docs/operating/running.md")
    told = set(re.findall(r"^\| `(?:MARKET_SUPERVISION_)?([A-Z_]+)` \|", page, re.MULTILINE))
    told |= set(re.findall(r"`MARKET_SUPERVISION_(\w+__LOG__\w+)`", page))
    told = {name.partition("__")[2] or name for name in told}
    for kind in SETTINGS.values():
        assert set(variables(kind, "")) - told == set()


def test_tests_named_on_pages_exist() -> None:
    """A promise that names its test stands only as long as the test does."""
    sources = [*ROOT.glob("services/**/test_*.py"), *ROOT.glob("integration_tests/**/test_*.py")]
    names = {source.stem for source in sources}
    for source in sources:
        names.update(re.findall(r"def (test_\w+)", text_of(source)))
    named = {name for page in PAGES for name in re.findall(r"[`\[/](test_\w+)", text_of(page))}
    assert named - names == set()


def test_file_named_in_python_exists() -> None:
    """A docstring that leads to another file leads somewhere."""
    folders = ("services", "integration_tests", "deploy", "docs", "protos")
    paths = {str(path) for folder in folders for path in (ROOT / folder).rglob("*.*")}
    missing = [
        f"{source.relative_to(ROOT)}: {named}"
        for folder in folders
        for source in (ROOT / folder).rglob("*.py")
        for named in re.findall(r"`([\w/.-]+\.(?:py|md|proto|yaml))`", text_of(source))
        if not any(path.endswith(f"/{named}") for path in paths)
    ]
    assert missing == []


def test_every_decision_is_linked_from_the_architecture() -> None:
    """A decision nobody is led to is taken again."""
    page = text_of(ROOT / "docs/ARCHITECTURE.md")
    decisions = {path.name for path in (ROOT / "docs/decisions").glob("*.md")}
    assert decisions == set(re.findall(r"decisions/([\w-]+\.md)\) \|", page))


def test_exit_codes_are_told_whole() -> None:
    """An operator finds every code the worker ends with, under its right name."""
    page = text_of(ROOT / "docs/operating/running.md")
    told = dict(re.findall(r"^\| (\d\d) \| ([A-Z_]+) \|", page, re.MULTILINE))
    assert told == {str(code.value): code.name for code in ExitCode}


def test_error_reasons_are_told_whole() -> None:
    """A client finds every reason the contract has."""
    page = text_of(ROOT / "docs/how-to/write-a-client.md")
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118
    assert told == reasons - {"UNSPECIFIED"}


@each_page
def test_python_on_a_page_imports_what_is_there(page: Path) -> None:
    """An example compiles, and every name it imports exists."""
    for language, block in FENCE.findall(text_of(page)):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
