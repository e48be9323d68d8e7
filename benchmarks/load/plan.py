"""Task of the load client."""

import base64
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Watch:
    """Path that is asked on a connection of its own, as a load balancer does.

    No request is sent once it fails.

    Attributes:
        path: path that answers 200 while requests may be sent.
        every: seconds between two questions.
    """

    path: str = "/readyz"
    every: float = 0.02


@dataclass(frozen=True)
class Plan:
    """Description of a load.

    Attributes:
        port: port of the server, on the loopback.
        path: path that bodies are posted to.
        bodies: bodies to post, one after the other and then again from the first.
        connections: number of connections: in a closed loop, each has one request under way; in an
            open loop, it is the most that are opened.
        seconds: time during which requests are sent.
        rate: requests a second, sent whether or not earlier ones are answered (open loop); None
            sends each when the one before it on its connection is answered (closed loop).
        seed: seed of a rate's gaps, which are then those of Poisson arrivals; None for equal gaps.
        fresh: number of a closed loop's connections that are opened anew for every request.
        watch: path that says when to stop early.
        grace: seconds after the last request was sent within which requests must be answered.
        content_type: content type of the bodies.
        api_key: key sent with every request, if any.
    """

    port: int
    path: str
    bodies: Sequence[bytes]
    connections: int
    seconds: float
    rate: float | None = None
    seed: int | None = None
    fresh: int = 0
    watch: Watch | None = None
    grace: float = 60.0
    content_type: str = "image/png"
    api_key: str | None = None

    def __post_init__(self) -> None:
        if not self.bodies or self.connections < 1 or self.seconds <= 0:
            raise ValueError("a load needs bodies, a connection and some time")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"an open loop needs a rate above 0, got {self.rate}")

    def requests(self) -> list[bytes]:
        """Return every request as it goes over the socket."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: {self.content_type}\r\n"
        if self.api_key is not None:
            head += f"Authorization: Bearer {self.api_key}\r\n"
        return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in self.bodies]

    def dues(self) -> list[float]:
        """Return when requests are due, in seconds from the start, ascending; none without a rate."""
        if self.rate is None:
            return []
        if self.seed is None:
            return [number / self.rate for number in range(round(self.rate * self.seconds))]
        draws = random.Random(self.seed)  # noqa: S311 - the same arrivals again, no secret
        gaps = iter(lambda: draws.expovariate(1) / (self.rate or 1), None)
        return list(itertools.takewhile(lambda due: due < self.seconds, itertools.accumulate(gaps)))

    def json(self) -> str:
        """Return the plan as JSON for another process."""
        bodies = [base64.b64encode(body).decode() for body in self.bodies]
        return json.dumps(asdict(replace(self, bodies=(b"",))) | {"bodies": bodies})

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read the plan that ``json`` wrote."""
        entry = json.loads(text)
        bodies = [base64.b64decode(body) for body in entry.pop("bodies")]
        watch = entry.pop("watch")
        return cls(bodies=bodies, watch=None if watch is None else Watch(**watch), **entry)


def get(path: str, port: int) -> bytes:
    """Return a request for a path as it goes over the socket.

    The server closes the connection after its answer.
    """
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
