"""Server that a client asks, and the API key for it."""

import os
from pathlib import Path

import httpx

from mutant_guard.client.errors import ClientSettingsError

URL_VARIABLE = "MUTANT_GUARD_URL"
KEY_VARIABLE = "MUTANT_GUARD_API_KEY"


def find_url(given: str | None) -> str:
    """Return the base URL without a slash at its end: the given one, else that of the environment.

    Raises:
        ClientSettingsError: there is no URL, or it is not the URL of a server.
    """
    text = (given or os.environ.get(URL_VARIABLE, "")).strip()
    if not text:
        raise ClientSettingsError(
            f"no server is named; give its URL (http://127.0.0.1:8000), or set {URL_VARIABLE}"
        )
    try:
        url = httpx.URL(text)
        host = url.host  # decoded only now, which fails for some hosts
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ClientSettingsError(f"the URL of the server cannot be read: {error}") from None
    if url.userinfo:
        raise ClientSettingsError(
            "the URL of the server holds a user or password, which would be logged; leave it out, and give the API key "
            "as such"
        )
    if url.scheme not in ("http", "https") or not host:
        raise ClientSettingsError(f"'{text}' is no URL of a server; give one like http://127.0.0.1:8000")
    if url.query or url.fragment:
        raise ClientSettingsError(f"the URL of the server, '{text}', goes on after its path; leave that out")
    return str(url).rstrip("/")


def find_key(given: str | None) -> str | None:
    """Return the API key: the given one, else that of the environment, else None.

    Raises:
        ClientSettingsError: the key holds characters that no key has. The message does not show it.
    """
    key = (os.environ.get(KEY_VARIABLE, "") if given is None else given).strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ClientSettingsError(
            "the API key holds a space, a line break or a letter outside ASCII; give the one line that "
            "mutant-guard keys create printed"
        )
    return key


def read_key(path: Path) -> str:
    """Read the API key from a file.

    Raises:
        ClientSettingsError: the file cannot be read, or holds no key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ClientSettingsError(f"the file of the API key, {path}, cannot be read: {reason}") from error
    if not text.strip():
        raise ClientSettingsError(f"the file of the API key, {path}, is empty")
    return text
