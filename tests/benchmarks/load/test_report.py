from benchmarks.load.report import Latencies, Report

FOUND = Latencies(2, 0.1, 0.2, 0.2)
REPORT = Report({200: 2, 429: 1}, {200: FOUND, 429: FOUND}, 20.0, 1, 0, 0, FOUND, {"why": 1}, 0.5, None)


def test_quantiles_are_latencies_that_occurred() -> None:
    found = Latencies.of([n / 100 for n in range(1, 101)])
    assert found == Latencies(100, 0.5, 0.99, 1.0)
    assert Latencies.of([]) == Latencies(0, 0.0, 0.0, 0.0)


def test_another_process_gets_the_same_report() -> None:
    assert Report.from_json(REPORT.json()) == REPORT
    assert (REPORT.ok, REPORT.answered) == (2, 3)


def test_a_load_that_left_late_did_not_keep_up() -> None:
    assert not REPORT.kept_up
    assert Report({}, {}, 0.0, 0, 0, 0, Latencies(1, 0.0, 0.05, 9.0), {}, 0.0, None).kept_up
    assert not Report({}, {}, 0.0, 0, 0, 1, Latencies(1, 0.0, 0.05, 9.0), {}, 0.0, None).kept_up
