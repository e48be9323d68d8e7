"""An image is given to the page in every way there is; the verdict and the path of the test are shown."""

import base64
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.service.console.conftest import HOSTILE, SAMPLES, Images, Keyed, Open, verdict
from tests.service.console.gestures import drop, fact, held, hold, let_go, paste, result, send_key
from tests.support.process import Server

pytestmark = pytest.mark.slow

_LIST_SAMPLES_AGAIN = """
async () => (await import("./console/api.js")).session.dispatchEvent(new Event("key"))
"""


def judged(server: Server, images: list[bytes], wanted: str, **query: str) -> tuple[bytes, dict[str, object]]:
    """The first of the images that gets a verdict, and the answer."""
    for image in images:
        answer = verdict(server, image, explain="true", **query)
        if answer["verdict"] == wanted:
            return image, answer
    raise AssertionError(f"the server finds none of {len(images)} images {wanted}")


def points(page: Page) -> int:
    return page.locator("#result .path .point").count()


@pytest.mark.parametrize("kind", ["normal", "adversarial"])
def test_an_image_is_dropped(kind: str, server: Server, images: Images, open_page: Open) -> None:
    given = images.clean if kind == "normal" else images.attacked
    image, answer = judged(server, given, kind)
    page = open_page(server.url)
    drop(page, image)
    place = result(page, kind.capitalize())
    assert place.locator(f".headline svg[data-shape={kind}]").count() == 1  # a shape, not a colour alone
    expect(place.locator(".verdict-text")).to_contain_text(f"The classifier says “{answer['class_name']}”")
    assert fact(place, "Label") == answer["class_name"]
    assert fact(place, "Mutants") == str(answer["mutants"])
    assert fact(place, "Decided by") == "retrain"
    assert fact(place, "Confidence").endswith(" %")
    assert fact(place, "Store").startswith("digits @ ")
    assert points(page) == answer["mutants"]
    assert place.locator(f".path .point.last.is-{kind}").count() == 1
    place.locator("summary", has_text="The path as a table").click()
    expect(place.locator(".path tbody tr")).to_have_count(1 + int(str(answer["mutants"])))
    expect(place.locator(".path .summary")).to_contain_text("in all")
    preview = place.locator(".frame img")
    assert preview.evaluate("(img) => [img.naturalWidth, getComputedStyle(img).imageRendering]") == [
        8,
        "pixelated",
    ]
    expect(page.locator("#announcer")).to_contain_text(f"{kind.capitalize()}. The classifier says")
    if kind == "adversarial":
        suggested = answer["suggested_class_name"]
        assert fact(place, "Suggested").startswith(str(suggested))
        expect(place.locator(".verdict-text")).to_contain_text("Do not trust that")


def test_a_drop_beside_the_zone_counts_as_well(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url)
    drop(page, judged(server, images.clean, "normal")[0], on="#alarms")
    result(page, "Normal")
    assert page.url == f"{server.url}/"


def test_an_image_is_chosen(server: Server, images: Images, open_page: Open, tmp_path: Path) -> None:
    file = tmp_path / "digit.png"
    file.write_bytes(judged(server, images.attacked, "adversarial")[0])
    page = open_page(server.url)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose an image").click()
    chooser.value.set_files(file)
    result(page, "Adversarial")


def test_an_image_is_pasted(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url)
    paste(page, judged(server, images.clean, "normal")[0])
    result(page, "Normal")


def test_an_image_is_copied_and_pasted_by_keys(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url, permissions=["clipboard-read", "clipboard-write"])
    content = base64.b64encode(judged(server, images.clean, "normal")[0]).decode()
    page.evaluate(
        """async (content) => {
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          const image = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
        }""",
        content,
    )
    page.keyboard.press("Control+V")
    result(page, "Normal")


