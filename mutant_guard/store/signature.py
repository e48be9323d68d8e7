"""Ed25519 signatures of manifests.

A manifest holds the sha256 of every other file, so one signature covers the store. Imports are
light: the server loads this module.
"""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mutant_guard.errors import StoreError
from mutant_guard.store.files import SMALL, read_regular

SIGNATURE = "manifest.sig"
DOMAIN = b"mutant-guard manifest v1\n"
"""Text that is signed before the manifest, so that signatures for other purposes do not fit one."""


@dataclass(frozen=True)
class PrivateKey:
    """Key that signs manifests."""

    key: Ed25519PrivateKey

    def sign(self, manifest: bytes) -> bytes:
        """Return the content of the signature's file: 64 bytes as one line of base64."""
        return base64.b64encode(self.key.sign(DOMAIN + manifest)) + b"\n"


@dataclass(frozen=True)
class PublicKey:
    """Key that checks signatures of manifests, and the file it came from."""

    path: Path
    key: Ed25519PublicKey

    def check(self, directory: Path, manifest: bytes) -> None:
        """Check the signature in a version's directory against its manifest.

        Raises:
            StoreError: there is no signature, it is damaged, or it is not this key's signature of
                this manifest.
        """
        path = directory / SIGNATURE
        remedy = f"mutant-store sign {directory.parent} --key FILE --version {directory.name}"
        try:
            signature = base64.b64decode(read_regular(path, SMALL).removesuffix(b"\n"), validate=True)
        except FileNotFoundError as error:
            raise StoreError(
                f"{path} is missing: the store is not signed; sign it with {remedy}, or build with --sign-key"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{path} cannot be read ({error.strerror}); make it readable to the user this runs as"
            ) from error
        except binascii.Error as error:
            raise StoreError(f"{path} is damaged; sign the store again with {remedy}") from error
        try:
            self.key.verify(signature, DOMAIN + manifest)
        except InvalidSignature as error:
            raise StoreError(
                f"{path} is not the signature of this manifest by the key {self.path}: another key signed it, or "
                f"one of the two was changed; if the store is yours, sign it with {remedy}"
            ) from error


def make_key() -> tuple[bytes, bytes]:
    """Make a new key as PEM: the private half (PKCS #8, not encrypted) and the public half."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_private_key(path: Path) -> PrivateKey:
    """Read a private key, to sign with.

    Raises:
        StoreError: the file cannot be read, is no PEM private key, is encrypted, or is not Ed25519.
    """
    content = _read(path)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:
        raise StoreError(
            f"{path} is encrypted; give it decrypted: openssl pkey -in {path} -out FILE"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StoreError(
            f"{path} is no private key in PEM; give NAME.key that mutant-store keygen NAME wrote"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError(f"{path} is no Ed25519 key; make one with mutant-store keygen NAME")
    return PrivateKey(key)


def load_public_key(path: Path) -> PublicKey:
    """Read a public key, to check signatures with.

    Raises:
        StoreError: the file cannot be read, is no PEM public key, or is not Ed25519.
    """
    content = _read(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StoreError(
            f"{path} is no public key in PEM; give NAME.pub that mutant-store keygen NAME wrote"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise StoreError(f"{path} is no Ed25519 key; make one with mutant-store keygen NAME")
    return PublicKey(path, key)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, SMALL)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror}); make a key with mutant-store keygen NAME"
        ) from error
