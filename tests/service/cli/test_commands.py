"""``mutant-guard classify --server`` and ``mutant-guard review``, against a server process."""

import json as json_module
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mutant_guard.wire.verdict import Classification
from mutant_store.datasets import load
from service.cli import classify as classify_cli
from service.cli.app import app
from service.guard_service import GuardService
from tests.mutant_guard.client.conftest import Guarded
from tests.mutant_guard.client.test_attempts import VERDICT
from tests.support.process import COMMAND
from tests.support.scripted_server import Answer, Request, answer, problem, scripted
from tests.support.service import FIELDS, KEY, digits, encode, free_port


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Write a clean digit and noisy ones."""
    paths = []
    for number, image in enumerate([digits(1)[0], *digits(7, noise=0.6)]):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(encode(image))
    return paths


@pytest.fixture
def reviewer(guarded: Guarded, tmp_path: Path) -> Path:
    """Write the file of a reviewer's key."""
    path = tmp_path / "rita.key"
    path.write_text(f"{guarded.reviewer}\n")
    return path


def run(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": "200", **environment}
    )


def objects(result: Result) -> list[dict[str, object]]:
    return [json_module.loads(line) for line in result.stdout.splitlines()]


def test_a_server_says_what_the_command_says_without_one(
    guarded: Guarded, digits_store: Path, files: list[Path], reviewer: Path
) -> None:
    asked = run("classify", *files, "--server", guarded.url, "--key-file", reviewer, "--json")
    here = run("classify", *files, "--store", digits_store, "--json", GUARD_ORDER_KEY=KEY)
    assert (asked.exit_code, here.exit_code) == (0, 0)
    assert {tuple(one) for one in objects(asked)} == {("image", *FIELDS)}
    differs: dict[str, object] = {"request_id": "", "elapsed_ms": 0, "cached": True}
    assert [one | differs for one in objects(asked)] == [one | differs for one in objects(here)]


def test_a_table_shows_every_file_in_order(guarded: Guarded, files: list[Path]) -> None:
    given = ("--server", guarded.url, "--store", "digits", "--concurrency", 2)
    result = run("classify", *files, *given, MUTANT_GUARD_API_KEY=guarded.client)
    assert result.exit_code == 0
    assert re.findall(r"\d+\.png", result.stdout) == [path.name for path in files]
    assert "adversarial" in result.stdout
    assert result.stderr == ""


def test_scores_that_are_withheld_are_left_empty(guarded: Guarded, files: list[Path]) -> None:
    result = run("classify", files[0], "--server", guarded.url, MUTANT_GUARD_API_KEY=guarded.partner)
    assert result.exit_code == 0
    assert "None" not in result.stdout
    assert "normal" in result.stdout


