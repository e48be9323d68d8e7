"""Answers as clients read them, those of other servers than mutant-guard among them."""

import json

import pytest

from mutant_guard.client import RefusedError, UnexpectedAnswerError, Verdict
from tests.mutant_guard.client.either import Either
from tests.mutant_guard.client.test_attempts import MODELS, VERDICT
from tests.support.scripted_server import answer, scripted

PAGE = b"<!DOCTYPE html><html><head><title>502 Bad\n Gateway</title></head><body>nginx</body></html>"
BODY = json.loads(VERDICT.partition(b"\r\n\r\n")[2])


def test_what_a_newer_server_says_besides_is_left_out(either: Either) -> None:
    newer = BODY | {"mood": "sunny", "store": BODY["store"] | {"region": "eu"}}
    with scripted(answer(200, json.dumps(newer).encode())) as server:
        found = either(server.url, "classify", b"image")
    assert found.verdict is Verdict.NORMAL
    assert found.model_dump(mode="json", exclude_unset=True) == BODY


@pytest.mark.parametrize("status", [502, 503])
def test_a_proxys_page_is_said_to_be_one(status: int, either: Either) -> None:
    with (
        scripted(answer(status, PAGE, "text/html; charset=utf-8")) as server,
        pytest.raises(RefusedError) as refused,
    ):
        either(server.url, "classify", b"image")
    error = refused.value
    assert (error.status, error.code) == (status, None)
    assert "not mutant-guard's own but that of a proxy" in error.detail
    assert "text/html '502 Bad Gateway'" in error.detail
    assert "<" not in error.detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"type": 5, "detail": ["x"]}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"status":"x"}',
    ],
)
def test_a_problem_that_cannot_be_read_is_still_an_error(body: bytes, either: Either) -> None:
    with (
        scripted(answer(422, body, "application/problem+json")) as server,
        pytest.raises(RefusedError) as refused,
    ):
        either(server.url, "classify", b"image")
    assert refused.value.status == 422
    assert refused.value.code is None
    assert len(str(refused.value)) < 700


def test_a_code_of_another_service_is_none_of_ours(either: Either) -> None:
    body = b'{"type":"https://example.org/quota","detail":"no more"}'
    with (
        scripted(answer(422, body, "application/problem+json")) as server,
        pytest.raises(RefusedError, match="422: no more") as refused,
    ):
        either(server.url, "models")
    assert refused.value.code is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(200, PAGE, "text/html"), "text/html '502 Bad Gateway'"),
        (answer(200), "an empty body"),
        (answer(204), "an empty body"),
        (answer(200, b"[]"), "is not a Classification"),
        (answer(200, b'{"label": 3}'), "request_id: Field required"),
        (answer(200, b"\x1b[31mred\x00\x07", "text/plain"), "text/plain '[31mred'"),
    ],
)
def test_a_success_that_is_no_verdict_is_an_error(reply: bytes, said: str, either: Either) -> None:
    with (
        scripted(reply) as server,
        pytest.raises(UnexpectedAnswerError, match="is this the URL of a mutant-guard server") as unexpected,
    ):
        either(server.url, "classify", b"image")
    assert said in str(unexpected.value)
    assert "\x1b" not in str(unexpected.value)


def test_models_that_are_none_are_an_error(either: Either) -> None:
    with (
        scripted(answer(200, b'[{"name": 5}]')) as server,
        pytest.raises(UnexpectedAnswerError, match="models"),
    ):
        either(server.url, "models")


def test_redirects_are_not_followed_so_that_keys_stay_here(either: Either) -> None:
    with scripted(MODELS) as elsewhere:
        moved = answer(307, b"moved", "text/plain", Location=f"{elsewhere.url}/models")
        with (
            scripted(moved) as server,
            pytest.raises(RefusedError, match=f"leads to '{elsewhere.url}/models'"),
        ):
            either(server.url, "models", client={"key": "mg_secret"})
        assert elsewhere.requests == []


def test_an_answer_that_cannot_be_decompressed_is_an_error(either: Either) -> None:
    with (
        scripted(answer(200, b"not gzip", Content_Encoding="gzip")) as server,
        pytest.raises(UnexpectedAnswerError, match="cannot be decompressed"),
    ):
        either(server.url, "models")
    assert len(server.requests) == 1
