"""Redis frozen, slow and killed under a real server on digits, in seconds.

No answer is lost or wrong, and every fault is reported.
"""

import shutil

import pytest

from benchmarks.serving import redis_faults
from benchmarks.subjects import ServedStore

pytestmark = pytest.mark.timing


def test_every_fault_is_survived_and_told(subject: ServedStore) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    sections = redis_faults.measure(subject, 1, lambda text: None, seconds=0.2)
    found = {figure.name: figure.value for section in sections for figure in section.figures}
    assert found["redis_answers_not_200"] == 0
    assert found["redis_verdicts_wrong"] == 0
    assert found["redis_faults_not_told"] == 0
    assert found["redis_throughput_every_look_up_a_hit"] > 0
    assert {name for name in found if name.startswith("redis_added")} >= {
        "redis_added_redis_freezes",
        "redis_added_redis_is_killed_and_restarted_empty",
        "redis_added_redis_answers_20_ms_late",
    }