def test_an_image_that_is_refused_is_named_and_the_others_are_answered(
    guarded: Guarded, files: list[Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    odd = [text, tmp_path / "missing.png", tmp_path]
    result = run(
        "classify", *odd, *files, "--server", guarded.url, "--json", MUTANT_GUARD_API_KEY=guarded.client
    )
    assert result.exit_code == 1
    found = objects(result)
    assert [set(one) == {"image", "error"} for one in found] == [True] * 3 + [False] * len(files)
    assert "no PNG, JPEG or WebP image" in str(found[0]["error"])
    assert found[1]["error"] == "cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("key", "store", "message"),
    [
        ("", [], "401 no-key"),
        ("mg_unknown", [], "401 unknown-key"),
        ("client", ["--store", "none"], "404 unknown-store"),
    ],
)
def test_what_is_so_for_every_image_is_said_once(
    key: str, store: list[str], message: str, guarded: Guarded, files: list[Path]
) -> None:
    key = guarded.client if key == "client" else key
    result = run("classify", *files, *store, "--server", guarded.url, MUTANT_GUARD_API_KEY=key)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert f"error: {message}" in result.stderr


def test_answers_from_before_a_failure_are_shown(files: list[Path]) -> None:
    script = [
        VERDICT,
        problem(503, "not-ready", Retry_After="99"),
        problem(500, "internal-error"),
        problem(401, "no-key"),
    ]
    with scripted(*script) as server:
        result = run("classify", *files, "--server", server.url, "--concurrency", 1, "--json")
    assert result.exit_code == 1
    assert [one.get("error") for one in objects(result)] == [None, "in words", "in words"]
    assert "401 no-key: in words (3 of 8 images were answered)" in result.stderr


def test_a_server_that_is_not_there_is_one_line(files: list[Path]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run("classify", *files, "--server", url)
    assert result.exit_code == 1
    assert f"error: {url} cannot be reached" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--server", "http://h", "--policy", "paper"], "--policy"),
        (["--server", "http://h", "--max-mutants", "3"], "--max-mutants"),
        (["--server", "http://h", "--device", "cpu"], "--device"),
        (["--server", "http://h", "--require-signature", "a.pub"], "--require-signature"),
        (["--key-file", "a.key"], "--key-file"),
        (["--server", "http://h", "--concurrency", "0"], "--concurrency"),
        (["--trust-env"], "--trust-env"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(given: list[str], named: str) -> None:
    result = run("classify", "image.png", *given)
    assert result.exit_code == 2
    assert named in result.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--server", "nowhere"], "'nowhere' is no URL of a server"),
        (["--server", "http://h", "--key-file", "/none.key"], "/none.key, cannot be read: No such file"),
        (["--server", "http://h", "--trust-env"], "names a SOCKS proxy"),
    ],
)
def test_a_server_key_or_proxy_that_is_none_is_one_line(
    given: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    result = run("classify", "image.png", *given, ALL_PROXY="socks5://127.0.0.1:1080")
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["classify", "FILE"], ["review", "delete", "1-0"]])
def test_a_proxy_of_the_environment_is_used_only_where_it_is_asked_for(
    files: list[Path], command: list[str]
) -> None:
    given = [str(files[0]) if part == "FILE" else part for part in command]
    proxies = dict.fromkeys(("NO_PROXY", "no_proxy"), "")
    with scripted(problem(404, "gone")) as proxy, scripted(problem(404, "gone")) as server:
        proxies["HTTP_PROXY"] = proxies["http_proxy"] = proxy.url
        run(*given, "--server", server.url, MUTANT_GUARD_API_KEY="mg_abc", **proxies)
        assert (len(server.requests), len(proxy.requests)) == (1, 0)
        run(*given, "--server", server.url, "--trust-env", MUTANT_GUARD_API_KEY="mg_abc", **proxies)
    assert (len(server.requests), len(proxy.requests)) == (1, 1)


