"""Many images: answered in order, a limited number at a time, and read no sooner than needed.

The forms in which an image may be given are tested here too.
"""

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mutant_guard.client import AsyncGuardClient, BadRequestError, Classification, GuardClient
from tests.mutant_guard.client.either import Either
from tests.mutant_guard.client.test_answers import BODY
from tests.mutant_guard.client.test_attempts import VERDICT
from tests.support.scripted_server import Answer, Request, answer, problem, scripted


def numbered(request: Request) -> Answer:
    """Answer with the number that was sent as the label, later numbers sooner."""
    number = int(request.body)
    time.sleep(0.01 * (number % 3 == 0))
    if number == 13:
        return problem(422, "bad-image", "thirteen")
    return answer(200, json.dumps(BODY | {"label": number}).encode())


def label(found: object) -> int:
    assert isinstance(found, Classification)
    return found.label


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_answers_come_in_the_order_of_the_images(concurrency: int, either: Either) -> None:
    images = [str(number).encode() for number in range(12)]
    with scripted(numbered) as server:
        found = either(server.url, "classify_many", images, concurrency=concurrency)
    assert [label(one) for one in found] == list(range(12))


def test_none_is_none(either: Either) -> None:
    assert either("http://127.0.0.1:9", "classify_many", []) == []


def test_as_many_are_asked_at_a_time_as_may_be(either: Either) -> None:
    meeting = threading.Barrier(3)

    def met(request: Request) -> Answer:
        meeting.wait(10)  # breaks if fewer are sent at a time
        time.sleep(0.01)  # time for a fourth to come, if there were one
        return numbered(request)

    with scripted(met) as server:
        found = either(server.url, "classify_many", [b"1"] * 9, concurrency=3)
    assert len(found) == 9
    assert server.most_at_once == 3


def test_an_error_takes_the_place_of_its_answer(either: Either, tmp_path: Path) -> None:
    images = [b"12", b"13", tmp_path / "missing.png", b"14"]
    with scripted(numbered) as server:
        found = either(server.url, "classify_many", images, return_errors=True)
    assert [type(one) for one in found] == [
        Classification,
        BadRequestError,
        FileNotFoundError,
        Classification,
    ]


def test_or_is_raised(either: Either) -> None:
    images = [str(number).encode() for number in range(13, 100)]
    with scripted(numbered) as server, pytest.raises(BadRequestError, match="thirteen"):
        either(server.url, "classify_many", images, concurrency=2)
    assert len(server.requests) < 20


def test_an_error_ends_the_pauses_of_the_others(either: Either) -> None:
    def after_the_other(request: Request) -> Answer:
        if request.body == b"waits":
            return problem(503, "not-ready", Retry_After="20")
        give_up = time.monotonic() + 10
        while len(server.requests) < 2 and time.monotonic() < give_up:
            time.sleep(0.01)
        return problem(422, "bad-image")

    began = time.monotonic()
    with scripted(after_the_other) as server, pytest.raises(BadRequestError):
        either(
            server.url,
            "classify_many",
            [b"fails", b"waits"],
            client={"clock": time.monotonic, "sleep": asyncio.sleep if either.is_async else None},
        )
    assert time.monotonic() - began < 20
    assert len(server.requests) == 2


def test_options_are_those_of_every_request(either: Either) -> None:
    with scripted(VERDICT) as server:
        either(server.url, "classify_many", [b"1", b"2"], store="a b/ü", explain=True, timeout=50)
    assert {request.path for request in server.requests} == {"/classify?store=a+b%2F%C3%BC&explain=true"}
    assert all(float(request.headers["x-request-timeout-ms"]) < 50_000 for request in server.requests)


def test_no_concurrency_is_refused(either: Either) -> None:
    with pytest.raises(ValueError, match="concurrency is 0"):
        either("http://127.0.0.1:9", "classify_many", [b""], concurrency=0)


def counted(taken: list[int]) -> Iterator[bytes]:
    for number in range(14, 10_000):
        taken.append(number)
        yield str(number).encode()


def test_images_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []
    with scripted(numbered) as server, GuardClient(server.url) as client:
        answers = client.classify_many(counted(taken), concurrency=2)
        assert label(next(answers)) == 14
        answers.close()
        assert len(taken) <= 4
    assert len(server.requests) <= 4


def test_images_are_taken_as_they_are_needed_by_asyncio_too() -> None:
    taken: list[int] = []

    async def first() -> None:
        async with AsyncGuardClient(server.url) as client:
            answers = client.classify_many(counted(taken), concurrency=2)
            assert label(await anext(answers)) == 14
            await answers.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    with scripted(numbered) as server:
        asyncio.run(first())
    assert len(taken) <= 4
    assert len(server.requests) <= 4


def test_an_image_is_bytes_a_path_or_an_open_file(either: Either, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"content")
    with scripted(VERDICT) as server:
        for image in (
            b"content",
            path,
            io.BytesIO(b"content"),
            bytearray(b"content"),
            memoryview(b"content"),
        ):
            either(server.url, "classify", image)
        with path.open("rb") as file:
            either(server.url, "classify", file)
    assert [request.body for request in server.requests] == [b"content"] * 6
    assert {request.headers["content-type"] for request in server.requests} == {"application/octet-stream"}


@pytest.mark.parametrize("image", ["digit.png", io.StringIO("text"), 5, None, ["a"]])
def test_anything_else_is_refused(image: object, either: Either) -> None:
    with pytest.raises(TypeError, match="an image is bytes, a Path or a file") as refused:
        either("http://127.0.0.1:9", "classify", image)
    assert ("wrap the name of a file in Path()" in str(refused.value)) is isinstance(image, str)


def test_a_file_that_cannot_be_read_is_its_own_error(either: Either, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        either("http://127.0.0.1:9", "classify", tmp_path / "none")
