"""Figures and names in docs/scale.md are those of the benchmark, the proxy and the settings."""

from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.scale.model.cluster import MAX_IN_FLIGHT
from benchmarks.scale.proxy import Deployed
from benchmarks.scale.sizing import BURST, RATES, Assumptions
from benchmarks.sections import figures_table
from service.settings import Settings
from tests.support.pages import ROOT, page, rows
from tests.support.scale_table import FIGURES, STORES, scale_rows

PAGE = page("docs/scale.md")
TEXT = " ".join(PAGE.split())
MEASURED = ROOT / "benchmarks/SCALE.md"


def test_the_table_is_that_of_the_last_measurement() -> None:
    assert ("<!-- scale -->" in PAGE) == MEASURED.exists()
    if MEASURED.exists():
        assert rows(PAGE, "scale") == scale_rows(MEASURED.read_text(encoding="utf-8"))


def test_a_table_is_made_of_figures() -> None:
    figures = [Figure(f"scale_{key}_{name}", 1234.0, "") for key in STORES.values() for name in FIGURES]
    assert scale_rows(figures_table(figures).markdown()) == [[name, *["1,234"] * 6] for name in STORES]


def test_defaults_and_limits_are_those_of_the_code() -> None:
    assumptions, deployed = Assumptions(), Deployed.read()
    assert f"(`--p99-ms`, {assumptions.p99_ms:g})" in TEXT
    assert f"`--domains` failure domains ({assumptions.domains})" in TEXT
    assert f"(`--core-hour`, {assumptions.core_hour:g} by default" in TEXT
    assert f"bursts of {BURST};" in TEXT
    assert f"`{deployed.balance}`, which is deployed" in TEXT
    assert f"by its {deployed.replicas} replicas" in TEXT
    assert f"a round trip ({assumptions.round_trip_ms:g} ms, which is assumed)" in TEXT
    fields = Settings.model_fields
    assert fields["max_in_flight"].default == MAX_IN_FLIGHT
    assert f"refuses beyond {MAX_IN_FLIGHT} in flight" in TEXT
    assert f"`GUARD_REVIEW_ENTRIES` ({fields['review_entries'].default:,})" in TEXT
    assert RATES == (10**4, 10**5, 10**6)


def test_keys_of_redis_are_named_as_they_are() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py"))
    assert 'key("verdict", _FORM, "")' in sources
    assert "_FORM = 1\n" in (ROOT / "service/redis/cache.py").read_text(encoding="utf-8")
    for tag in ("{queries}", "{review}"):
        assert tag in sources
        assert f"(`{tag}`)" in TEXT


def test_the_pause_between_entries_is_the_recorders() -> None:
    recorder = Path(ROOT / "service/review/recorder.py").read_text(encoding="utf-8")
    assert "_PAUSE_SECONDS = 0.005\n" in recorder
    assert "a pause of 5 ms" in TEXT
    assert "at most 200 entries a second" in TEXT
