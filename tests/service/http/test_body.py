"""The image in a request: content types, forms, and a limit that holds while the body arrives."""

import asyncio
import gc
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from service.guard_service import GuardService
from service.http.body import BoundedBodies, read_image
from service.http.connections.intake import INTAKE, Intake
from service.http.problems import ProblemError
from tests.support.service import digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGE = encode(digits(1)[0])
LIMIT = 20_000
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=cut"}


@pytest.mark.parametrize(
    "kind",
    [
        "image/png",
        "image/jpeg",
        "image/webp",
        "application/octet-stream",
        "IMAGE/PNG",
        "image/png; charset=binary",
        None,
    ],
)
async def test_raw_bodies_are_taken_and_their_content_says_what_they_are(
    client: AsyncClient, kind: str | None
) -> None:
    answer = await client.post("/classify", content=IMAGE, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 200


@pytest.mark.parametrize("field", ["image", "file", "anything"])
async def test_the_file_of_a_form_is_taken_whatever_its_name(client: AsyncClient, field: str) -> None:
    raw = (await client.post("/classify", content=IMAGE)).json()
    answer = await client.post(
        "/classify", data={"note": "7"}, files={field: ("digit.txt", IMAGE, "text/plain")}
    )
    assert answer.status_code == 200
    assert answer.json()["label"] == raw["label"]
    assert answer.json()["cached"] is True  # the pixels are the same


@pytest.mark.parametrize("field", ["store", "guard", "explain", "stor", "Store"])
async def test_a_form_whose_field_is_meant_as_an_option_is_refused(client: AsyncClient, field: str) -> None:
    """The image would be answered by the first store, as if nothing had been asked for."""
    answer = await client.post("/classify", data={field: "mnist"}, files={"image": IMAGE})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mutant-guard:problem:bad-form")
    assert f"'{field}', which is not read" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'--cut\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--cut--\r\n', BOUNDARY),
        (b"--cut--\r\n", BOUNDARY),
        (b"", BOUNDARY),
        (IMAGE, BOUNDARY),
        (b"--cut\r\nno header\r\n\r\nx\r\n--cut--\r\n", BOUNDARY),
        (IMAGE, {"Content-Type": "multipart/form-data"}),
        (IMAGE, {"Content-Type": "multipart/form-data; boundary="}),
    ],
    ids=["field", "nothing", "empty", "raw", "damaged", "no boundary", "empty boundary"],
)
async def test_a_form_without_a_readable_file_is_refused(
    client: AsyncClient, body: bytes, headers: dict[str, str]
) -> None:
    answer = await client.post("/classify", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:mutant-guard:problem:bad-form"
    assert "multipart form" in answer.json()["detail"]


@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
async def test_a_form_cut_short_within_its_file_is_refused(client: AsyncClient) -> None:
    body = b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf'
    answer = await client.post("/classify", content=body, headers=BOUNDARY)
    gc.collect()  # Starlette leaves the file of such a form to the collector, which warns of it
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mutant-guard:problem:bad-form")


async def test_the_event_loop_goes_on_while_a_form_is_read() -> None:
    head = b'--cut\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body = head + b"\r\n--cu" * 700_000 + b"\r\n--cut--\r\n"
    message = {"type": "http.request", "body": body, "more_body": False}
    reading = asyncio.ensure_future(
        read_image(request({"content-type": "multipart/form-data; boundary=cut"}, [message]), len(body))
    )
    rounds = 0
    while not reading.done():
        rounds += 1
        await asyncio.sleep(0)
    assert len(await reading) == 6 * 700_000
    assert rounds > 10


async def test_a_form_of_two_files_is_refused(client: AsyncClient) -> None:
    answer = await client.post("/classify", files=[("a", IMAGE), ("b", IMAGE)])
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mutant-guard:problem:bad-form")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "image/gif", "image/svg+xml", "nonsense", ""]
)
async def test_another_content_type_is_refused_with_those_that_are_taken(
    client: AsyncClient, kind: str
) -> None:
    answer = await client.post("/classify", content=IMAGE, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert f"'{kind}'" in answer.json()["detail"]
    assert "image/png, image/jpeg, image/webp" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/classify", "/v2/models/digits/infer"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip"])
