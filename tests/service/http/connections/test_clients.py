"""Which connection is given up first, and when."""

import pytest

from service.http.connections.clients import SECONDS, Clients, Wait, connections_possible


class Connection:
    def __init__(self, clients: Clients, *, unread: bool = False) -> None:
        self.wait: Wait | None = None
        self.unread, self.given_up = unread, False
        clients.came(self)

    def has_unread(self) -> bool:
        return self.unread

    def give_up(self, wait: Wait) -> None:
        self.given_up = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("service.http.connections.clients.time.monotonic", lambda: now[0])
    return now


def test_one_that_began_to_wait_since_the_last_look_is_spared(clock: list[float]) -> None:
    clients = Clients(1)
    connection = Connection(clients)
    assert not clients.give_one_up()
    clock[0] = 1
    clients.look()
    assert clients.give_one_up()
    assert connection.given_up


@pytest.mark.parametrize("wait", [Wait.IDLE, Wait.HEAD])
def test_one_whose_client_has_just_sent_something_is_spared(clock: list[float], wait: Wait) -> None:
    clients = Clients(2)
    first, second = Connection(clients, unread=True), Connection(clients)
    clients.waits(first, wait)
    clock[0] = 1
    clients.look()
    assert clients.give_one_up()
    assert (first.given_up, second.given_up) == (False, True)


@pytest.mark.parametrize("wait", [Wait.CLOSING, Wait.UNREAD, Wait.BODY])
def test_one_that_sends_too_much_is_not(clock: list[float], wait: Wait) -> None:
    clients = Clients(1)
    connection = Connection(clients, unread=True)
    clients.waits(connection, wait)
    clock[0] = 1
    clients.look()
    assert clients.give_one_up()
    assert connection.given_up


@pytest.mark.parametrize("wait", list(Wait))
def test_time_up_to_the_last_look_counts(clock: list[float], wait: Wait) -> None:
    """A process that was held up gives up nobody for that."""
    clients = Clients(1)
    connection = Connection(clients)
    clients.waits(connection, None)
    clients.waits(connection, wait)
    clock[0] = SECONDS[wait] + 1
    clients.look()
    assert not connection.given_up
    clients.look()
    assert connection.given_up


def test_a_body_that_has_just_begun_is_not_given_up_for_another(clock: list[float]) -> None:
    clients = Clients(1)
    connection = Connection(clients)
    clients.waits(connection, Wait.BODY)
    assert not clients.give_up_body()
    clock[0] = 1.1
    assert clients.give_up_body()
    assert connection.given_up


@pytest.mark.parametrize(
    ("soft", "hard", "possible", "raised"),
    [(256, 256, 192, None), (256, 4096, 1000, 1064), (70, 70, 8, None), (4096, 4096, 1000, None)],
)
def test_connections_fit_into_the_limit_of_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, possible: int, raised: int | None
) -> None:
    limits: list[int] = []
    monkeypatch.setattr("service.http.connections.clients.resource.getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(
        "service.http.connections.clients.resource.setrlimit", lambda _, given: limits.append(given[0])
    )
    assert connections_possible(1000) == possible
    assert [limit for limit in limits if limit != soft] == ([] if raised is None else [raised])
