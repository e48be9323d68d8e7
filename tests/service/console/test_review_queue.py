"""A reviewer's work: entries come up, are looked at, confirmed and dismissed, and their labels exported."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.service.console.conftest import HOSTILE, Images, Keyed, Open, verdict
from tests.service.console.gestures import (
    deciding,
    drop,
    fact,
    held,
    hold,
    let_go,
    refresh,
    result,
    send_key,
    without_polls,
)
from tests.support.process import Server, serve
from tests.support.service import digits, encode

pytestmark = pytest.mark.slow

_QUEUED_SECONDS = 60


@pytest.fixture(scope="module")
def reviewed(retrained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a review queue, for all tests of this file."""
    log = tmp_path_factory.mktemp("reviewed") / "server.log"
    with serve(retrained_store, log, GUARD_REVIEW_IMAGES="true") as server:
        yield server


@pytest.fixture
def queued(reviewed: Server, images: Images) -> Server:
    """The server; its queue holds alarms, more than three, and nothing was decided about any."""
    with httpx.Client(base_url=reviewed.url) as client:
        for entry in entries(reviewed, "all"):
            client.delete(f"/review/{entry['id']}").raise_for_status()
    enqueue(reviewed, images.attacked)
    assert len(entries(reviewed)) > 3
    assert len(entries(reviewed)) == len(entries(reviewed, "all"))
    return reviewed


def enqueue(server: Server, given: list[bytes], **query: str) -> None:
    """Have them judged, and wait until those to be looked at are in the queue: they come there a moment later."""
    before = times_seen(server)
    wanted = before + sum(verdict(server, image, **query)["verdict"] != "normal" for image in given)
    give_up = time.monotonic() + _QUEUED_SECONDS
    while times_seen(server) < wanted:
        assert time.monotonic() < give_up, f"not in the queue after {_QUEUED_SECONDS} s"
        time.sleep(0.02)


def times_seen(server: Server) -> int:
    return sum(int(str(entry["seen"])) for entry in entries(server, "all"))


def entries(server: Server, state: str = "open", key: str | None = None) -> list[dict[str, object]]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.get(f"{server.url}/review", params={"state": state, "limit": 200}, headers=headers)
    found: list[dict[str, object]] = answer.raise_for_status().json()["entries"]
    return found


def shown(page: Page) -> Locator:
    return page.locator("#entries > li")


def identifier(entry: Locator) -> str:
    return entry.get_attribute("data-id") or ""


def details(page: Page) -> Locator:
    return page.get_by_role("region", name="Entry", exact=True)


def test_what_was_dropped_is_there_to_review(queued: Server, images: Images, open_page: Open) -> None:
    page = open_page(queued.url)
    waiting = entries(queued)
    expect(shown(page)).to_have_count(len(waiting))
    expect(page.locator("#open-count")).to_have_text(str(len(waiting)))
    first = shown(page).first
    assert identifier(first) == waiting[0]["id"]
    expect(first.locator(".badge")).to_have_text("Adversarial")
    expect(first.locator("img.pixels")).to_have_count(1)  # its thumbnail, of 8×8 pixels
    place = details(page)
    expect(place.locator(".verdict-word")).to_have_text("Adversarial")
    expect(place.locator(".path .point")).to_have_count(int(str(waiting[0]["mutants"])))
    assert fact(place, "Label") == waiting[0]["class_name"]
    new = next(image for image in images.clean if verdict(queued, image)["adversarial"])
    drop(page, new)
    result(page, "Adversarial")
    expect(shown(page)).to_have_count(len(waiting) + 1)
    expect(page.locator("#open-count")).to_have_text(str(len(waiting) + 1))


