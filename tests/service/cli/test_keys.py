"""``mutant-guard keys``: the key alone on standard output, and its digest in the file."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.app import app
from service.keys.api_keys import KeyFile
from service.keys.key_ring import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(
        app, ["keys", *(str(argument) for argument in arguments)], env={"COLUMNS": "200", **environment}
    )


def test_a_key_is_printed_once_and_opens(path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    result = run("create", "alice", "--file", path)
    assert result.exit_code == 0
    (secret,) = result.stdout.splitlines()
    assert secret.startswith("mg_")
    assert secret not in path.read_text()
    assert secret not in result.stderr
    assert "alice may classify with this key" in result.stderr
    assert f"GUARD_API_KEYS_FILE={path}" in result.stderr
    key = KeyRing(path).find(secret)
    assert key is not None
    assert (key.name, key.role, key.response_detail) == ("alice", "client", "full")
    assert (key.requests_per_second, key.burst) == (None, None)
    assert before <= key.created <= datetime.now(UTC)


def test_the_options_are_kept(path: Path) -> None:
    limits = ["--requests-per-second", 2.5, "--burst", 7]
    secret = run("create", "shop", "--file", path, "--response-detail", "verdict", *limits).stdout.strip()
    admin = run("create", "ops", "--admin", "--file", path)
    assert "ops may use the admin routes" in admin.stderr
    ring = KeyRing(path)
    shop, ops = ring.find(secret), ring.find(admin.stdout.strip())
    assert shop is not None
    assert (shop.response_detail, shop.requests_per_second, shop.burst) == ("verdict", 2.5, 7)
    assert ops is not None
    assert ops.role == "admin"


def test_the_file_is_the_servers_by_default(path: Path) -> None:
    assert run("create", "alice", GUARD_API_KEYS_FILE=str(path)).exit_code == 0
    assert "alice" in run("list", GUARD_API_KEYS_FILE=str(path)).stdout
    assert run("revoke", "alice", GUARD_API_KEYS_FILE=str(path)).exit_code == 0
    assert KeyFile.read(path).keys == ()


@pytest.mark.parametrize("command", [["create", "alice"], ["list"], ["revoke", "alice"]])
@pytest.mark.parametrize("environment", [{}, {"GUARD_API_KEYS_FILE": ""}], ids=["unset", "empty"])
def test_without_a_file_it_says_how_to_name_one(command: list[str], environment: dict[str, str]) -> None:
    result = run(*command, **environment)
    assert result.exit_code == 2
    assert "GUARD_API_KEYS_FILE" in result.stderr
    assert result.stdout == ""


def test_the_list_shows_everything_but_digests(path: Path) -> None:
    secret = run("create", "alice", "--file", path, "--requests-per-second", "0.5").stdout.strip()
    run("create", "ops", "--file", path, "--admin")
    shown = run("list", "--file", path).stdout
    rows = [line.split() for line in shown.splitlines() if "UTC" in line]
    assert [row[:3] for row in rows] == [["alice", "client", "full"], ["ops", "admin", "full"]]
    assert rows[0][3] == "0.5"
    lines = [json.loads(line) for line in run("list", "--file", path, "--json").stdout.splitlines()]
    assert [line["name"] for line in lines] == ["alice", "ops"]
    fields = {"name", "role", "response_detail", "requests_per_second", "burst", "created"}
    assert [set(line) for line in lines] == [fields] * 2
    for text in (shown, run("list", "--file", path, "--json").stdout):
        assert secret not in text
        assert not any(key.sha256[:12] in text for key in KeyFile.read(path).keys)


def test_a_revoked_key_opens_nothing(path: Path) -> None:
    alice, bob = (run("create", name, "--file", path).stdout.strip() for name in ("alice", "bob"))
    result = run("revoke", "alice", "--file", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "alice is revoked" in result.stderr
    ring = KeyRing(path)
    assert ring.find(alice) is None
    assert ring.find(bob)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create", "alice"], 1, "holds a key named alice"),
        (["create", "a b"], 2, "a name is 1 to 64 letters"),
        (["create", "bob", "--requests-per-second", "0"], 2, "requests_per_second: Input should be greater"),
        (["create", "bob", "--requests-per-second", "nan"], 2, "requests_per_second: Input should be"),
        (["create", "bob", "--burst", "5"], 2, "burst limits nothing without requests_per_second"),
        (["create", "bob", "--response-detail", "some"], 2, "response-detail"),
        (["revoke", "bob"], 1, "holds no key named bob; it holds alice"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    arguments: list[str], code: int, said: str, path: Path
) -> None:
    run("create", "alice", "--file", path)
    before = path.read_bytes()
    result = run(*arguments, "--file", path)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", [["list"], ["revoke", "alice"], ["create", "alice"]])
def test_a_file_of_something_else_is_named(command: list[str], path: Path) -> None:
    path.write_text("[bold]no keys")
    result = run(*command, "--file", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"error: {path} is no file of API keys" in result.stderr
