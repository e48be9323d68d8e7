"""Tests that links, make targets, settings and commands in the documentation exist."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

import mutant_guard
from mutant_store.cli.app import app as store_app
from service.cli.app import app as guard_app
from service.settings import Settings
from tests.support.pages import PAGES, ROOT, anchors

PROGRAMS = {"mutant-guard": guard_app, "mutant-store": store_app}
every_page = pytest.mark.parametrize("path", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@every_page
def test_links_lead_to_files_and_headings(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def _targets() -> list[str]:
    named = (re.findall(r"(?m)(?:^    |`)make ([a-z-]+)", text_of(path)) for path in PAGES)
    return sorted({target for targets in named for target in targets})


def test_make_knows_every_target() -> None:
    named = _targets()
    assert "serve" in named
    found = subprocess.run(["make", "-n", *named], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@every_page
def test_settings_named_there_exist(path: Path) -> None:
    of_compose = set(re.findall(r"\$\{GUARD_(\w+)", (ROOT / "docker-compose.yml").read_text()))
    known = {name.upper() for name in Settings.model_fields} | {"DATA_DIR"} | of_compose
    assert set(re.findall(r"\bGUARD_([A-Z_]+)\b", text_of(path))) <= known


@every_page
def test_commands_and_their_options_exist(path: Path) -> None:
    text = text_of(path).replace("\\\n", "")
    lines = [line.split(" #")[0] for line in re.findall(r"(?m)^ {4,}(\S.*)$", text)]
    code = "\n".join([*lines, *re.findall(r"`([^`\n]+)`", text)])
    for program, application in PROGRAMS.items():
        for arguments in re.findall(rf"\b{program}((?: +(?![|>&])\S+)+)", code):
            words = arguments.split()
            if not words[0][0].isalpha():
                continue
            command = get_command(application)
            for word in words:
                deeper = getattr(command, "commands", None)
                if deeper is None:
                    break
                assert word in deeper, arguments
                command = deeper[word]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, arguments


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"::: mutant_guard\.(\w+)", text)) == set(mutant_guard.__all__)
    for name in mutant_guard.__all__:
        assert getattr(mutant_guard, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Gard'"):
        _ = mutant_guard.Gard
