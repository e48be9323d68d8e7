"""What a client may send over a connection, in size and in time."""

import asyncio
import random
import tracemalloc
from collections.abc import Iterator

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.http.connections.clients import SECONDS, Wait
from tests.service.http.connections.conftest import Run, Running, everything, lengths

pytestmark = pytest.mark.anyio

HEAD = b"POST /a HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /z HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for wait in Wait:
        monkeypatch.setitem(SECONDS, wait, 0.3)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def bodies(answers: bytes) -> list[bytes]:
    return [line for line in answers.splitlines() if line.startswith(b"/")]


@pytest.mark.parametrize(
    ("sent", "expected", "code"),
    [
        pytest.param(HEAD + b"X: " + b"a" * (1 << 20), 431, "headers-too-large", id="one endless header"),
        pytest.param(HEAD + b"X: a\r\n" * 20_000, 431, "headers-too-large", id="endless headers"),
        pytest.param(HEAD + b"X: a\r\n" * 129 + b"\r\n", 431, "headers-too-large", id="many small headers"),
        pytest.param(b"GET /" + b"a" * (1 << 20), 414, "url-too-long", id="endless URL"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "url-too-long", id="long URL"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"a" * (1 << 20),
            431,
            "headers-too-large",
            id="endless trailer",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * (1 << 20),
            431,
            "headers-too-large",
            id="endless extension of a chunk",
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, "bad-request", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request", id="two hosts"),
        pytest.param(
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request", id="1.0, two hosts"
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad-request", id="TLS"),
        pytest.param(HEAD + b"Content-Length: x\r\n\r\n", 400, "bad-request", id="no length"),
        pytest.param(
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad-request", id="two lengths"
        ),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad-request", id="no chunk"),
    ],
)
async def test_a_request_out_of_bounds_is_refused_as_a_problem(
    running: Run, sent: bytes, expected: int, code: str
) -> None:
    async with running() as server:
        answer = await server.say(sent)
        assert status(answer) == expected
        assert f'"type":"urn:mutant-guard:problem:{code}"'.encode() in answer
        head = answer.split(b"\r\n\r\n")[0].lower()
        assert b"\r\nconnection: close" in head
        assert b"\r\nx-content-type-options: nosniff" in head
        assert server.refused == {code: 1}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="1.0 without a host, as a proxy's health check"),
        pytest.param(
            b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", id="long URL"
        ),
        pytest.param(LAST[:-2] + b"X: " + b"a" * 60_000 + b"\r\n\r\n", id="long header"),
        pytest.param(LAST[:-2] + b"X: a\r\n" * 120 + b"\r\n", id="many headers"),
    ],
)
async def test_a_request_within_bounds_is_answered(running: Run, sent: bytes) -> None:
    async with running() as server:
        assert status(await server.say(sent)) == 200
        assert not server.refused


