"""The page as a whole: alarm rate, keys, themes, keyboard, small screens, accessibility."""

from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.service.console.conftest import Images, Keyed, Open, verdict
from tests.service.console.gestures import drop, result, send_key
from tests.support.process import Server

pytestmark = pytest.mark.slow


def test_the_alarm_rate_is_shown_beside_its_baseline(server: Server, images: Images, open_page: Open) -> None:
    for image in (*images.clean, *images.attacked):
        verdict(server, image)
    told = next(
        one for one in httpx.get(f"{server.url}/alarm-rate").json()["stores"] if one["store"] == "digits"
    )
    page = open_page(server.url)
    place = page.locator("#alarms-body")
    expect(place.locator(".figure-value")).to_have_count(2)
    rate, baseline = place.locator(".figure-value").all_inner_texts()
    assert float(rate.split()[0]) == pytest.approx(100 * told["rate"], abs=0.06)
    assert float(baseline.split()[0]) == pytest.approx(100 * told["baseline"], abs=0.06)
    expect(place.locator(".standing")).to_have_text(
        f"{words(told['z'])}z = {told['z']:.3g}".replace("-", "−") if told["z"] is not None else "as expected"
    )
    summary = f"{told['alarms']} alarms in {told['tested']} inputs judged"
    expect(place.locator(".note").first).to_contain_text(summary)
    expect(place.locator(".rate-chart title")).to_contain_text(summary)
    assert place.locator(".rate-chart .baseline").count() == 1
    assert place.locator(".rate-chart .volume:not(.alarmed)").count() >= 1
    place.locator("summary").click()
    rows = place.locator("tbody tr").all()
    assert sum(int(row.locator("td").first.inner_text()) for row in rows) == told["tested"]


def words(z: float) -> str:
    if z >= 4:
        return "far above what is expected"
    if z >= 2:
        return "above what is expected"
    return "below what is expected" if z <= -2 else "as expected"


def test_how_far_it_is_off_is_said_in_words_and_asked_again_in_time(server: Server, open_page: Open) -> None:
    told = httpx.get(f"{server.url}/alarm-rate").json()["stores"]
    page = open_page(server.url)
    page.route("**/alarm-rate", lambda route: route.fulfill(json={"stores": told}))
    page.clock.install()
    page.reload()
    for tested, z, said in (
        (0, None, "no traffic yet"),
        (3, 5.0, "too few to tell"),
        (500, None, "not compared"),
        (500, -2.5, "below what is expected"),
        (500, 1.9, "as expected"),
        (500, 2.0, "above what is expected"),
        (500, 9.0, "far above what is expected"),
    ):
        told[0] |= {"tested": tested, "z": z, "rate": 0.1 if tested else None}
        page.clock.run_for(10_000)  # with nobody doing anything
        shown = f"{said}z = {z:g}".replace("-", "−") if z is not None and tested > 3 else said
        expect(page.locator("#alarms-body .standing")).to_have_text(shown)
        least = expect(page.locator("#alarms-body .note").first)
        if shown == "not compared":
            least.to_contain_text("the least to be expected")
        else:
            least.not_to_contain_text("the least to be expected")


def test_a_key_is_asked_for_kept_in_the_tab_and_never_in_an_address(
    keyed: Keyed, images: Images, open_page: Open
) -> None:
    page = open_page(keyed.server.url, expected="401")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    field = page.get_by_role("textbox", name="API key")
    expect(field).to_be_visible()
    expect(page.locator("#key-note")).to_contain_text("This server asks for an API key")
    send_key(page, "mg_wrong")
    expect(page.locator("#key-note")).to_contain_text("not known")
    expect(field).to_have_attribute("aria-invalid", "true")
    send_key(page, "schlüssel ключ")  # what no header can hold
    expect(page.locator("#key-note")).to_contain_text("no key has")
    send_key(page, keyed.reviewer)
    expect(page.locator("#alarms-body .figure-value").first).to_be_visible()
    expect(page.locator("#key-panel")).to_be_hidden()
    drop(page, images.clean[0])
    result(page, "Normal")
    assert keyed.reviewer not in " ".join(asked)
    assert keyed.reviewer not in page.content()
    assert page.evaluate("JSON.stringify([{ ...localStorage }, document.cookie])") == '[{},""]'
    assert keyed.reviewer in page.evaluate("JSON.stringify({ ...sessionStorage })")
    page.reload()
    expect(page.locator("#alarms-body .figure-value").first).to_be_visible()
    page.get_by_role("button", name="API key, one is set").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator("#key-note")).to_contain_text("asks for an API key")
    assert page.evaluate("JSON.stringify({ ...sessionStorage })") == "{}"


