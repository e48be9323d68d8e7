"""A Chromium, servers of our own for it to ask, and pages that are watched."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import onnx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mutant_guard.store import model_card
from mutant_guard.store.model_card import ModelCard
from mutant_store.build import build
from mutant_store.datasets import load
from tests.support.api_keys import add_key
from tests.support.demo import SETTINGS, SilentReport
from tests.support.kept import kept
from tests.support.perceptron_attack import attacked
from tests.support.process import Server, serve
from tests.support.service import digits, encode

HOSTILE = '<img src=x onerror="window.hacked = 1">'
"""What classes, stores and files are called that would be markup."""
SAMPLES = 4
"""Attacked images among the samples."""
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
"""
_WAIT_MS = 10_000


@dataclass
class Watched:
    """A page, and what it must not do: fail, break its policy, or ask anybody but its server."""

    page: Page
    origin: str
    expected: str = ""
    """Pattern of what the browser may log."""
    logged: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        unexpected = [line for line in self.logged if not (self.expected and re.search(self.expected, line))]
        assert unexpected == []
        foreign = [
            url for url in self.asked if not url.startswith((f"{self.origin}/", f"blob:{self.origin}/"))
        ]
        assert foreign == []
        assert self.page.evaluate("window.violations") == []
        assert self.page.evaluate("window.hacked") is None


Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed after each module: while Playwright is at work, an event loop runs in this thread, and no other can."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    expect.set_options(timeout=_WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the console of a server in a context of its own: ``open_page(url, expected=PATTERN, **context)``."""
    opened: list[Watched] = []

    def open_page(url: str, *, expected: str = "", **context: object) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | context
        page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(_WAIT_MS)
        page.add_init_script(_VIOLATIONS)
        parts = urlsplit(url)
        watched = Watched(page, f"{parts.scheme}://{parts.netloc}", expected)
        page.on("console", lambda message: watched.logged.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: watched.logged.append(f"uncaught: {error}"))
        page.on("request", lambda request: watched.asked.append(request.url))
        # expect_file_chooser has choosers caught without waiting until they are: what it wraps may come first.
        page.on("filechooser", lambda _: None)
        opened.append(watched)
        page.goto(url)
        return page

    yield open_page
    try:
        for watched in opened:
            watched.check()
    finally:
        for watched in opened:
            watched.page.context.close()


@pytest.fixture(scope="session")
def hostile_store(digits_model: Path) -> Path:
    """A store of 60 mutants that count label changes, whose name and whose classes are markup."""

    def make(folder: Path) -> None:
        model = onnx.load(digits_model)
        card = ModelCard.model_validate_json({p.key: p.value for p in model.metadata_props}[model_card.KEY])
        named = card.model_copy(update={"classes": [f"{HOSTILE}{digit}" for digit in range(10)]})
        onnx.helper.set_model_props(model, {model_card.KEY: named.model_dump_json()})
        onnx.save(model, folder / "model.onnx")
        data = load("digits@holdout")
        for i, (pixels, label) in enumerate(zip(data.images, data.labels, strict=True)):
            file = folder / "data" / f"{HOSTILE}{label}" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(pixels[:, :, 0]))
        spec = f"imagefolder:{folder / 'data'}"
        build(folder / "model.onnx", spec, folder / "<i>nai", SETTINGS, SilentReport())

    return kept("hostile", make) / "<i>nai"


@dataclass(frozen=True)
class Images:
    """PNG files of digits."""

    clean: list[bytes]
    attacked: list[bytes]


@pytest.fixture(scope="session")
def images(digits_model: Path) -> Images:
    """Clean ones, and others that were made of them to fool the classifier."""
    pixels = digits(30)
    made = attacked(digits_model, pixels, 0.15)
    return Images([encode(image) for image in pixels], [encode(image) for image in made])


def verdict(server: Server, image: bytes, **query: str) -> dict[str, object]:
    answer = httpx.post(
        f"{server.url}/classify", params=query, content=image, headers={"Content-Type": "image/png"}
    )
    told: dict[str, object] = answer.raise_for_status().json()
    return told


@pytest.fixture(scope="session")
def samples(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, clean and attacked, two with hostile names."""
    folder = tmp_path_factory.mktemp("samples")
    (folder / "digits-test-0-label-2.png").write_bytes(images.clean[0])
    for i, image in enumerate(images.attacked[:SAMPLES]):
        (folder / f"digits-test-{i}-pgd-label-{i}.png").write_bytes(image)
    (folder / f"{HOSTILE}.png").write_bytes(images.clean[1])
    (folder / f"digits-test-2-label-{HOSTILE}.png").write_bytes(images.clean[2])
    return folder


@pytest.fixture(scope="session")
def server(
    retrained_store: Path, hostile_store: Path, samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Two stores, samples, and a review queue that keeps images; open to all."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    stores = f"{retrained_store},{hostile_store}"
    with serve(
        retrained_store, log, GUARD_STORE=stores, GUARD_SAMPLES_DIR=str(samples), GUARD_REVIEW_IMAGES="true"
    ) as running:
        yield running


@dataclass(frozen=True)
class Keyed:
    """A server that asks for keys, and some."""

    server: Server
    reviewer: str
    partner: str
    """Told the verdict alone."""


@pytest.fixture(scope="session")
def keyed(retrained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    keys = folder / "keys.json"
    reviewer = add_key(keys, "rita", role="reviewer")
    partner = add_key(keys, "shop", response_detail="verdict")
    with serve(retrained_store, folder / "server.log", GUARD_API_KEYS_FILE=str(keys)) as running:
        yield Keyed(running, reviewer, partner)


@pytest.fixture(scope="session")
def bare(hostile_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """No review queue, no samples, small limits: one mutant, so that tests end undecided."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serve(
        hostile_store,
        log,
        GUARD_REVIEW_ENTRIES="0",
        GUARD_MAX_MUTANTS="1",
        GUARD_MAX_BODY_BYTES="2000",
    ) as running:
        yield running