@pytest.mark.parametrize("size", [0, 1, 4095, 65_536, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_arrives_whole_and_the_next_request_after_it(
    running: Run, size: int, chunked: bool
) -> None:
    body = b"\r\n\r\n" * (size // 4) + b"a" * (size % 4)
    if chunked:
        pieces = [body[at : at + 1000] for at in range(0, size, 1000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nT: x\r\n\r\n"
        sent = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed
    else:
        sent = HEAD + b"Content-Length: %d\r\n\r\n" % size + body
    async with running() as server:
        answers = await server.say(sent + LAST)
        assert bodies(answers) == [b"/a %d" % size, b"/z 0"]
        assert bodies(
            await server.say(*(sent[at : at + 700_000] for at in range(0, len(sent), 700_000)), LAST)
        ) == [
            b"/a %d" % size,
            b"/z 0",
        ]


async def test_pipelined_requests_are_answered_in_order(running: Run) -> None:
    async with running() as server:
        sent = b"".join(
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (n, n % 7) + b"b" * (n % 7)
            for n in range(5000)
        )
        assert bodies(await server.say(sent + LAST)) == [
            *(b"/%d %d" % (n, n % 7) for n in range(5000)),
            b"/z 0",
        ]


async def test_what_is_pipelined_waits_unread_while_answers_are_not(running: Run) -> None:
    """The client sends 40 MB and reads nothing; what the server keeps of it stays small."""

    async def large(request: Request) -> Response:
        return PlainTextResponse(b"a" * 100_000)

    async with running(large) as server:
        tracemalloc.start()
        _, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = tracemalloc.get_traced_memory()[0]
        sent = GET * (1 << 20)
        writer.write(sent)
        await asyncio.sleep(1)  # more than the kernel's buffers take would be read by now
        transport = writer.transport
        assert transport.get_write_buffer_size() > len(sent) // 2
        held = tracemalloc.get_traced_memory()[0] - before - transport.get_write_buffer_size() - len(sent)
        tracemalloc.stop()
        assert held < 4_000_000
        transport.abort()


async def test_requests_without_heads_do_not_pile_up(running: Run) -> None:
    """HTTP/0.9 has requests of nine bytes, so that one piece holds hundreds."""
    entered = 0

    async def slow(request: Request) -> Response:
        nonlocal entered
        entered += 1
        await asyncio.sleep(0.05)
        return await lengths(request)

    async with running(slow) as server:
        await server.say(b"GET /\n\n" * 10_000)
        assert entered <= 20


async def test_an_upgrade_is_not_taken_and_the_request_is_answered(running: Run) -> None:
    async with running() as server:
        sent = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
        assert bodies(await server.say(sent + LAST)) == [b"/a 3", b"/z 0"]


async def test_damaged_requests_in_any_pieces_break_nothing(running: Run) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    draw = random.Random(0)  # noqa: S311
    whole = HEAD + b"Content-Length: 7\r\n\r\nabc\r\n\r\n" + GET + HEAD
    whole += b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n" + LAST
    async with running() as server:
        for _ in range(150):
            damaged = bytearray(whole)
            for _ in range(draw.randrange(4)):
                at = draw.randrange(len(damaged))
                damaged[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(4))
            cuts = sorted(draw.randrange(len(damaged)) for _ in range(draw.randrange(4)))
            _, writer = await server.connect()
            for start, end in zip([0, *cuts], [*cuts, len(damaged)], strict=True):
                writer.write(bytes(damaged[start:end]))
                await asyncio.sleep(0.002)
            writer.close()
        assert bodies(await server.say(whole)) == [b"/a 7", b"/a 0", b"/a 3", b"/z 0"]
        await _until(server, connections=0)
    assert faults == []


class TestEarlyAnswer:
    @pytest.fixture
    def refusing(self, running: Run) -> Iterator[Run]:
        async def refuse(request: Request) -> Response:
            return PlainTextResponse("no", 413)

        yield lambda: running(refuse)

    async def test_it_ends_the_connection(self, refusing: Run) -> None:
        async with refusing() as server:
            answer = await server.say(HEAD + b"Content-Length: 1000000\r\n\r\nabc")
            assert status(answer) == 413
            assert b"\r\nconnection: close\r\n" in answer

    async def test_a_client_that_is_still_sending_reads_it(self, refusing: Run) -> None:
        """Closed at once, the connection would be reset with what the client sends meanwhile."""
        async with refusing() as server:
            reader, writer = await server.connect()
            writer.write(HEAD + b"Content-Length: 100000000\r\n\r\n")
            for _ in range(50):
                writer.write(b"a" * 100_000)
                await asyncio.sleep(0.002)
            assert status(await everything(reader)) == 413

    async def test_a_client_that_never_stops_sending_is_cut_off(self, refusing: Run, impatient: None) -> None:
        async with refusing() as server:
            _, writer = await server.connect()
            writer.write(HEAD + b"Content-Length: 100000000000\r\n\r\n")
            with pytest.raises(ConnectionError), anyio.fail_after(20):
                while True:
                    writer.write(b"a" * 100_000)
                    await writer.drain()
                    await asyncio.sleep(0.01)

    async def test_a_whole_request_that_is_refused_keeps_its_connection(self, refusing: Run) -> None:
        async with refusing() as server:
            answer = await server.say(HEAD + b"Content-Length: 3\r\n\r\nabc" + LAST)
            assert answer.count(b"HTTP/1.1 413") == 2


class TestSlowClient:
    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            (b"", b""),
            (b"GET / HT", b"HTTP/1.1 408 "),
            (HEAD + b"Content-Length: 9\r\n\r\nabc", b"HTTP/1.1 408 "),
            (GET, b"HTTP/1.1 200 "),
        ],
        ids=["nothing", "head", "body", "next request"],
    )
    async def test_it_is_cut_off(self, running: Run, impatient: None, sent: bytes, expected: bytes) -> None:
        async with running() as server:
            answer = await server.say(sent)
            assert answer[: len(b"HTTP/1.1 200 ")] == expected
            assert server.connections == 0
            assert server.refused == ({"slow-request": 1} if b"408" in expected else {})

    async def test_sending_a_byte_now_and_then_does_not_help(self, running: Run, impatient: None) -> None:
        async with running() as server:
            reader, writer = await server.connect()
            with anyio.fail_after(20):
                for byte in HEAD * 100:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.05)
                    if reader.at_eof() or server.connections == 0:
                        break
            assert server.connections == 0

    async def test_whoever_reads_the_body_learns_that_no_more_comes(
        self, running: Run, impatient: None
    ) -> None:
        ended = asyncio.Event()

        async def reading(request: Request) -> Response:
            try:
                return await lengths(request)
            finally:
                ended.set()

        async with running(reading) as server:
            await server.say(HEAD + b"Content-Length: 9\r\n\r\nabc")
            with anyio.fail_after(10):
                await ended.wait()

    async def test_one_that_does_not_read_is_cut_off(self, running: Run, impatient: None) -> None:
        async def large(request: Request) -> Response:
            return PlainTextResponse(b"a" * 50_000_000)

        async with running(large) as server:
            _, writer = await server.connect()
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(GET)
            await _until(server, connections=1)
            await _until(server, connections=0)

    async def test_work_of_the_server_may_take_longer(self, running: Run, impatient: None) -> None:
        async def slow(request: Request) -> Response:
            await asyncio.sleep(1.0)
            return await lengths(request)

        async with running(slow) as server:
            assert bodies(await server.say(GET)) == [b"/a 0"]


class TestMostConnections:
    async def test_the_client_that_is_silent_longest_makes_room(self, running: Run) -> None:
        async with running(connections=4) as server:
            silent = [await server.connect() for _ in range(4)]
            await _until(server, connections=4)
            silent[0][1].write(GET)
            await silent[0][0].readuntil(b"/a 0\n")  # it has just spoken
            assert bodies(await server.say(LAST)) == [b"/z 0"]
            assert await everything(silent[1][0]) == b""
            silent[2][1].write(LAST)
            assert bodies(await everything(silent[2][0])) == [b"/z 0"]

    async def test_hundreds_of_silent_ones_keep_nobody_out(self, running: Run) -> None:
        async with running(connections=8) as server:
            for _ in range(300):
                await server.connect()
            for _ in range(20):
                assert bodies(await server.say(LAST)) == [b"/z 0"]
            assert server.connections <= 9

    async def test_where_every_one_has_work_others_wait_and_are_answered(self, running: Run) -> None:
        async def slow(request: Request) -> Response:
            await asyncio.sleep(0.05)
            return await lengths(request)

        async with running(slow, connections=2) as server:
            answers = await asyncio.gather(*(server.say(LAST) for _ in range(12)))
            assert [bodies(answer) for answer in answers] == [[b"/z 0"]] * 12

    async def test_one_within_a_body_goes_last(self, running: Run) -> None:
        async with running(connections=2) as server:
            reader, writer = await server.connect()
            writer.write(HEAD + b"Content-Length: 3\r\n\r\na")
            await _until(server, connections=1)
            idle, _ = await server.connect()
            await _until(server, connections=2)
            assert bodies(await server.say(LAST)) == [b"/z 0"]
            assert await everything(idle) == b""
            writer.write(b"bc" + LAST)
            assert bodies(await everything(reader)) == [b"/a 3", b"/z 0"]


async def _until(server: Running, *, connections: int) -> None:
    with anyio.fail_after(20):
        while server.connections != connections:
            await asyncio.sleep(0.01)