def test_what_is_no_file_is_refused_in_words(server: Server, open_page: Open) -> None:
    page = open_page(server.url)
    text = page.evaluate_handle(
        "() => { const given = new DataTransfer(); given.setData('text/plain', 'a'); return given; }"
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": text})
    expect(page.locator("#result")).to_contain_text("What was dropped is no file.")
    assert page.url == f"{server.url}/"


def test_samples_are_picked_whatever_they_are_called(server: Server, images: Images, open_page: Open) -> None:
    seen = images.attacked.index(judged(server, images.attacked[:SAMPLES], "adversarial")[0])
    page = open_page(server.url)
    buttons = page.locator("#samples button")
    expect(buttons).to_have_count(3 + SAMPLES)
    page.get_by_role("button", name="Sample: 2", exact=True).click()
    result(page, "Normal")
    page.get_by_role("button", name=f"Sample: {seen}, attacked (pgd)", exact=True).click()
    result(page, "Adversarial")
    for name in (HOSTILE, f"{HOSTILE}.png"):
        page.get_by_role("button", name=f"Sample: {name}", exact=True).click()
        expect(page.locator("#result .verdict img")).to_have_attribute("alt", re.compile(re.escape(HOSTILE)))


def test_the_sample_picked_last_is_judged_whichever_loads_first(server: Server, open_page: Open) -> None:
    page = open_page(server.url)
    expect(page.locator("#samples button")).to_have_count(3 + SAMPLES)
    hold(page, "samples/digits-test-0-label-2.png")
    page.evaluate(_LIST_SAMPLES_AGAIN)
    held(page, 1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "classify?" in request.url else None)
    slow = page.get_by_role("button", name="Sample: 2", exact=True)
    slow.click()
    expect(page.locator("#result")).to_have_attribute("aria-busy", "true")
    pictured = page.locator("#result .verdict img")
    page.get_by_role("button", name="Sample: 1, attacked (pgd)", exact=True).click()
    expect(pictured).to_have_attribute("alt", re.compile(r"digits-test-1-pgd"))
    let_go(page, 0)
    expect(slow.locator(".loading")).to_have_count(0)
    page.get_by_role("button", name="Sample: 3, attacked (pgd)", exact=True).click()
    expect(pictured).to_have_attribute("alt", re.compile(r"digits-test-3-pgd"))
    assert len(asked) == 2


def test_the_log_ratio_is_drawn_between_its_bounds(server: Server, images: Images, open_page: Open) -> None:
    image, answer = judged(server, images.clean, "normal", store="<i>nai")
    page = open_page(server.url)
    page.get_by_role("combobox", name="Store").select_option("<i>nai")
    drop(page, image)
    place = result(page, "Normal")
    assert fact(place, "Label").startswith(HOSTILE)  # the name of its class, as text
    assert fact(place, "Store").startswith("<i>nai @ ")
    explanation = answer["explanation"]
    assert isinstance(explanation, dict)
    told = [float(point.get_attribute("data-value") or "") for point in page.locator("#result .point").all()]
    ratios = [ratio for ratio in explanation["log_ratio"] if ratio is not None]
    assert told[: len(ratios)] == pytest.approx(ratios)
    assert len(told) == answer["mutants"]
    assert place.locator(".path[data-kind=log-ratio] .bound").count() == 2
    heights = [
        box["y"] for box in (point.bounding_box() for point in page.locator("#result .point").all()) if box
    ]
    alarm, normal = (place.locator(f".bound.{name}").bounding_box() for name in ("alarm", "normal"))
    assert alarm is not None
    assert normal is not None
    assert alarm["y"] < max(heights[:-1]) < normal["y"]  # the test went on between the two
    assert heights[-1] + 20 > normal["y"]


def test_a_ratio_without_end_is_drawn_at_the_edge(server: Server, images: Images, open_page: Open) -> None:
    image, answer = judged(server, images.attacked, "adversarial", store="<i>nai")
    explanation = answer["explanation"]
    assert isinstance(explanation, dict)
    explanation["log_ratio"][-1] = None
    page = open_page(server.url)
    page.route("**/classify*", lambda route: route.fulfill(json=answer))
    drop(page, image)
    place = result(page, "Adversarial")
    last = place.locator(".point.last")
    assert last.get_attribute("data-value") == "-Infinity"
    expect(place.locator(".path .summary")).to_contain_text("infinite")
    box, bound = last.bounding_box(), place.locator(".bound.alarm").bounding_box()
    assert box is not None
    assert bound is not None
    assert box["y"] < bound["y"]


def test_the_verdict_is_asked_again_of_another_store(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url)
    drop(page, judged(server, images.clean, "normal")[0])
    assert fact(result(page, "Normal"), "Store").startswith("digits @")
    page.get_by_role("combobox", name="Store").select_option("<i>nai")
    expect(page.locator("#result")).to_contain_text("<i>nai @ ")
    expect(page.locator("#alarms-body")).to_contain_text("alarm rate")


def test_an_undecided_test_says_why(bare: Server, images: Images, open_page: Open) -> None:
    page = open_page(bare.url, expected="404")
    drop(page, images.clean[0])
    place = result(page, "Undecided")
    expect(place.locator(".verdict-text")).to_contain_text("the server's limit on mutants was reached")
    assert place.locator(".headline svg[data-shape=undecided]").count() == 1
    assert points(page) == 1


@pytest.mark.parametrize(
    ("content", "kind", "title", "detail"),
    [
        (b"GIF89a;", "image/gif", "no kind of file", "image/png"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "could not read this image", ""),
        (bytes(3000), "image/png", "too large", "larger than 2,000 bytes"),
    ],
)
def test_a_refusal_is_told_in_words_with_the_servers_own(
    content: bytes, kind: str, title: str, detail: str, bare: Server, open_page: Open
) -> None:
    page = open_page(bare.url, expected="404|4(13|15|22)|ERR_")
    drop(page, content, name="file", kind=kind)
    problem = page.locator("#result .problem")
    expect(problem).to_contain_text(title)
    expect(problem).to_contain_text(detail)
    assert len(problem.locator("p").inner_text()) > 20


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_and_asked_again(
    status: int, server: Server, images: Images, open_page: Open
) -> None:
    busy = True

    def refuse(route: Route) -> None:
        if not busy:
            route.fallback()
            return
        told = {"type": "urn:mutant-guard:problem:queue-full", "detail": "256 requests are in flight"}
        headers = {"Retry-After": "7", "Content-Type": "application/problem+json"}
        route.fulfill(status=status, headers=headers, body=json.dumps(told))

    page = open_page(server.url, expected=str(status))
    page.route("**/classify*", refuse)
    drop(page, judged(server, images.clean, "normal")[0])
    problem = page.locator("#result .problem")
    expect(problem).to_contain_text("256 requests are in flight")
    expect(problem).to_contain_text("Try again in 7 s.")
    busy = False
    problem.get_by_role("button", name="Try again").click()
    result(page, "Normal")


def test_a_server_that_is_gone_is_told_as_that(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url, expected="ERR_CONNECTION_REFUSED")
    page.route("**/classify*", lambda route: route.abort("connectionrefused"))
    drop(page, images.clean[0])
    expect(page.locator("#result .problem")).to_contain_text("The server cannot be reached")


def test_who_may_not_see_the_path_gets_the_verdict_and_is_told(
    keyed: Keyed, images: Images, open_page: Open
) -> None:
    page = open_page(keyed.server.url, expected="40[13]")
    send_key(page, keyed.partner)
    for image in images.clean[:2]:
        drop(page, image)
        place = result(page, "Normal")
        expect(place.locator(".withheld")).to_contain_text("withheld")
        assert place.locator(".path").count() == 0
        for withheld in ("Confidence", "Elapsed"):
            assert place.get_by_text(withheld, exact=True).count() == 0
    note = page.locator("#alarms-body .note")
    expect(note).to_have_text("It tells what all callers send together, so it takes a reviewer's key.")
