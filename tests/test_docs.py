"""The generated and the listed pages say what the code says."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from gateway.cli import parser
from gateway.config import reference
from gateway.config.section import Section
from gateway.config.settings import Settings, parse

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md")])


def test_the_configuration_page_is_fresh() -> None:
    stored = (ROOT / reference.PAGE).read_text(encoding="utf-8")
    assert stored == reference.page(), "run `make docs`"


def test_every_setting_is_described() -> None:
    sections: list[tuple[str, object]] = [
        (name, section)
        for name, field in Settings.model_fields.items()
        for section in (*reference.kinds(field), *([] if reference.kinds(field) else [field.annotation]))
    ]
    for name, section in sections:
        assert isinstance(section, type)
        assert issubclass(section, Section)
        for setting, field in section.model_fields.items():
            assert field.description, f"{name}.{setting} has no description"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
                sections.append((f"{name}.{setting}", field.annotation))


def toml_blocks() -> list[tuple[str, str]]:
    return [
        (path.name, block)
        for path in PAGES
        for block in re.findall(r"```toml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    ]


@pytest.mark.parametrize(("page", "text"), toml_blocks())
def test_every_example_configuration_is_valid(page: str, text: str) -> None:
    parse(tomllib.loads(text), page, Path())


def command_lines() -> list[str]:
    """Every `hushtap` line that a page shows, and the ones that --help gives as examples."""
    blocks = [
        block
        for path in PAGES
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    ]
    examples = [line.split("  ")[1] for line in parser.EXAMPLES.splitlines() if line.startswith("  hushtap")]
    return [
        line for block in [*blocks, *examples] for line in block.splitlines() if line.startswith("hushtap")
    ]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_shown_is_one_that_works(line: str) -> None:
    assert parser.parse(shlex.split(line, comments=True)[1:]).command


def dependencies() -> dict[str, set[str]]:
    """Distributions that the project asks for: to run, and by extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"run": project["dependencies"], **project["optional-dependencies"]}
    return {name: {re.split(r"[^A-Za-z0-9_-]", line)[0] for line in lines} for name, lines in groups.items()}


def debian_packages() -> set[str]:
    """What the tests install of the system."""
    script = (ROOT / "scripts" / "bootstrap").read_text(encoding="utf-8")
    _, table, _ = script.split("JUDGES", 2)
    return {line.split()[1] for line in table.splitlines()[1:] if line}


def test_every_dependency_has_its_reason() -> None:
    listed = re.findall(
        r"^\| `([^`]+)` \|", (DOCS / "dependencies.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    asked_for = set().union(*dependencies().values(), debian_packages(), {"setuptools"})
    assert set(listed) == asked_for
    assert len(listed) == len(set(listed))


def test_every_dependency_is_used() -> None:
    folders = ("gateway", "codecs", "config", "redaction", "storage")
    source = "\n".join(
        path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")
    )
    named_otherwise = {"webrtcvad-wheels": "webrtcvad", "websockets": "uvicorn.protocols.websockets"}
    for name in dependencies()["run"]:
        module = named_otherwise.get(name, name.replace("-", "_"))
        assert re.search(rf"^\s*(?:import|from) {module}\b", source, re.MULTILINE), (
            f"{name} is imported nowhere"
        )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"
