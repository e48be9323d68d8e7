import time

from benchmarks.serving.vitals import Probes
from tests.support.faulty import faulty_server
from tests.support.service import free_port


def test_probes_that_fail_are_told_apart() -> None:
    with Probes(free_port(), every=0.05) as probes:
        while sum(probes.failures.values()) < 2:
            time.sleep(0.01)
    assert probes.latencies("/livez").count == 0
    with faulty_server() as server, Probes(server.port, every=0.05) as probes:
        while server.requests["/readyz"] < 3:
            time.sleep(0.01)
    assert not probes.failures
    assert probes.latencies("/readyz").count >= 3
