"""Code in README and docs/client.md, run as it is written except for the port and the deadline."""

import re
from pathlib import Path

import pytest

from mutant_guard.client import Retries, errors
from mutant_guard.client.base import SECONDS
from mutant_guard.wire.review import ReviewEntry
from tests.mutant_guard.client.conftest import Guarded
from tests.support.service import digits, encode

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/client.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code(text: str) -> list[str]:
    return [
        block
        for block in re.findall(r"(?s)```python\n(.*?)```", text)
        if "mutant_guard" in block or "guard." in block
    ]


@pytest.mark.parametrize("text", [PAGE, README], ids=["page", "readme"])
def test_the_code_runs(
    text: str,
    guarded: Guarded,
    digits_store: Path,
    entries: list[ReviewEntry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "samples").mkdir()
    for number, image in enumerate(digits(3)):
        (tmp_path / f"samples/digits-test-{number}-label-2.png").write_bytes(encode(image))
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores/digits").symlink_to(digits_store)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUTANT_GUARD_API_KEY", guarded.reviewer)
    blocks = code(text)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        assert "127.0.0.1:8000" in block or 'Guard("stores/digits")' in block
        here = block.replace("http://127.0.0.1:8000", guarded.url)
        here = re.sub(r"timeout=[0-9.]+", "timeout=50", here)  # the machine may be busy
        exec(compile(here, "docs", "exec"), names)  # noqa: S102
    first, *_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"2 normal \d+", first)


def test_the_readme_shows_the_guard_in_process_and_the_client() -> None:
    in_process, client = code(README)
    assert "from mutant_guard import Guard\n" in in_process
    assert "from mutant_guard import GuardClient\n" in client
    assert in_process.splitlines()[-2:] == client.splitlines()[-2:], "both say the same of the same image"


def test_errors_are_all_named() -> None:
    for name in vars(errors):
        if name.endswith("Error"):
            assert f"`{name}" in PAGE, name


def test_numbers_are_those_of_the_code() -> None:
    retries = Retries()
    assert f"from 0 to {retries.first_pause:g} s" in PAGE
    assert f"up to {retries.longest_pause:g} s" in PAGE
    assert f"ends at {retries.attempts} attempts, and {retries.seconds:g} s after" in PAGE
    assert f"GuardClient(timeout={SECONDS:g})" in PAGE


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