def test_who_closes_the_key_panel_is_left_alone(keyed: Keyed, open_page: Open) -> None:
    page = open_page(keyed.server.url, expected="401")
    page.clock.install()
    page.reload()
    field = page.get_by_role("textbox", name="API key")
    expect(field).to_be_visible()
    expect(page.locator("#review-problem")).to_be_visible()
    page.get_by_role("button", name="API key").click()
    expect(field).to_be_hidden()
    refusal = page.locator("#alarms-body .problem")
    refusal.evaluate("(refusal) => refusal.setAttribute('data-before', '')")
    page.clock.run_for(10_000)
    expect(page.locator("#alarms-body .problem:not([data-before])")).to_be_visible()
    expect(field).to_be_hidden()
    page.get_by_role("button", name="API key").click()
    send_key(page, "mg_wrong")
    expect(page.locator("#key-note")).to_contain_text("not known")
    expect(field).to_be_visible()


def test_the_place_in_the_table_is_kept_while_it_is_drawn_anew(server: Server, open_page: Open) -> None:
    told = httpx.get(f"{server.url}/alarm-rate").json()["stores"]
    told[0] |= {"tested": 600, "z": None, "rate": 0.1}
    for minute in told[0]["series"]:
        minute |= {"tested": 10, "alarms": 1}
    page = open_page(server.url)
    page.route("**/alarm-rate", lambda route: route.fulfill(json={"stores": told}))
    page.clock.install()
    page.reload()
    page.locator("#alarms-body summary").click()
    table = page.get_by_role("group", name="The last hour, as a table")
    table.focus()
    table.evaluate("(table) => { table.scrollTop = 200; }")
    told[0]["z"] = 3.0
    page.clock.run_for(10_000)
    expect(page.locator("#alarms-body .standing")).to_contain_text("above what is expected")
    expect(table).to_be_focused()
    assert table.evaluate("(table) => table.scrollTop") == 200


def test_it_is_light_or_dark_as_the_system_is_or_as_told(server: Server, open_page: Open) -> None:
    def paper(page: Page) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0])

    light, dark = (open_page(server.url, color_scheme=scheme) for scheme in ("light", "dark"))
    assert paper(light) > 200
    assert paper(dark) < 60
    for _ in ("light", "dark"):
        light.get_by_role("button", name="Theme").click()
    expect(light.locator("html")).to_have_attribute("data-theme", "dark")
    assert paper(light) < 60
    light.reload()
    assert paper(light) < 60
    light.get_by_role("button", name="Theme").click()
    assert paper(light) > 200


def test_an_image_is_judged_by_keys_alone(
    server: Server, images: Images, open_page: Open, tmp_path: Path
) -> None:
    file = tmp_path / "digit.png"
    file.write_bytes(images.clean[0])
    page = open_page(server.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#classify")).to_be_focused()
    expect(page.locator("#samples")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#drop")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(file)
    result(page, "Normal")
    page.locator("#drop").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className").startswith("sample")
    name = page.evaluate("document.activeElement.title")
    page.keyboard.press("Space")
    expect(page.locator("#result .verdict img")).to_have_attribute(
        "alt", f"The image that was judged: {name}"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(scheme: str, server: Server, images: Images, open_page: Open) -> None:
    verdict(server, images.attacked[0])
    page = open_page(server.url, color_scheme=scheme)
    drop(page, images.attacked[0])
    expect(page.locator("#result .headline")).to_be_visible()
    expect(page.locator("#details .path")).to_be_visible()
    page.get_by_role("button", name="API key").click()
    for summary in page.locator("summary").all():
        summary.click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert len(found.response["passes"]) > 20
    names = page.get_by_role("heading", level=2).all_inner_texts()
    assert names == ["Is this label to be trusted?", "Alarm rate of the last hour", "Review queue"]
    for role in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(role).count() == 1


def test_axe_finds_nothing_where_there_is_little(bare: Server, keyed: Keyed, open_page: Open) -> None:
    for url in (bare.url, keyed.server.url):
        page = open_page(url, expected="40[134]")
        expect(page.locator("#review-problem")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_nothing_sticks_out_of_a_small_screen(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url, viewport={"width": 360, "height": 740})
    drop(page, images.attacked[0])
    expect(page.locator("#result .headline")).to_be_in_viewport()
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_it_works_behind_a_prefix(server: Server, images: Images, open_page: Open) -> None:
    page = open_page(server.url)

    def unprefixed(route: Route) -> None:
        asked = route.request
        if "/guard/" not in asked.url:
            route.fallback()
            return
        answer = httpx.request(
            asked.method,
            asked.url.replace("/guard/", "/", 1),
            content=asked.post_data_buffer,
            headers={"Content-Type": asked.headers.get("content-type", "")},
        )
        route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    page.wait_for_load_state("networkidle")
    page.route("**/*", unprefixed)
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.goto(f"{server.url}/guard/")
    drop(page, images.clean[0])
    result(page, "Normal")
    expect(page.locator("#alarms-body .figure-value").first).to_be_visible()
    assert [url for url in seen if "/guard/" not in url and not url.startswith("blob:")] == []


def test_what_moves_stands_still_for_those_who_ask(server: Server, open_page: Open) -> None:
    for motion, moves in (("no-preference", True), ("reduce", False)):
        page = open_page(server.url, reduced_motion=motion)
        page.locator("#result").evaluate("(result) => result.setAttribute('aria-busy', 'true')")
        name = page.locator("#result").evaluate("(result) => getComputedStyle(result).animationName")
        assert (name != "none") is moves