def test_an_entry_is_dismissed_and_another_confirmed_with_what_it_shows(
    queued: Server, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(queued.url)
    count = len(entries(queued))
    expect(shown(page)).to_have_count(count)
    first, second, third = (identifier(shown(page).nth(i)) for i in range(3))
    with deciding(page):
        details(page).get_by_role("button", name="Dismiss").click()
    expect(shown(page)).to_have_count(count - 1)
    expect(page.locator("#announcer")).to_contain_text("Dismissed")
    expect(shown(page).first.locator("button")).to_be_focused()
    assert identifier(shown(page).first) == second
    details(page).get_by_label("It truly shows").select_option("7")
    with deciding(page):
        details(page).get_by_role("button", name="Confirm").click()
    expect(shown(page)).to_have_count(count - 2)
    expect(page.locator("#announcer")).to_contain_text("Confirmed")
    assert identifier(shown(page).first) == third
    expect(page.locator("#open-count")).to_have_text(str(count - 2))
    (dismissed,), (confirmed,) = entries(queued, "dismissed"), entries(queued, "confirmed")
    assert (dismissed["id"], dismissed["true_label"]) == (first, dismissed["label"])
    assert (confirmed["id"], confirmed["true_label"]) == (second, 7)

    page.get_by_role("radio", name="Confirmed").check()
    expect(shown(page)).to_have_count(1)
    expect(details(page).locator(".reviewed")).to_contain_text("It truly shows “7”")
    page.get_by_role("radio", name="All").check()
    expect(shown(page)).to_have_count(count)
    page.get_by_role("radio", name="Dismissed").check()
    expect(shown(page)).to_have_count(1)
    # Deciding again replaces what was decided.
    with deciding(page):
        details(page).get_by_role("button", name="Confirm").click()
    expect(shown(page)).to_have_count(0)
    expect(page.locator("#no-entries")).to_have_text("Nothing was dismissed yet.")

    with page.expect_download() as saved:
        page.get_by_role("button", name="Export labels").click()
    with np.load(io.BytesIO(Path(saved.value.path()).read_bytes())) as arrays:
        assert arrays["x"].shape == (1, 8, 8, 1)
        assert arrays["y"].tolist() == [7]


def test_the_queue_is_worked_through_by_keys_alone(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url)
    ids = [str(entry["id"]) for entry in entries(queued)]
    expect(shown(page)).to_have_count(len(ids))
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#entries') !== null"):
            break
    expect(shown(page).first.locator("button")).to_be_focused()
    page.keyboard.press("j")
    expect(shown(page).nth(1).locator("button")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("k")
    expect(shown(page).nth(1).locator("button")).to_have_attribute("aria-current", "true")
    with deciding(page):
        page.keyboard.press("c")
    expect(shown(page)).to_have_count(len(ids) - 1)
    expect(page.locator(f'#entries li[data-id="{ids[2]}"] button')).to_be_focused()
    with deciding(page):
        page.keyboard.press("d")
    expect(shown(page)).to_have_count(len(ids) - 2)
    assert [entry["id"] for entry in entries(queued, "confirmed")] == [ids[1]]
    assert [entry["id"] for entry in entries(queued, "dismissed")] == [ids[2]]
    # Elsewhere these keys mean nothing: a decision would be shown at once, and be among those dismissed later.
    page.locator("#drop").focus()
    page.keyboard.press("d")
    assert shown(page).count() == len(ids) - 2
    expect(page.locator("#drop")).to_be_focused()
    shown(page).first.locator("button").click()
    with deciding(page):
        page.keyboard.press("d")
    assert {entry["id"] for entry in entries(queued, "dismissed")} == {ids[0], ids[2]}


def test_a_decision_that_is_refused_is_taken_back_and_told(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url, expected="ERR_CONNECTION_REFUSED")
    count = len(entries(queued))
    expect(shown(page)).to_have_count(count)
    page.route(
        "**/review/*",
        lambda route: (
            route.abort("connectionrefused") if route.request.method == "POST" else route.fallback()
        ),
    )
    second = identifier(shown(page).nth(1))
    shown(page).nth(1).locator("button").click()
    details(page).get_by_role("button", name="Dismiss").click()
    expect(page.locator("#review-problem")).to_contain_text("The server cannot be reached")
    expect(page.locator("#announcer")).to_contain_text("Not dismissed")
    expect(shown(page)).to_have_count(count)
    assert identifier(shown(page).nth(1)) == second
    expect(shown(page).nth(1).locator("button")).to_have_attribute("aria-current", "true")
    expect(page.locator("#open-count")).to_have_text(str(count))
    assert entries(queued, "dismissed") == []
    refresh(page)
    expect(page.locator("#review-problem")).to_be_visible()
    page.unroute_all()
    with deciding(page):
        details(page).get_by_role("button", name="Dismiss").click()
    expect(shown(page)).to_have_count(count - 1)
    expect(page.locator("#review-problem")).to_be_hidden()


def test_a_key_held_down_decides_one_entry(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url)
    count = len(entries(queued))
    expect(shown(page)).to_have_count(count)
    shown(page).first.locator("button").click()
    with deciding(page):
        page.keyboard.down("d")
    for _ in range(5):
        page.keyboard.down("d")  # repeats, as the first was not let go
    assert shown(page).count() == count - 1
    page.keyboard.up("d")
    with deciding(page):
        page.keyboard.press("d")
    assert len(entries(queued, "dismissed")) == 2


def decided_by_another(server: Server, entry: dict[str, object]) -> None:
    httpx.post(f"{server.url}/review/{entry['id']}", json={"decision": "confirm"}).raise_for_status()


@pytest.mark.parametrize("focused", ["Dismiss", "the entry"])
def test_what_another_decided_meanwhile_stays_and_no_other_takes_its_place(
    focused: str, queued: Server, open_page: Open
) -> None:
    page = open_page(queued.url)
    waiting = entries(queued)
    expect(shown(page)).to_have_count(len(waiting))
    shown(page).nth(1).locator("button").click()
    if focused == "Dismiss":
        details(page).get_by_role("button", name="Dismiss").focus()
    decided_by_another(queued, waiting[1])
    refresh(page)
    expect(shown(page)).to_have_count(len(waiting) - 1)
    assert fact(details(page), "Request") == waiting[1]["request_id"]
    expect(details(page)).to_contain_text("Decided meanwhile")
    expect(page.locator("#announcer")).to_contain_text("Decided meanwhile")
    expect(details(page).get_by_role("button", name="Dismiss")).to_have_count(0)
    expect(details(page)).to_be_focused()
    page.keyboard.press("d")
    assert shown(page).count() == len(waiting) - 1
    page.keyboard.press("j")
    assert fact(details(page), "Request") == waiting[2]["request_id"]
    expect(shown(page).nth(1).locator("button")).to_be_focused()
    expect(details(page).get_by_role("button", name="Dismiss")).to_be_visible()


def test_what_another_decided_meanwhile_is_shown_as_decided(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url)
    page.get_by_role("radio", name="All").check()
    waiting = entries(queued)
    expect(shown(page)).to_have_count(len(waiting))
    expect(details(page).locator(".reviewed")).to_have_count(0)
    details(page).get_by_role("button", name="Dismiss").focus()
    decided_by_another(queued, waiting[0])
    refresh(page)
    expect(details(page).locator(".reviewed")).to_contain_text("Confirmed")
    expect(page.locator("#announcer")).to_contain_text("Meanwhile confirmed")
    expect(details(page)).to_be_focused()
    assert fact(details(page), "Request") == waiting[0]["request_id"]


def test_the_focus_stays_on_an_entry_that_is_seen_again(
    queued: Server, images: Images, open_page: Open
) -> None:
    page = open_page(queued.url)
    newest = next(image for image in reversed(images.attacked) if verdict(queued, image)["adversarial"])
    shown(page).first.locator("button").focus()
    enqueue(queued, [newest])
    refresh(page)
    expect(shown(page).first).to_contain_text("seen")
    expect(shown(page).first.locator("button")).to_be_focused()


@pytest.mark.parametrize("first", ["the decision", "the list"])
def test_a_list_asked_for_during_a_decision_lacks_nothing(
    first: str, queued: Server, open_page: Open
) -> None:
    page = open_page(queued.url)
    without_polls(page)
    count = len(entries(queued))
    expect(shown(page)).to_have_count(count)
    hold(page, "review/", "POST")
    details(page).get_by_role("button", name="Dismiss").click()
    held(page, 1)
    hold(page, "review?")
    page.get_by_role("radio", name="All").check()
    held(page, 2)
    if first == "the decision":
        with deciding(page):
            let_go(page, 0)
        expect(page.locator("#entries li")).to_have_count(0)
        let_go(page, 1)
    else:
        let_go(page, 1)
        expect(shown(page)).to_have_count(count - 1)
        with deciding(page):
            let_go(page, 0)
    held(page, 3)
    let_go(page, 2)
    expect(shown(page)).to_have_count(count)


def test_what_went_wrong_with_one_decision_is_not_wiped_by_the_next(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url)
    ids = [str(entry["id"]) for entry in entries(queued)]
    expect(shown(page)).to_have_count(len(ids))
    shown(page).first.locator("button").click()
    hold(page, "review/", "POST")
    page.keyboard.press("d")
    page.keyboard.press("d")
    held(page, 2)
    let_go(page, 0, failing=True)
    expect(page.locator("#review-problem")).to_contain_text("The server cannot be reached")
    expect(shown(page)).to_have_count(len(ids) - 1)
    with deciding(page):
        let_go(page, 1)
    refresh(page)
    expect(page.locator("#review-problem")).to_be_visible()
    # Who went on is not called back.
    expect(page.locator("#entries [aria-current=true]")).to_have_count(1)
    expect(page.locator(f'#entries li[data-id="{ids[2]}"] button')).to_have_attribute("aria-current", "true")
    expect(page.locator(f'#entries li[data-id="{ids[2]}"] button')).to_be_focused()
    shown(page).first.locator("button").click()
    page.keyboard.press("d")
    held(page, 3)
    let_go(page, 2)
    expect(page.locator("#review-problem")).to_be_hidden()


def test_on_a_phone_one_stays_at_the_details(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url, viewport={"width": 360, "height": 740})
    count = len(entries(queued))
    expect(shown(page)).to_have_count(count)
    decision = details(page).get_by_role("button", name="Dismiss")
    expect(decision).not_to_be_in_viewport()
    shown(page).first.locator("button").click()
    expect(decision).to_be_in_viewport(ratio=1)
    with deciding(page):
        decision.click()
    expect(shown(page)).to_have_count(count - 1)
    expect(shown(page).first.locator("button")).to_be_focused()
    expect(details(page).locator(".verdict-word")).to_be_in_viewport(ratio=1)
    expect(decision).to_be_in_viewport(ratio=1)
    # By keys, one goes through the list.
    page.keyboard.press("j")
    expect(shown(page).nth(1).locator("button")).to_be_in_viewport(ratio=1)
    with deciding(page):
        page.keyboard.press("d")
    expect(shown(page).nth(1).locator("button")).to_be_focused()
    expect(shown(page).nth(1).locator("button")).to_be_in_viewport(ratio=1)


def test_on_a_phone_long_names_have_room(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url, viewport={"width": 360, "height": 740})
    expect(shown(page)).to_have_count(len(entries(queued)))
    says = shown(page).first.locator(".entry-says")
    says.evaluate(
        "(says) => { says.textContent = 'Appenzeller Sennenhund → Greater Swiss Mountain dog '.repeat(3); }"
    )
    box, lines = says.bounding_box(), says.evaluate("(says) => parseFloat(getComputedStyle(says).lineHeight)")
    assert box is not None
    assert box["width"] > 180
    assert box["height"] < 2.5 * lines
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_older_entries_are_shown_page_by_page(queued: Server, open_page: Open) -> None:
    enqueue(queued, [encode(pixels) for pixels in digits(60, noise=0.7)])
    waiting = entries(queued)
    assert 30 < len(waiting) <= 60
    page = open_page(queued.url)
    expect(shown(page)).to_have_count(30)
    page.get_by_role("button", name="Show older ones").click()
    expect(shown(page)).to_have_count(len(waiting))
    expect(shown(page).nth(30).locator("button")).to_be_focused()
    assert [identifier(entry) for entry in shown(page).all()] == [entry["id"] for entry in waiting]
    refresh(page)
    expect(shown(page)).to_have_count(len(waiting))
    expect(shown(page).nth(30).locator("button")).to_be_focused()
    expect(page.get_by_role("button", name="Show older ones")).to_be_hidden()


def test_nothing_to_export_is_told_and_hides_nothing(queued: Server, open_page: Open) -> None:
    page = open_page(queued.url, expected="404")
    expect(shown(page).first).to_be_visible()
    page.get_by_role("button", name="Export labels").click()
    expect(page.locator("#review-problem")).to_contain_text("true label")
    expect(shown(page).first).to_be_visible()


def test_what_is_called_like_markup_stays_text(server: Server, images: Images, open_page: Open) -> None:
    alarms = (
        (image, answer)
        for image in images.attacked
        if (answer := verdict(server, image, store="<i>nai"))["adversarial"]
    )
    image, answer = next(alarms)
    enqueue(server, [image], store="<i>nai")
    page = open_page(server.url)
    page.get_by_role("combobox", name="Store").select_option("<i>nai")
    entry = shown(page).filter(has_text=HOSTILE).first
    expect(entry).to_contain_text(f"{HOSTILE}{answer['label']}")
    expect(details(page).locator(".verdict-text")).to_contain_text(HOSTILE)
    expect(details(page).get_by_label("It truly shows").locator("option")).to_have_count(
        10
    )  # all but its own, and none
    assert page.locator("main i, main img[src=x]").count() == 0


def test_the_count_of_open_entries_says_that_it_is_of_all_stores(
    server: Server, queued: Server, open_page: Open
) -> None:
    page = open_page(server.url)
    page.route("**/review?*", lambda route: route.fulfill(json={"entries": [], "next": None, "open": 3}))
    page.get_by_role("combobox", name="Store").select_option("<i>nai")
    expect(page.locator("#no-entries")).to_have_text("Nothing of this store waits for review.")
    badge = page.locator("#open-count")
    expect(badge).to_have_attribute("aria-label", "3 open, of all stores")
    expect(badge).to_have_attribute("title", "Open entries of all stores")
    page = open_page(queued.url)
    expect(page.locator("#open-count")).to_have_attribute("aria-label", f"{len(entries(queued))} open")


def test_without_images_there_is_a_sign_and_a_hint(keyed: Keyed, images: Images, open_page: Open) -> None:
    key = {"Authorization": f"Bearer {keyed.reviewer}", "Content-Type": "image/png"}
    for image in images.attacked:
        httpx.post(f"{keyed.server.url}/classify", content=image, headers=key).raise_for_status()
    page = open_page(keyed.server.url, expected="401")
    send_key(page, keyed.reviewer)
    expect(shown(page).first).to_be_visible()
    expect(details(page)).to_contain_text("GUARD_REVIEW_IMAGES=true")
    assert details(page).get_by_role("img", name="no image kept").count() == 1
    assert page.locator("#entries img").count() == 0
    with deciding(page):
        details(page).get_by_role("button", name="Dismiss").click()
    expect(page.locator("#announcer")).to_contain_text("Dismissed")
    page.get_by_role("radio", name="Dismissed").check()
    expect(details(page).locator(".reviewed")).to_contain_text("Dismissed by rita")


def test_a_queue_that_is_off_or_for_others_says_so(bare: Server, keyed: Keyed, open_page: Open) -> None:
    page = open_page(bare.url, expected="404")
    expect(page.locator("#review-problem")).to_contain_text("GUARD_REVIEW_ENTRIES")
    expect(page.locator("#queue")).to_be_hidden()
    page = open_page(keyed.server.url, expected="40[13]")
    send_key(page, keyed.partner)
    expect(page.locator("#review-problem")).to_contain_text("reviewer")
    expect(page.locator("#queue")).to_be_hidden()


def test_the_image_by_which_a_campaign_was_found_says_so(
    retrained_store: Path, tmp_path: Path, open_page: Open
) -> None:
    settings = {"GUARD_QUERY_MEMORY": "observe", "GUARD_QUERY_FRAMES": "3", "GUARD_QUERY_ENTRIES": "64"}
    image = digits(1)[0].astype(np.int64)
    with serve(retrained_store, tmp_path / "server.log", **settings) as server:
        for number in range(4):
            file = encode((image.clip(8) - number).astype(np.uint8))
            assert httpx.post(f"{server.url}/classify", content=file, trust_env=False).status_code == 200
        page = open_page(server.url)
        expect(shown(page)).to_have_count(1)
        expect(shown(page)).to_contain_text("campaign")
        expect(details(page)).to_contain_text("many images that hardly differ were asked for")
