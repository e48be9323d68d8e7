"""What people do with the page."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, Route, expect

_GIVE = """
([content, name, type]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  return transfer;
}
"""


def drop(
    page: Page, content: bytes, *, on: str = "#drop", name: str = "digit.png", kind: str = "image/png"
) -> None:
    """Drag a file over the page and let go of it."""
    given = page.evaluate_handle(_GIVE, [base64.b64encode(content).decode(), name, kind])
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(on, event, {"dataTransfer": given})


def paste(page: Page, content: bytes) -> None:
    """Ctrl+V with an image on the clipboard."""
    given = page.evaluate_handle(_GIVE, [base64.b64encode(content).decode(), "image.png", "image/png"])
    page.evaluate(
        "(given) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: given, bubbles: true }))",
        given,
    )


def result(page: Page, word: str) -> Locator:
    """The part of the page that says the verdict, once it is this word."""
    found = page.get_by_role("region", name="Verdict")
    expect(found.locator(".verdict-word")).to_have_text(word)
    return found


def fact(place: Locator, name: str) -> str:
    """What stands beside a term."""
    row = place.locator(".facts > div", has=place.page.get_by_text(name, exact=True))
    return str(row.locator("dd").inner_text())


def send_key(page: Page, key: str) -> None:
    """Write an API key into its field."""
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


@contextmanager
def deciding(page: Page) -> Iterator[None]:
    """Around what decides an entry, until the server has it: the page shows a decision before that."""
    with page.expect_response(lambda answer: answer.request.method == "POST" and "/review/" in answer.url):
        yield


def refresh(page: Page) -> None:
    """Have the queue ask for its list again, and wait until what it was told is shown."""
    badge = page.locator("#open-count")
    before = int(badge.inner_text() or 0)
    mark = before + 1000  # what the server would not say

    def marked(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"open": mark})

    page.route("**/review?*", marked)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(badge).to_have_text(str(mark))
    page.unroute("**/review?*", marked)


_HOLD = """
([part, method]) => {
  const ask = window.fetch;
  window.held ??= [];
  window.fetch = (path, options) => {
    if (!String(path).includes(part) || (options?.method ?? "GET") !== method) return ask(path, options);
    return new Promise((done, refused) => {
      window.held.push({ pass: () => done(ask(path, options)), fail: () => refused(new TypeError("refused")) });
      document.documentElement.dataset.held = window.held.length;
    });
  };
}
"""


def hold(page: Page, part: str, method: str = "GET") -> None:
    """From now on, requests of addresses with this in them wait until they are let go."""
    page.evaluate(_HOLD, [part, method])


def held(page: Page, count: int) -> None:
    """Wait until so many were held, those let go included."""
    expect(page.locator("html")).to_have_attribute("data-held", str(count))


def let_go(page: Page, position: int, *, failing: bool = False) -> None:
    """Let one of those held go on, or fail as where no server is."""
    page.evaluate(f"window.held[{position}].{'fail' if failing else 'pass'}()")


def without_polls(page: Page) -> None:
    """Load the page anew, so that nothing is asked for but on an occasion."""
    page.add_init_script(
        "const later = window.setTimeout; window.setTimeout = (work, ms) => (ms >= 1000 ? 0 : later(work, ms));"
    )
    page.reload()
