from benchmarks.scale.model.choice import CHOICES


def test_round_robin_takes_one_after_the_other() -> None:
    choose = CHOICES["roundrobin"]()
    assert [choose([9, 0, 0]) for _ in range(4)] == [0, 1, 2, 0]


def test_least_connections_takes_the_emptiest_and_equals_in_turn() -> None:
    choose = CHOICES["leastconn"]()
    assert [choose([0, 0, 0]) for _ in range(4)] == [0, 1, 2, 0]
    assert choose([1, 2, 1]) == 2
    assert choose([5, 4, 6]) == 1
