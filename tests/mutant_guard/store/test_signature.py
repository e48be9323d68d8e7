"""Signatures that tell from a manifest which key signed a version, and the key files."""

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from mutant_guard.errors import StoreError
from mutant_guard.store.reader import CURRENT, MANIFEST, Store, load_store, version_of
from mutant_guard.store.signature import SIGNATURE, PublicKey, load_private_key, load_public_key, make_key
from mutant_store.publishing.housekeeping import collect_garbage, sign_version
from mutant_store.publishing.publish import STAGING, publish
from tests.support.demo import SilentReport, build_digits_store
from tests.support.versions import add_version, copy_of, killed_at

PEM = Encoding.PEM


def write_key(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a new key's two files."""
    paths = folder / f"{name}.key", folder / f"{name}.pub"
    for path, content in zip(paths, make_key(), strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_key(tmp_path, "ours")


@pytest.fixture
def copy(published_store: tuple[Path, Store], tmp_path: Path) -> Path:
    return copy_of(published_store[0], tmp_path)


@pytest.fixture
def signed(copy: Path, keys: tuple[Path, Path]) -> Path:
    """Return a store whose version is signed by ``keys``."""
    sign_version(copy, load_private_key(keys[0]))
    return copy


def test_a_signed_version_opens_with_its_key_and_without(signed: Path, keys: tuple[Path, Path]) -> None:
    assert load_store(signed, signed_by=load_public_key(keys[1])) == load_store(signed)


def test_the_file_is_64_bytes_in_base64_and_signs_the_domain_and_the_manifest(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    version = load_store(signed).path
    text = (version / SIGNATURE).read_bytes()
    assert text.endswith(b"=\n")
    signature = base64.b64decode(text.strip(), validate=True)
    assert len(signature) == 64
    key = load_pem_public_key(keys[1].read_bytes())
    key.verify(signature, b"mutant-guard manifest v1\n" + (version / MANIFEST).read_bytes())  # type: ignore[union-attr, call-arg]


def test_an_unsigned_version_is_refused_with_the_remedy(copy: Path, keys: tuple[Path, Path]) -> None:
    version = load_store(copy).version
    remedy = f"mutant-store sign {copy} --key FILE --version {version}"
    with pytest.raises(StoreError, match=f"{SIGNATURE} is missing: the store is not signed; .*{remedy}"):
        load_store(copy, signed_by=load_public_key(keys[1]))


def test_another_keys_signature_is_refused(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    theirs = write_key(tmp_path, "theirs")
    refused = f"{SIGNATURE} is not the signature of this manifest by the key .*theirs.pub.*mutant-store sign"
    with pytest.raises(StoreError, match=refused):
        load_store(signed, signed_by=load_public_key(theirs[1]))
    sign_version(signed, load_private_key(theirs[0]))  # replaces our signature
    load_store(signed, signed_by=load_public_key(theirs[1]))
    with pytest.raises(StoreError, match=r"another key signed it"):
        load_store(signed, signed_by=load_public_key(keys[1]))


def test_a_manifest_rewritten_under_a_name_that_fits_is_refused(
    signed: Path, keys: tuple[Path, Path]
) -> None:
    """An attacker who can write to the store can make every hash right, but not the signature."""
    forged = add_version(signed, seed=7)  # has a copy of the signature
    assert load_store(signed).version == forged
    with pytest.raises(StoreError, match="one of the two was changed"):
        load_store(signed, signed_by=load_public_key(keys[1]))


@pytest.mark.parametrize("position", range(0, 64, 9))
def test_a_signature_with_a_flipped_bit_is_refused(
    position: int, signed: Path, keys: tuple[Path, Path]
) -> None:
    path = load_store(signed).path / SIGNATURE
    signature = bytearray(base64.b64decode(path.read_bytes()))
    signature[position] ^= 4
    path.write_bytes(base64.b64encode(signature) + b"\n")
    with pytest.raises(StoreError, match=f"{SIGNATURE} is not the signature"):
        load_store(signed, signed_by=load_public_key(keys[1]))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"AAAA\n", b"no base64!\n", b"\xff\xfe", bytes(64), b"A" * 88]
)
def test_a_file_that_holds_no_signature_is_refused(
    content: bytes, signed: Path, keys: tuple[Path, Path]
) -> None:
    (load_store(signed).path / SIGNATURE).write_bytes(content)
    with pytest.raises(StoreError, match=rf"{SIGNATURE} is (damaged|not the signature).*mutant-store sign"):
        load_store(signed, signed_by=load_public_key(keys[1]))


def test_a_signature_without_the_domain_is_refused(copy: Path, keys: tuple[Path, Path]) -> None:
    """A signature that the key made for another purpose is not valid for a manifest."""
    key = load_private_key(keys[0]).key
    version = load_store(copy).path
    signature = key.sign((version / MANIFEST).read_bytes())
    (version / SIGNATURE).write_bytes(base64.b64encode(signature) + b"\n")
    with pytest.raises(StoreError, match="is not the signature of this manifest"):
        load_store(copy, signed_by=load_public_key(keys[1]))


def test_a_damaged_version_is_not_signed(copy: Path, keys: tuple[Path, Path]) -> None:
    version = load_store(copy).path
    (version / "calibration.json").write_text("{}")
    with pytest.raises(StoreError, match=r"calibration\.json is damaged"):
        sign_version(copy, load_private_key(keys[0]))
    assert not (version / SIGNATURE).exists()


def test_killed_signing_leaves_a_store_that_opens_and_nothing_that_is_not_collected(
    copy: Path, keys: tuple[Path, Path]
) -> None:
    step, version = 0, load_store(copy).path
    files = {path.name for path in version.iterdir()}
    while killed_at(step, lambda: sign_version(copy, load_private_key(keys[0]))):
        assert load_store(copy).path == version
        step += 1
    assert step > 1
    load_store(copy, signed_by=load_public_key(keys[1]))
    assert len(list(version.glob(f".{SIGNATURE}.*"))) > 0
    collect_garbage(copy)
    assert {path.name for path in version.iterdir()} == {*files, SIGNATURE}


def test_a_version_is_signed_before_it_becomes_current(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """A server that requires signatures opens the store, wherever publishing is killed."""
    key, public = load_private_key(keys[0]), load_public_key(keys[1])
    staged = signed / STAGING
    shutil.copytree(load_store(signed).path, staged)
    manifest = (staged / MANIFEST).read_bytes() + b"\n"  # the same in other bytes, so another version
    (staged / MANIFEST).write_bytes(manifest)
    (staged / SIGNATURE).unlink()
    versions = set()
    for step in range(20):
        copy = copy_of(signed, tmp_path / f"killed {step}")
        killed = killed_at(step, lambda copy=copy: publish(copy, copy / STAGING, manifest, key))  # type: ignore[misc]
        versions.add(load_store(copy, signed_by=public).version)
        if not killed:
            break
    assert versions == {load_store(signed).version, version_of(manifest)}


def test_a_build_signs_what_it_publishes(digits_model: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    version = build_digits_store(digits_model, tmp_path / "new", sign_key=keys[0]).version
    assert load_store(tmp_path / "new", signed_by=load_public_key(keys[1])).version == version
    assert {path.name for path in (tmp_path / "new").iterdir()} == {CURRENT, ".lock", version}


def test_a_build_of_what_is_published_already_signs_that(
    digits_model: Path, copy: Path, keys: tuple[Path, Path]
) -> None:
    before = load_store(copy)
    assert build_digits_store(digits_model, copy, sign_key=keys[0]).version == before.version
    assert load_store(copy, signed_by=load_public_key(keys[1])) == before


def test_publishing_again_without_a_key_keeps_the_signature(signed: Path, keys: tuple[Path, Path]) -> None:
    before = load_store(signed)
    shutil.copytree(before.path, signed / STAGING)
    (signed / STAGING / SIGNATURE).unlink()
    publish(signed, signed / STAGING, (signed / STAGING / MANIFEST).read_bytes())
    assert load_store(signed, signed_by=load_public_key(keys[1])) == before


def test_a_build_with_a_bad_key_fails_before_it_begins(digits_model: Path, tmp_path: Path) -> None:
    report = SilentReport()
    with pytest.raises(StoreError, match=r"gone\.key cannot be read"):
        build_digits_store(digits_model, tmp_path / "s", report=report, sign_key=tmp_path / "gone.key")
    assert report.steps == []
    assert not (tmp_path / "s").exists()


def private(key: object, *, encryption: object = None) -> bytes:
    return key.private_bytes(PEM, PrivateFormat.PKCS8, encryption or NoEncryption())  # type: ignore[attr-defined, no-any-return]


def public(key: object) -> bytes:
    return key.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no private key in PEM; give NAME.key that mutant-store keygen"),
        (b"-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n", "is no private key in PEM"),
        (bytes(range(256)), "is no private key in PEM"),
        (make_key()[1], "is no private key in PEM"),
        (private(ec.generate_private_key(ec.SECP256R1())), "is no Ed25519 key; make one"),
        (private(x25519.X25519PrivateKey.generate()), "is no Ed25519 key; make one"),
        (
            private(Ed25519PrivateKey.generate(), encryption=BestAvailableEncryption(b"hush")),
            "is encrypted; give it decrypted: openssl pkey",
        ),
    ],
    ids=["empty", "cut", "bytes", "public", "ECDSA", "X25519", "encrypted"],
)
def test_a_file_that_cannot_sign_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"some.key {message}"):
        load_private_key(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no public key in PEM; give NAME.pub that mutant-store keygen"),
        (make_key()[0], "is no public key in PEM"),
        (public(ec.generate_private_key(ec.SECP256R1())), "is no Ed25519 key; make one"),
    ],
    ids=["empty", "private", "ECDSA"],
)
def test_a_file_that_cannot_check_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.pub"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"some.pub {message}"):
        load_public_key(path)


