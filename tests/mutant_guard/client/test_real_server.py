"""Clients against a server process of mutant-guard."""

import io
import pickle
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from mutant_guard.client import (
    AlarmRates,
    BadRequestError,
    BareClassification,
    Classification,
    GuardClient,
    KeyRefusedError,
    ModelState,
    NotFoundError,
    ReviewDetails,
    ReviewEntry,
    UnexpectedAnswerError,
    Verdict,
)
from tests.mutant_guard.client.conftest import Guarded
from tests.mutant_guard.client.either import Either
from tests.mutant_guard.client.test_attempts import MODELS, VERDICT
from tests.support.scripted_server import answer, scripted
from tests.support.service import FIELDS, digits, encode

NOISY = [encode(image) for image in digits(60, noise=0.6)]


def test_a_verdict_is_the_servers(either: Either, guarded: Guarded) -> None:
    image = encode(digits(1)[0])
    found = either(guarded.url, "classify", image, client={"key": guarded.client})
    assert type(found) is Classification
    headers = {"Authorization": f"Bearer {guarded.client}"}
    said = httpx.post(f"{guarded.url}/classify", content=image, headers=headers).json()
    differs = {"request_id": "", "elapsed_ms": 0, "cached": True}
    assert found.model_dump(mode="json", exclude_unset=True) | differs == said | differs
    assert list(said) == FIELDS
    assert found.explanation is None


def test_it_is_explained_where_that_is_asked_for(either: Either, guarded: Guarded) -> None:
    found = either(guarded.url, "classify", NOISY[0], explain=True, client={"key": guarded.client})
    assert found.explanation is not None
    assert len(found.explanation.evidence) == found.mutants > 0


