"""Stores that a guard serves when it requires a signature."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mutant_guard.errors import StoreError
from mutant_guard.store.reader import MANIFEST, load_store
from mutant_guard.store.signature import SIGNATURE, load_private_key, make_key
from mutant_store.publishing.housekeeping import sign_version
from service.cli.app import app
from service.guard_service import GuardService
from tests.support.service import digits, encode, settings_for
from tests.support.versions import add_version, copy_of, damage


@pytest.fixture
def copy(digits_store: Path, tmp_path: Path) -> Path:
    return copy_of(digits_store, tmp_path)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """Write the key pair that ``sign`` uses, and return the public half."""
    for name, content in zip(("ours.key", "ours.pub"), make_key(), strict=True):
        (tmp_path / name).write_bytes(content)
    return tmp_path / "ours.pub"


def sign(store: Path, public: Path) -> None:
    sign_version(store, load_private_key(public.with_suffix(".key")))


def test_a_store_signed_by_the_key_is_served(copy: Path, public: Path) -> None:
    sign(copy, public)
    guard = GuardService(settings_for(copy, require_signature=public))
    assert guard.models.default.store == load_store(copy)


def test_an_unsigned_store_is_refused_with_the_remedy(copy: Path, public: Path) -> None:
    with pytest.raises(StoreError, match=rf"{SIGNATURE} is missing: .*mutant-store sign {copy} --key FILE"):
        GuardService(settings_for(copy, require_signature=public))
    assert GuardService(settings_for(copy)).models.default.store.path.parent == copy


def test_a_store_signed_by_another_key_is_refused(copy: Path, public: Path, tmp_path: Path) -> None:
    sign(copy, public)
    other = tmp_path / "other.pub"
    other.write_bytes(make_key()[1])
    with pytest.raises(StoreError, match=rf"{SIGNATURE} is not the signature .* by the key {other}"):
        GuardService(settings_for(copy, require_signature=other))


@pytest.mark.parametrize("file", [MANIFEST, SIGNATURE])
def test_a_tampered_manifest_or_signature_is_refused(file: str, copy: Path, public: Path) -> None:
    sign(copy, public)
    damage(load_store(copy).path / file)
    with pytest.raises(StoreError, match=rf"{SIGNATURE} is (damaged|not the signature)"):
        GuardService(settings_for(copy, require_signature=public))


def test_another_version_with_the_signature_of_a_signed_one_is_refused(copy: Path, public: Path) -> None:
    """Hashes are all right, so only the signature shows the change."""
    sign(copy, public)
    forged = add_version(copy, seed=7)
    assert (copy / forged / SIGNATURE).exists()
    assert GuardService(settings_for(copy)).models.default.version == forged
    with pytest.raises(StoreError, match=rf"{SIGNATURE} is not the signature"):
        GuardService(settings_for(copy, require_signature=public))


def test_a_signature_does_not_excuse_a_damaged_file(copy: Path, public: Path) -> None:
    sign(copy, public)
    damage(load_store(copy).path / "calibration.json")
    with pytest.raises(StoreError, match=r"calibration\.json is damaged"):
        GuardService(settings_for(copy, require_signature=public))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [["serve"], ["classify", "image.png"]])
def test_the_commands_refuse_in_one_line(command: list[str], copy: Path, public: Path) -> None:
    result = run(*command, "--store", copy, "--require-signature", public)
    assert result.exit_code == 1
    assert f"{SIGNATURE} is missing: the store is not signed" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    gone = run(*command, "--store", copy, "--require-signature", public.with_name("gone.pub"))
    assert gone.exit_code == 1
    assert "gone.pub cannot be read (No such file or directory)" in gone.stderr


def test_the_variable_is_the_option(
    copy: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "digit.png"
    image.write_bytes(encode(digits(1)[0]))
    monkeypatch.setenv("GUARD_REQUIRE_SIGNATURE", str(public))
    assert run("classify", image, "--store", copy).exit_code == 1
    sign(copy, public)
    assert run("classify", image, "--store", copy).exit_code == 0