def test_the_engine_is_not_loaded_to_ask_a_server(files: list[Path]) -> None:
    script = (
        "import sys\nfrom service.cli.app import app\n"
        "try:\n    app()\nfinally:\n    print([n for n in ('numpy', 'onnxruntime', 'fastapi') if n in sys.modules])"
    )
    with scripted(VERDICT) as server:
        command = [sys.executable, "-c", script, "classify", str(files[0]), "--server", server.url, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("json", [True, False])
def test_what_was_answered_before_an_interruption_is_shown(json: bool, files: list[Path]) -> None:
    """The third image is never answered.

    As JSON, the first two are shown before the command ends.
    """
    third, over = threading.Event(), threading.Event()

    def answered(_: Request) -> Answer:
        if len(server.requests) < 3:
            return VERDICT
        third.set()
        over.wait(120)
        return None

    # A pytest in the background would make itself and its children ignore SIGINT.
    script = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from service.cli.app import app\napp()"
    )
    with scripted(answered) as server:
        command = [sys.executable, "-c", script, "classify", *map(str, files), "--server", server.url]
        command += ["--concurrency", "1", *(["--json"] if json else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                before = [process.stdout.readline() for _ in range(2 if json else 0)]
                assert third.wait(120)
                process.send_signal(signal.SIGINT)
                after, errors = process.communicate(timeout=120)
            finally:
                over.set()
                process.kill()
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1
    if json:
        assert [json_module.loads(line)["label"] for line in before] == [7, 7]
        assert after == ""
        assert "error: interrupted (2 of 8 images were answered)" in errors
    else:
        assert "0.png" in after
        assert "error: interrupted (" in errors


@pytest.mark.parametrize("json", [True, False])
def test_so_it_is_without_a_server(
    json: bool, digits_store: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = classify_cli._judged

    def interrupted(guard: GuardService, path: Path) -> Classification | str:
        if path == files[2]:
            raise KeyboardInterrupt
        return judged(guard, path)

    monkeypatch.setattr(classify_cli, "_judged", interrupted)
    given = ["--store", digits_store, *(["--json"] if json else [])]
    result = run("classify", *files, *given, GUARD_ORDER_KEY=KEY)
    assert result.exit_code == 130
    assert list(dict.fromkeys(re.findall(r"\d+\.png", result.stdout))) == ["0.png", "1.png"]
    assert "error: interrupted (2 of 8 images were answered)" in result.stderr


def test_images_of_one_name_are_told_apart_by_their_folders(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = files[0].rename(tmp_path / "other/1.png")
    with scripted(VERDICT) as server:
        result = run("classify", twin, *files[1:3], "--server", server.url)
    assert result.exit_code == 0
    shown = "".join(line.split(" ")[1] for line in result.stdout.splitlines() if line.startswith(" "))
    assert f"{twin}{files[1]}2.png" in shown


@pytest.mark.parametrize(("count", "shown"), [(3, False), (12, True)])
def test_many_images_on_a_terminal_show_how_far_it_is(count: int, shown: bool, files: list[Path]) -> None:
    images = [files[number % len(files)] for number in range(count)]
    controller, terminal = pty.openpty()
    with scripted(VERDICT) as server:
        done = subprocess.run(
            [COMMAND, "classify", *images, "--server", server.url, "--json"],
            stdout=subprocess.PIPE,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            timeout=60,
            check=True,
        )
    os.close(terminal)
    drawn = _until_closed(controller)
    os.close(controller)
    assert (f"{count}/{count}" in drawn) is shown
    assert ("classifying" in drawn) is shown
    assert len(done.stdout.splitlines()) == count


def test_lines_on_a_terminal_are_not_drawn_over(files: list[Path]) -> None:
    controller, terminal = pty.openpty()
    with scripted(VERDICT) as server:
        command = [str(COMMAND), "classify", *map(str, files * 2), "--server", server.url, "--json"]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment) as process:
            os.close(terminal)
            lines = _until_closed(controller).splitlines()
    os.close(controller)
    assert process.returncode == 0
    assert [json_module.loads(line)["image"] for line in lines] == [str(path) for path in files * 2]


def _until_closed(controller: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux reports in this way that the other side is closed
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def test_the_queue_is_listed_decided_and_exported(guarded: Guarded, reviewer: Path, tmp_path: Path) -> None:
    given = ("--server", guarded.url, "--key-file", reviewer)
    files = [tmp_path / f"{number}.png" for number in range(60)]
    for file, image in zip(files, digits(60, noise=0.6), strict=True):
        file.write_bytes(encode(image))
    assert run("classify", *files, *given).exit_code == 0
    give_up = time.monotonic() + 10
    while len(waiting := objects(run("review", "list", *given, "--state", "all", "--json"))) < 3:
        assert time.monotonic() < give_up
        time.sleep(0.01)  # entries are written beside requests
    assert len(objects(run("review", "list", *given, "--state", "all", "--limit", 2, "--json"))) == 2
    first, second, third = (str(entry["id"]) for entry in waiting[:3])

    confirmed = run("review", "confirm", first, "--label", 4, *given)
    assert (confirmed.exit_code, confirmed.stdout) == (0, f"{first} confirmed: it shows 4\n")
    attack = run("review", "confirm", second, *given)
    assert attack.stdout == f"{second} confirmed\n"
    dismissed = run("review", "dismiss", second, third, *given)
    lines = [
        f"{name} dismissed: it shows {entry['class_name']}"
        for name, entry in zip((second, third), waiting[1:3], strict=True)
    ]
    assert dismissed.stdout.splitlines() == lines

    table = run(
        "review", "list", "--state", "confirmed", "--key-file", reviewer, MUTANT_GUARD_URL=guarded.url
    )
    assert table.exit_code == 0
    assert first in table.stdout
    assert second not in table.stdout
    assert run("review", "list", *given, "--store", "none").stdout == "no entries\n"

    path = tmp_path / "reviewed.npz"
    exported = run("review", "export", path, *given)
    assert exported.exit_code == 0
    assert f"Written: {path}" in exported.stderr
    assert 4 in load(f"npz:{path}").labels

    deleted = run("review", "delete", second, third, *given)
    assert (deleted.exit_code, deleted.stdout) == (0, f"{second} deleted\n{third} deleted\n")
    again = run("review", "delete", second, *given)
    assert again.exit_code == 1
    assert "404 unknown-entry" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list"], "403 not-reviewer"),
        (["confirm", "1-0"], "403 not-reviewer"),
        (["dismiss", "a/b"], "'a/b' is no id of an entry"),
    ],
)
def test_what_is_refused_is_one_line(arguments: list[str], message: str, guarded: Guarded) -> None:
    result = run("review", *arguments, "--server", guarded.url, MUTANT_GUARD_API_KEY=guarded.client)
    assert result.exit_code == 1
    assert f"error: {message}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_export_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with scripted(answer(200, b"PK\x03\x04")) as server:
        result = run("review", "export", tmp_path / "file" / "a.npz", "--server", server.url)
    assert result.exit_code == 1
    assert f"error: {tmp_path}/file/a.npz cannot be written" in result.stderr


def test_reviewing_takes_a_server() -> None:
    result = run("review", "list")
    assert result.exit_code == 2
    assert "--server" in result.stderr