def test_the_ids_of_the_caller_are_taken_over_and_told_with_a_refusal(
    either: Either, guarded: Guarded
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    client = {"key": guarded.client}
    named = either(guarded.url, "classify", NOISY[0], request_id="mine", traceparent=trace, client=client)
    assert named.request_id == "mine"
    traced = either(guarded.url, "classify", NOISY[0], traceparent=trace, client=client)
    assert traced.request_id == trace.split("-")[1]
    with pytest.raises(BadRequestError) as caught:
        either(guarded.url, "classify", b"no image", request_id="refused", client=client)
    assert caught.value.request_id == "refused"
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (type(copy), str(copy), vars(copy)) == (BadRequestError, str(caught.value), vars(caught.value))


def test_the_bare_label_has_no_verdict(either: Either, guarded: Guarded) -> None:
    found = either(guarded.url, "classify", NOISY[0], guard="off", client={"key": guarded.client})
    assert type(found) is BareClassification
    assert found.guard == "off"


def test_what_is_withheld_is_none(either: Either, guarded: Guarded) -> None:
    found = either(guarded.url, "classify", NOISY[0], client={"key": guarded.partner})
    assert found.confidence is None
    assert "confidence" not in found.model_fields_set
    with pytest.raises(KeyRefusedError) as refused:
        either(guarded.url, "classify", NOISY[0], explain=True, client={"key": guarded.partner})
    assert (refused.value.status, refused.value.code) == (403, "detail-withheld")


@pytest.mark.parametrize(
    ("image", "options", "kind", "status", "code"),
    [
        (b"text", {}, BadRequestError, 422, "bad-image"),
        (NOISY[0], {"store": "none"}, NotFoundError, 404, "unknown-store"),
        (NOISY[0], {"store": "x" * 300}, BadRequestError, 422, "bad-parameter"),
        (NOISY[0], {"client": {"key": "mg_unknown"}}, KeyRefusedError, 401, "unknown-key"),
        (NOISY[0], {"client": {}}, KeyRefusedError, 401, "no-key"),
    ],
)
def test_refusals_have_their_code(
    image: bytes,
    options: dict[str, Any],
    kind: type[BadRequestError],
    status: int,
    code: str,
    either: Either,
    guarded: Guarded,
) -> None:
    with pytest.raises(kind) as refused:
        either(guarded.url, "classify", image, **({"client": {"key": guarded.client}} | options))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert refused.value.detail in str(refused.value)
    assert refused.value.request_id


def test_the_server_takes_the_deadline_it_is_told(either: Either, guarded: Guarded) -> None:
    found = either(guarded.url, "classify", encode(digits(1)[0]), timeout=20, client={"key": guarded.client})
    assert found.verdict is Verdict.NORMAL


def test_who_is_over_their_rate_waits_as_long_as_they_are_told(guarded: Guarded) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    with GuardClient(guarded.url, key=guarded.hurried, sleep=sleep) as client:
        for _ in range(20):  # the second exceeds the rate, unless the first took a second
            client.classify(NOISY[0])
            if pauses:
                break
    assert len(pauses) == 1
    assert 1 <= pauses[0] <= 1.1


def test_many_images_have_the_verdicts_they_have_alone(either: Either, guarded: Guarded) -> None:
    images = [encode(image) for image in digits(40)] + NOISY
    key = {"client": {"key": guarded.client}}
    found = either(guarded.url, "classify_many", images, concurrency=8, **key)
    alone = [either(guarded.url, "classify", image, **key) for image in images[35:45]]
    keep = {"label", "verdict", "mutants"}
    assert [one.model_dump(include=keep) for one in found[35:45]] == [
        one.model_dump(include=keep) for one in alone
    ]
    assert {one.verdict for one in found} >= {Verdict.NORMAL, Verdict.ADVERSARIAL}


def test_what_is_served_is_named(either: Either, guarded: Guarded) -> None:
    assert either(guarded.url, "ready") is True
    assert either(guarded.url, "live") is True
    (model,) = either(guarded.url, "models", client={"key": guarded.client})
    assert isinstance(model, ModelState)
    assert (model.name, model.state) == ("digits", "READY")


def test_the_alarm_rate_is_that_of_the_last_hour(either: Either, guarded: Guarded) -> None:
    either(guarded.url, "classify", NOISY[3], client={"key": guarded.client})
    with pytest.raises(KeyRefusedError, match="takes a key made with --reviewer"):
        either(guarded.url, "alarm_rate", client={"key": guarded.client})
    rates = either(guarded.url, "alarm_rate", client={"key": guarded.reviewer})
    assert isinstance(rates, AlarmRates)
    (store,) = rates.stores
    assert (store.store, len(store.series)) == ("digits", 60)
    assert store.tested >= 1


def test_entries_are_listed_shown_decided_and_exported(
    either: Either, guarded: Guarded, entries: list[ReviewEntry], tmp_path: Path
) -> None:
    key = {"client": {"key": guarded.reviewer}}
    alarms = [entry for entry in entries if entry.adversarial]
    shown = either(guarded.url, "review", alarms[0].id, **key)
    assert isinstance(shown, ReviewDetails)
    assert len(shown.explanation.evidence) == shown.mutants
    with Image.open(io.BytesIO(either(guarded.url, "review_image", alarms[0].id, **key))) as picture:
        assert picture.size == (8, 8)

    confirmed = either(guarded.url, "decide", alarms[0].id, "confirm", 5, **key)
    assert (confirmed.state, confirmed.true_label, confirmed.reviewer) == ("confirmed", 5, "reviewer")
    dismissed = either(guarded.url, "decide", alarms[1].id, "dismiss", **key)
    assert (dismissed.state, dismissed.true_label) == ("dismissed", alarms[1].label)
    waiting = {entry.id for entry in either(guarded.url, "reviews", store="digits", **key)}
    assert {alarms[0].id, alarms[1].id}.isdisjoint(waiting)
    assert alarms[0].id in {entry.id for entry in either(guarded.url, "reviews", "confirmed", **key)}
    assert either(guarded.url, "reviews", "all", "none", **key) == []

    path = tmp_path / "new" / "reviewed.npz"
    either(guarded.url, "export_reviews", path, **key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with np.load(path) as data:
        assert data["x"].shape[1:3] == (8, 8)
        assert {5, alarms[1].label} <= set(data["y"].tolist())
    assert [file.name for file in path.parent.iterdir()] == ["reviewed.npz"]


def test_an_entry_that_is_deleted_is_gone(
    either: Either, guarded: Guarded, entries: list[ReviewEntry]
) -> None:
    key = {"client": {"key": guarded.reviewer}}
    entry = entries[-1]
    assert either(guarded.url, "delete_review", entry.id, **key) is None
    with pytest.raises(NotFoundError, match="unknown-entry"):
        either(guarded.url, "delete_review", entry.id, **key)
    with pytest.raises(NotFoundError, match="unknown-entry"):
        either(guarded.url, "review", entry.id, **key)


def test_an_export_that_fails_leaves_the_file_as_it_was(
    either: Either, guarded: Guarded, tmp_path: Path
) -> None:
    path = tmp_path / "reviewed.npz"
    path.write_text("before")
    key = {"client": {"key": guarded.reviewer}}
    with pytest.raises(NotFoundError) as refused:
        either(guarded.url, "export_reviews", path, "digits", sampled=True, **key)
    assert refused.value.code == "nothing-to-export"
    with scripted(answer(200, b"<html>", "text/html")) as server, pytest.raises(UnexpectedAnswerError):
        either(server.url, "export_reviews", path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_not_review_is_told_so(either: Either, guarded: Guarded) -> None:
    with pytest.raises(KeyRefusedError) as refused:
        either(guarded.url, "reviews", client={"key": guarded.client})
    assert refused.value.code == "not-reviewer"


def test_an_entry_that_is_not_there_is_not_found(either: Either, guarded: Guarded) -> None:
    key = {"client": {"key": guarded.reviewer}}
    for method in ("review", "review_image", "delete_review"):
        with pytest.raises(NotFoundError, match="unknown-entry"):
            either(guarded.url, method, "1-0", **key)
    with pytest.raises(NotFoundError, match="unknown-entry"):
        either(guarded.url, "decide", "1-0", "dismiss", **key)


@pytest.mark.parametrize("identifier", ["", "../classify", "a/b", "1-0?x", "%2e%2e", "..", "x" * 65])
def test_no_identifier_makes_another_path(identifier: str, either: Either) -> None:
    with scripted(MODELS) as server:
        for method in ("review", "review_image", "delete_review"):
            with pytest.raises(ValueError, match="no id of an entry"):
                either(server.url, method, identifier)
        with pytest.raises(ValueError, match="no id of an entry"):
            either(server.url, "decide", identifier, "dismiss")
    assert server.requests == []


@pytest.mark.parametrize(("decision", "label"), [("maybe", None), ("confirm", -1), ("confirm", "5")])
def test_what_is_no_decision_is_not_sent(decision: str, label: object, either: Either) -> None:
    with scripted(VERDICT) as server, pytest.raises(ValueError, match="Decision"):
        either(server.url, "decide", "1-0", decision, label)
    assert server.requests == []


def test_pages_follow_each_other(either: Either, entries: list[ReviewEntry]) -> None:
    first, second, third = (entry.model_dump_json() for entry in entries[:3])
    pages = [
        f'{{"entries":[{first},{second}],"next":"{entries[1].id}","open":3}}',
        f'{{"entries":[{third}],"next":null,"open":3}}',
    ]
    with scripted(*(answer(200, page.encode()) for page in pages)) as server:
        found = either(server.url, "reviews", "open", "digits")
    assert found == entries[:3]
    common = "/review?limit=200&state=open&store=digits"
    assert [request.path for request in server.requests] == [common, f"{common}&before={entries[1].id}"]
