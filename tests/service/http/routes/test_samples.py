"""Images that the console offers: those of one folder, and no other file."""

import os
from pathlib import Path

import numpy as np
import pytest
from httpx import AsyncClient

from mutant_guard.store.files import read_regular
from service.guard_service import GuardService
from service.http.routes.samples import MOST
from tests.support.api_keys import add_key
from tests.support.service import digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

PNG = encode(digits(1)[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "samples"
    folder.mkdir()
    return folder


async def names(client: AsyncClient) -> list[str]:
    answer = await client.get("/samples")
    assert answer.status_code == 200
    return [sample["name"] for sample in answer.json()["samples"]]


def check_unknown(status: int, problem: dict[str, object]) -> None:
    assert (status, problem["type"]) == (404, "urn:mutant-guard:problem:unknown-sample")


async def test_images_of_the_folder_are_listed_by_name_and_sent_as_they_are(
    digits_store: Path, folder: Path
) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    content = {
        "a.png": PNG,
        "b ü#?.PNG": PNG,
        "c.jpg": encode(pixels, "JPEG"),
        "d.jpeg": encode(pixels, "JPEG"),
        "e.webp": encode(pixels, "WEBP"),
    }
    for name, given in content.items():
        (folder / name).write_bytes(given)
    async with serving(GuardService(settings_for(digits_store, samples_dir=folder))) as client:
        assert await names(client) == list(content)
        kinds = ["image/png", "image/png", "image/jpeg", "image/jpeg", "image/webp"]
        for (name, given), kind in zip(content.items(), kinds, strict=True):
            answer = await client.get(f"/samples/{name.replace('#', '%23').replace('?', '%3F')}")
            assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, given, kind)
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_image_file_of_the_folder_is_neither_listed_nor_sent(
    digits_store: Path, folder: Path
) -> None:
    outside = folder.parent / "secret.png"
    outside.write_bytes(PNG)
    (folder / "out.png").symlink_to(outside)
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "folder.png").mkdir()
    (folder / "below").mkdir()
    (folder / "below/below.png").write_bytes(PNG)
    (folder / ".hidden.png").write_bytes(PNG)
    (folder / "notes.txt").write_text("no image")
    (folder / "page.svg").write_text("<svg/>")
    (folder / "large.png").write_bytes(bytes(20_001))
    (folder / "fine.png").write_bytes(bytes(20_000))
    (folder / "mounted.png").symlink_to(folder / "below/below.png")  # as Kubernetes mounts a ConfigMap
    refused = [path.name for path in folder.iterdir() if path.name not in ("fine.png", "mounted.png")]
    refused += [
        "nothing.png",
        "..%2Fsecret.png",
        "%2E%2E%2Fsecret.png",
        "below%2Fbelow.png",
        "below/below.png",
        "%00",
    ]
    refused += [str(outside).replace("/", "%2F"), "x" * 5000]
    settings = settings_for(digits_store, samples_dir=folder, max_body_bytes=20_000)
    async with serving(GuardService(settings)) as client:
        assert await names(client) == ["fine.png", "mounted.png"]
        for name in refused:
            answer = await client.get(f"/samples/{name}")
            assert answer.status_code == 404, name
            assert answer.headers["content-type"] == "application/problem+json"
            if "/" not in name and "%2F" not in name:
                check_unknown(answer.status_code, answer.json())


async def test_a_name_that_is_not_utf_8_is_left_out(digits_store: Path, folder: Path) -> None:
    try:
        (folder / os.fsdecode(b"\xff.png")).write_bytes(PNG)
    except OSError:  # macOS refuses such a name
        pytest.skip("this file system takes no such name")
    (folder / "a.png").write_bytes(PNG)
    async with serving(GuardService(settings_for(digits_store, samples_dir=folder))) as client:
        assert await names(client) == ["a.png"]
        answer = await client.get("/samples/%FF.png")
        check_unknown(answer.status_code, answer.json())


async def test_only_the_first_are_offered(digits_store: Path, folder: Path) -> None:
    for i in range(MOST + 2):
        (folder / f"{i:03}.png").write_bytes(PNG)
    async with serving(GuardService(settings_for(digits_store, samples_dir=folder))) as client:
        assert await names(client) == [f"{i:03}.png" for i in range(MOST)]


@pytest.mark.parametrize("named", [False, True])
async def test_without_a_folder_there_are_none(digits_store: Path, tmp_path: Path, *, named: bool) -> None:
    settings = settings_for(digits_store, samples_dir=tmp_path / "nowhere" if named else None)
    async with serving(GuardService(settings)) as client:
        assert await names(client) == []
        answer = await client.get("/samples/a.png")
        check_unknown(answer.status_code, answer.json())


async def test_an_image_that_cannot_be_read_is_not_there(
    digits_store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.png").write_bytes(PNG)

    def fails(path: Path, *_: object, **__: object) -> bytes:
        raise PermissionError(path)

    async with serving(GuardService(settings_for(digits_store, samples_dir=folder))) as client:
        monkeypatch.setattr("service.http.routes.samples.read_regular", fails)
        answer = await client.get("/samples/a.png")
    check_unknown(answer.status_code, answer.json())


async def test_a_file_that_becomes_a_link_meanwhile_is_not_sent(
    digits_store: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.png").write_bytes(PNG)
    (tmp_path / "secret").write_bytes(b"secret")

    def swapped(path: Path, *given: int, **named: bool) -> bytes:
        path.unlink()
        path.symlink_to(tmp_path / "secret")
        return read_regular(path, *given, **named)

    async with serving(GuardService(settings_for(digits_store, samples_dir=folder))) as client:
        monkeypatch.setattr("service.http.routes.samples.read_regular", swapped)
        answer = await client.get("/samples/a.png")
    check_unknown(answer.status_code, answer.json())


async def test_any_key_may_look(digits_store: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "a.png").write_bytes(PNG)
    keys = tmp_path / "keys.json"
    secrets = [add_key(keys, role, role=role) for role in ("client", "admin")]
    async with serving(
        GuardService(settings_for(digits_store, samples_dir=folder, api_keys_file=keys))
    ) as client:
        for path in ("/samples", "/samples/a.png"):
            assert (await client.get(path)).status_code == 401
            for secret in secrets:
                headers = {"Authorization": f"Bearer {secret}"}
                assert (await client.get(path, headers=headers)).status_code == 200
