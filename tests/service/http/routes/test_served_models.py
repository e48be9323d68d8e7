"""Health and metadata of the Open Inference Protocol, and their part of the OpenAPI document."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from mutant_guard.store.reader import Store
from service.guard_service import GuardService
from service.http.app import create_app
from tests.support.api_keys import add_key
from tests.support.service import serving, settings_for

pytestmark = pytest.mark.anyio

MODEL = "/v2/models/digits"
LOOKS = ["/v2", "/v2/models", MODEL]


@pytest.fixture
def guard(digits_store: Path) -> GuardService:
    return GuardService(settings_for(digits_store))


@pytest.fixture
async def client(guard: GuardService, anyio_backend: str) -> AsyncIterator[AsyncClient]:
    async with serving(guard) as client:
        yield client


async def test_health_is_yes_while_requests_are_taken(client: AsyncClient, store: Store) -> None:
    for path, found in {
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        f"{MODEL}/ready": {"name": "digits", "ready": True},
        f"{MODEL}/versions/{store.version}/ready": {"name": "digits", "ready": True},
    }.items():
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, found)


async def test_a_server_that_is_about_to_stop_is_alive_and_not_ready(
    client: AsyncClient, guard: GuardService
) -> None:
    guard.draining = True
    assert (await client.get("/v2/health/live")).status_code == 200
    for path in ("/v2/health/ready", f"{MODEL}/ready"):
        answer = await client.get(path)
        assert answer.status_code == 503
        assert answer.json()["error"] == "the server is about to stop"
        assert answer.headers["retry-after"]
    (state,) = (await client.get("/v2/models")).json()
    assert (state["state"], state["reason"]) == ("UNAVAILABLE", "the server is about to stop")


async def test_a_failed_loop_is_told_by_every_probe(
    client: AsyncClient, guard: GuardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = type(guard.models.default.scheduler)
    monkeypatch.setattr(scheduler, "failed", True)
    monkeypatch.setattr(scheduler, "ready", False)
    for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:mutant-guard:problem:not-ready")
    (state,) = (await client.get("/v2/models")).json()
    assert (state["state"], state["reason"]) == (
        "UNAVAILABLE",
        "the inference loop of digits is not running",
    )


async def test_another_model_or_version_is_not_found_and_what_there_is_named(
    client: AsyncClient, store: Store
) -> None:
    for path in ("/v2/models/other", "/v2/models/other/ready"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert "no store 'other'; this server has digits" in answer.json()["error"]
    for path in (f"{MODEL}/versions/1", f"{MODEL}/versions/1/ready"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert f"has version {store.version} loaded, not '1'" in answer.json()["error"]


async def test_the_metadata_are_those_of_the_store(client: AsyncClient, store: Store) -> None:
    plain, named = [(await client.get(path)).json() for path in (MODEL, f"{MODEL}/versions/{store.version}")]
    assert plain == named
    manifest = store.manifest
    assert plain["inputs"][1]["shape"] == [-1, manifest.input.height, manifest.input.width, 1]
    assert plain["outputs"][0]["name"] == manifest.output_name
    assert plain["outputs"][0]["shape"] == [-1, len(manifest.classes)]
    assert manifest.output_kind in plain["outputs"][0]["parameters"]["description"]


async def test_who_may_look_and_what_they_are_told(digits_store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    full, verdict, admin = (
        add_key(keys, "full"),
        add_key(keys, "verdict", response_detail="verdict"),
        add_key(keys, "ops", role="admin"),
    )
    async with serving(GuardService(settings_for(digits_store, api_keys_file=keys))) as client:
        for path in LOOKS:
            assert (await client.get(path)).status_code == 401
            for key in (full, verdict, admin):
                assert (await client.get(path, headers={"X-API-Key": key})).status_code == 200
        for path in ("/v2/health/live", "/v2/health/ready", f"{MODEL}/ready"):
            assert (await client.get(path)).status_code == 200
        told = {
            name: {
                one["name"] for one in (await client.get(MODEL, headers={"X-API-Key": key})).json()["outputs"]
            }
            for name, key in (("full", full), ("verdict", verdict), ("admin", admin))
        }
    assert told["full"] == told["admin"]
    assert told["full"] - told["verdict"] == {"scores", "confidence", "doubt"}


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for part in node for found in _references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for part in node.values() for found in _references(part)]


def test_the_openapi_document_describes_the_protocol(guard: GuardService) -> None:
    document = json.loads(json.dumps(create_app(guard).openapi()))
    paths = document["paths"]
    for reference in _references(document):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind]
    infer = paths["/v2/models/{name}/infer"]["post"]
    assert {"200", "400", "401", "403", "404", "413", "415", "421", "422", "429", "503", "504"} == set(
        infer["responses"]
    )
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    schema = infer["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["inputs"]
    assert set(schema["properties"]["inputs"]["items"]["required"]) == {"name", "shape", "datatype"}
    headers = {one["name"] for one in infer["parameters"] if one["in"] == "header"}
    assert headers == {"Inference-Header-Content-Length", "X-Request-Timeout-Ms"}
    versioned = paths["/v2/models/{name}/versions/{version}/infer"]["post"]
    assert versioned["responses"] == infer["responses"]
    load = paths["/v2/repository/models/{name}/load"]["post"]
    assert {"200", "400", "401", "403", "404", "409", "413", "429"} <= set(load["responses"])
