from dataclasses import replace

import numpy as np
import pytest

from benchmarks.load.plan import Plan, Watch, get


def test_another_process_gets_the_same_plan() -> None:
    plan = Plan(
        80,
        "/p",
        [b"\x00\xff", b"two"],
        3,
        1.5,
        rate=2.0,
        seed=4,
        fresh=1,
        watch=Watch("/r", 0.5),
        api_key="k",
    )
    assert Plan.from_json(plan.json()) == plan
    assert Plan.from_json(Plan(80, "/p", [b"x"], 1, 1.0).json()).watch is None


def test_a_request_says_its_type_length_and_key() -> None:
    plan = Plan(81, "/classify?guard=off", [b"abc", b""], 1, 1.0, content_type="image/webp", api_key="secret")
    first, second = plan.requests()
    assert first == (
        b"POST /classify?guard=off HTTP/1.1\r\nHost: 127.0.0.1:81\r\nContent-Type: image/webp\r\n"
        b"Authorization: Bearer secret\r\nContent-Length: 3\r\n\r\nabc"
    )
    assert second.endswith(b"Content-Length: 0\r\n\r\n")
    assert b"Authorization" not in Plan(81, "/", [b""], 1, 1.0).requests()[0]
    assert get("/livez", 81).startswith(b"GET /livez HTTP/1.1\r\n")


def test_arrivals_are_spaced_evenly_or_at_random_from_a_seed() -> None:
    assert Plan(80, "/", [b"x"], 1, 2.0, rate=2.0).dues() == [0, 0.5, 1, 1.5]
    assert Plan(80, "/", [b"x"], 1, 2.0).dues() == []
    plan = Plan(80, "/", [b"x"], 1, 100.0, rate=100.0, seed=0)
    dues = plan.dues()
    assert dues == plan.dues() != replace(plan, seed=1).dues()
    gaps = np.diff(dues)
    assert 0 < gaps.min() < dues[-1] < 100
    assert gaps.mean() == pytest.approx(0.01, rel=0.03)
    assert gaps.std() == pytest.approx(0.01, rel=0.03), "as wide as long: exponential"


@pytest.mark.parametrize(
    "changes", [{"bodies": []}, {"connections": 0}, {"seconds": 0.0}, {"rate": 0.0}, {"rate": -1.0}]
)
def test_a_load_of_nothing_is_refused(changes: dict[str, object]) -> None:
    settings: dict[str, object] = {"bodies": [b"x"], "connections": 1, "seconds": 1.0} | changes
    with pytest.raises(ValueError, match="needs"):
        Plan(80, "/", **settings)  # type: ignore[arg-type]