@pytest.mark.parametrize("load", [load_private_key, load_public_key])
def test_a_key_that_is_not_there_is_said(load: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone cannot be read \(No such file.*mutant-store keygen"):
        load(tmp_path / "gone")


def test_keys_are_read_by_openssls_names(keys: tuple[Path, Path]) -> None:
    """OpenSSL writes PKCS #8 by genpkey, and SubjectPublicKeyInfo by pkey -pubout."""
    assert keys[0].read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert keys[1].read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    assert isinstance(load_public_key(keys[1]), PublicKey)


@pytest.mark.parametrize("load", [load_private_key, load_public_key])
def test_a_pipe_or_a_large_file_in_the_place_of_a_key_is_refused_at_once(
    load: Callable[[Path], object], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match=r"pipe cannot be read \(it is no regular file\)"):
        load(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    with pytest.raises(StoreError, match=r"large cannot be read \(it has 1,099,511,627,776 bytes"):
        load(tmp_path / "large")


def test_a_pipe_in_the_place_of_a_signature_is_refused_at_once(signed: Path, keys: tuple[Path, Path]) -> None:
    path = load_store(signed).path / SIGNATURE
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match=rf"{SIGNATURE} cannot be read \(it is no regular file\)"):
        load_store(signed, signed_by=load_public_key(keys[1]))