async def test_a_compressed_body_is_refused_with_the_reason(
    client: AsyncClient, path: str, encoding: str
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/octet-stream"}
    answer = await client.post(path, content=gzip.compress(IMAGE), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "urn:mutant-guard:problem:unsupported-type")
    assert f"content encoding '{encoding}' is not taken" in answer.json()["detail"]


class TestBoundedBodies:
    """Several requests of 4 bytes each, with room for 10."""

    async def test_a_body_beyond_the_bound_is_refused_until_others_are_answered(self) -> None:
        go_on = asyncio.Event()
        refused: list[ProblemError] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                while (await receive())["more_body"]:
                    pass
            except ProblemError as error:
                refused.append(error)
                return
            await go_on.wait()

        bound = BoundedBodies(app, most_bytes=10)

        def ask() -> asyncio.Task[None]:
            pieces = iter([b"ab", b"cd"])

            async def receive() -> Message:
                body = next(pieces)
                return {"type": "http.request", "body": body, "more_body": body == b"ab"}

            async def send(_: Message) -> None:
                raise AssertionError

            return asyncio.ensure_future(bound({"type": "http"}, receive, send))

        held = [ask(), ask()]
        await asyncio.sleep(0.01)
        await ask()  # its first half fits, not the second
        assert [(error.status, error.code) for error in refused] == [(503, "bodies-full")]
        assert "10 of 10 bytes" in str(refused[0])
        go_on.set()
        await asyncio.gather(*held)
        await asyncio.gather(ask(), ask())
        assert len(refused) == 1

    async def test_a_body_that_has_long_been_coming_makes_room(self) -> None:
        gone = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass

        bound = BoundedBodies(app, most_bytes=10)

        def give_up_another() -> bool:
            there = not gone.is_set()
            gone.set()
            return there

        def ask(size: int, *, slow: bool) -> asyncio.Task[None]:
            pieces = iter([True, False])

            async def receive() -> Message:
                if next(pieces):
                    return {"type": "http.request", "body": bytes(size), "more_body": slow}
                await gone.wait()
                return {"type": "http.disconnect"}

            async def send(_: Message) -> None:
                raise AssertionError

            scope = {"type": "http", INTAKE: Intake(give_up_another)}
            return asyncio.ensure_future(bound(scope, receive, send))

        slow = ask(8, slow=True)
        await asyncio.sleep(0.01)
        await ask(8, slow=False)
        await slow
        with pytest.raises(ProblemError, match="0 of 10 bytes"):
            await ask(11, slow=False)

    async def test_over_http_it_is_a_problem_that_says_when_to_try_again(self, digits_store: Path) -> None:
        settings = settings_for(digits_store, max_bytes_in_flight=len(IMAGE) - 1)
        async with serving(GuardService(settings)) as client:
            for path in ("/classify", "/v2/models/digits/infer"):
                answer = await client.post(
                    path, content=IMAGE, headers={"Content-Type": "application/octet-stream"}
                )
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
                assert answer.json()["type"] == "urn:mutant-guard:problem:bodies-full"


async def test_a_body_at_the_limit_is_read_and_one_above_is_not(client: AsyncClient) -> None:
    padded = IMAGE + bytes(LIMIT - len(IMAGE))
    assert (await client.post("/classify", content=padded)).status_code == 200
    answer = await client.post("/classify", content=padded + b"\0")
    assert answer.status_code == 413
    assert "larger than 20,000 bytes" in answer.json()["detail"]


async def test_a_form_counts_as_a_whole(client: AsyncClient) -> None:
    answer = await client.post("/classify", files={"image": IMAGE + bytes(LIMIT)})
    assert answer.status_code == 413


async def test_a_body_without_a_length_is_refused_once_the_limit_is_passed(client: AsyncClient) -> None:
    sent = 0

    async def ten_times_the_limit() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10 * LIMIT:
            sent += 1000
            yield bytes(1000)

    answer = await client.post("/classify", content=ten_times_the_limit())
    assert answer.status_code == 413
    assert sent <= LIMIT + 2000


async def test_a_body_in_small_pieces_is_read_whole(client: AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(IMAGE), 7):
            yield IMAGE[start : start + 7]

    assert (await client.post("/classify", content=pieces())).status_code == 200


def request(headers: dict[str, str], messages: list[Message]) -> Request:
    """Return a request whose body arrives as ``messages``, and no other."""

    async def receive() -> Message:
        return messages.pop(0)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def test_a_length_above_the_limit_is_refused_before_a_byte_is_read() -> None:
    with pytest.raises(ProblemError) as caught:  # there is no message to read
        await read_image(request({"content-length": "101"}, []), 100)
    assert caught.value.status == 413


@pytest.mark.parametrize("announced", ["10", "-1", "²", "1e9", ""])
async def test_a_length_that_lies_does_not_lift_the_limit(announced: str) -> None:
    message = {"type": "http.request", "body": bytes(101), "more_body": False}
    with pytest.raises(ProblemError) as caught:
        await read_image(request({"content-length": announced}, [message]), 100)
    assert caught.value.status == 413


async def test_a_client_that_goes_away_within_the_body_is_refused_quietly() -> None:
    part = {"type": "http.request", "body": b"part", "more_body": True}
    with pytest.raises(ProblemError) as caught:
        await read_image(request({}, [part, {"type": "http.disconnect"}]), 100)
    assert (caught.value.status, caught.value.code) == (400, "incomplete-body")
