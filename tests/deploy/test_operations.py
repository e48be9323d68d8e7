"""docs/operations.md: what it names exists, and what it reckons comes out as it says."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from mutant_store.cli.app import app as store_app
from service.cli.app import app as guard_app
from service.keys.api_keys import KeyFile
from service.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs/operations.md"
PROGRAMS = {"mutant-guard": guard_app, "mutant-store": store_app}


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text()


@pytest.fixture(scope="module")
def code(text: str) -> list[str]:
    """Everything set as code: indented lines, and what stands between backticks."""
    indented = re.findall(r"^ {4,}(\S.*)$", text, flags=re.MULTILINE)
    return [line.split(" #")[0] for line in indented] + re.findall(r"`([^`\n]+)`", text)


def called(code: list[str], program: str) -> list[list[str]]:
    """The arguments of each call of a program."""
    found = re.findall(rf"\b{program}((?: +(?![|>&])\S+)+)", "\n".join(code))
    return [arguments.split() for arguments in found]


def test_commands_and_their_options_exist(code: list[str]) -> None:
    for program, application in PROGRAMS.items():
        calls = [arguments for arguments in called(code, program) if arguments[0][0].isalpha()]
        assert len(calls) > 3
        for arguments in calls:
            command = get_command(application)
            for word in arguments:
                deeper = getattr(command, "commands", None)
                if deeper is None:
                    break
                assert word in deeper, arguments
                command = deeper[word]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert {word.split("=")[0] for word in arguments if word.startswith("--")} <= known, arguments


def test_make_has_its_targets(code: list[str], root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    targets = [arguments[0] for arguments in called(code, "make")]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_settings_exist(text: str, root: Path) -> None:
    known = {f"GUARD_{field.upper()}" for field in Settings.model_fields}
    of_compose = set(re.findall(r"\$\{(GUARD_\w+)", (root / "docker-compose.yml").read_text()))
    assert set(re.findall(r"\bGUARD_[A-Z_]+\b", text)) <= known | of_compose


def test_metrics_exist(text: str, exported_names: set[str]) -> None:
    assert set(re.findall(r"\bguard_[a-z_]+[a-z]\b", text)) <= exported_names


def test_what_is_called_in_compose_is_there(code: list[str], compose: dict[str, Any]) -> None:
    lines = [" ".join(arguments) for arguments in called(code, "docker compose")]
    assert lines
    profiles = {
        profile for service in compose["services"].values() for profile in service.get("profiles", [])
    }
    for line in lines:
        assert set(re.findall(r"--profile (\S+)", line)) <= profiles
        for service in re.findall(
            r"(?:exec|stop|start|--scale|--entrypoint rm|--entrypoint sh|--no-deps) ([a-z][a-z-]+)", line
        ):
            assert service in compose["services"], line
    assert compose["name"] == "mutant-guard"  # of which containers have their names
    for name in re.findall(r"docker restart (\S+)", "\n".join(code)):
        assert re.fullmatch(r"mutant-guard-(.*)-1", name)[1] in compose["services"]  # type: ignore[index]


def test_what_is_run_in_compose_writes_where_its_service_can(text: str, compose: dict[str, Any]) -> None:
    """Everything but volumes is read-only, and a relative path lies outside them."""
    section = text[text.index("Compose's stores are on a volume") :]
    block = re.search(r"\n\n((?: {4}.*\n)+)", section)
    assert block is not None
    (service,) = re.findall(r"docker compose run .*--entrypoint sh (\S+)", block[1])
    (out,) = re.findall(r"--out (\S+)", block[1])
    mounts = [mount.split(":")[1:] for mount in compose["services"][service]["volumes"]]
    assert [str(Path(out).parent)] in mounts
    mounted = set(re.findall(r"-v \S+?:(/\w+):ro", block[1]))
    assert {
        f"/{path.split('/')[1]}" for path in re.findall(r"(?:build |imagefolder:)(\S+)", block[1])
    } == mounted


def test_keys_of_compose_are_kept_where_every_replica_reads_and_may_write_them(
    code: list[str], compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented commands on another folder than the volume's."""
    creating, revoking = called(code, "docker compose run --rm --no-deps guard")
    (line,) = [line for line in code if "GUARD_API_KEYS_FILE=" in line and ".env" in line]
    file = Path(line.split("=")[1].split()[0])
    assert creating[creating.index("--file") + 1] == str(file)
    for name in ("guard", "guard-gpu", "guard-mnist"):
        assert f"guard-state:{file.parent}" in compose["services"][name]["volumes"]
    here = tmp_path / file.name
    run = CliRunner().invoke
    arguments = [word.replace(str(file), str(here)) for word in creating]
    assert run(guard_app, arguments, env={"GUARD_API_KEYS_FILE": ""}).exit_code == 0
    monkeypatch.setenv("GUARD_API_KEYS_FILE", str(here))
    path = Settings().api_keys_file
    assert path is not None
    assert [key.name for key in KeyFile.read(path).keys] == ["shop"]
    assert run(guard_app, revoking).exit_code == 0
    assert not KeyFile.read(here).keys


def test_files_and_headings_that_are_linked_exist(text: str, root: Path) -> None:
    headings: dict[Path, set[str]] = {}

    def anchors(path: Path) -> set[str]:
        if path not in headings:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
            headings[path] = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        return headings[path]

    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 10
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        path = (DOCUMENT.parent / name).resolve() if name else DOCUMENT
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link
    for name in re.findall(r"\bdeploy/[\w./-]*\w", text):
        assert (root / name).exists(), name


def test_kubernetes_is_asked_for_what_the_manifests_want(text: str) -> None:
    deployment = yaml.safe_load((DOCUMENT.parents[1] / "deploy/kubernetes/base/deployment.yaml").read_text())
    spec = deployment["spec"]["template"]["spec"]
    secrets = {volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume}
    references = [it["valueFrom"]["secretKeyRef"] for it in spec["containers"][0]["env"]]
    made = dict(re.findall(r"create secret generic (\S+) -n guard ((?:[^\n]|\\\n)*)", text))
    assert made.keys() == secrets | {reference["name"] for reference in references}
    for reference in references:
        assert f"--from-literal={reference['key']}=" in text
    assert f"rollout restart -n guard deployment/{deployment['metadata']['name']}" in text


ROW = re.compile(r"^\| (LeNet|ResNet|EfficientNet)[^|]*\|([^\n]*)\|$", flags=re.MULTILINE)
STORES = ("mnist-lenet-retrained", "mnist-lenet", "cifar10-resnet20", "lite0-by-lite1")


def numbers(cell: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,.]*\d|\d", cell)]


@pytest.fixture(scope="module")
def sizes(text: str) -> dict[str, dict[str, float]]:
    table = text[text.index("## Sizing") : text.index("## Choosing")]
    rows = [[numbers(cell) for cell in match[2].split("|")] for match in ROW.finditer(table)]
    assert len(rows) == len(STORES)
    return {
        store: {
            "rate": row[0][0],
            "p50": row[1][0],
            "share": row[2][0] / 100,
            "clean": row[3][0],
            "most": row[3][1],
        }
        for store, row in zip(STORES, rows, strict=True)
    }


@pytest.mark.parametrize("store", STORES)
def test_the_sizes_are_those_measured(store: str, sizes: dict[str, dict[str, float]], root: Path) -> None:
    measured = (root / "benchmarks/SERVING.md").read_text()
    section = measured[measured.index(f"### {store}: servers") :]
    rate = re.search(r"^\| mutant-guard \| ([\d,.]+)", section, flags=re.MULTILINE)
    alone = re.search(r"^\| mutant-guard, one client \| [^|]*\| ([\d.]+)", section, flags=re.MULTILINE)
    share = re.search(r"\| share of the time in onnxruntime \| ([\d.]+)", section)
    assert rate is not None
    assert alone is not None
    assert share is not None
    assert sizes[store]["rate"] == numbers(rate[1])[0]
    assert sizes[store]["p50"] == pytest.approx(float(alone[1]), rel=0.02)
    assert sizes[store]["share"] == pytest.approx(float(share[1]) / 100, abs=0.0051)


def test_the_worked_examples_come_out(text: str, sizes: dict[str, dict[str, float]]) -> None:
    lenet, resnet = sizes["mnist-lenet-retrained"], sizes["cifar10-resnet20"]

    def attacked(store: dict[str, float]) -> float:
        share = store["share"]
        return store["rate"] / (1 - share + share * store["most"] / store["clean"])

    left = f"{attacked(resnet):.0f}"
    assert f"= {round(attacked(lenet), -1):,.0f}; " in text
    assert f"= {left}." in text
    replicas = math.ceil(1000 / (0.6 * resnet["rate"])) + 1
    assert f"⌈1,000 ÷ {0.6 * resnet['rate']:.0f}⌉ + 1 = {replicas}," in text
    assert f"target {resnet['rate']:.0f} · 0.1 = {round(resnet['rate'] * 0.1)}," in text
    assert f"{2 * replicas} replicas answer {2 * replicas * int(left)} a second" in text
    waits = [round(64 / store["rate"] * 1000, -1) for store in (lenet, resnet)]
    assert "means {:.0f} ms with LeNet and {:.0f} ms with".format(*waits) in text


def certifies(images: int, alarms: int, rate: float) -> bool:
    """Whether so many alarms among so many images show the rate with 95 % confidence (Clopper and Pearson)."""
    below = sum(math.comb(images, k) * rate**k * (1 - rate) ** (images - k) for k in range(alarms + 1))
    return below <= 0.05


def test_the_images_that_a_rate_takes(text: str) -> None:
    section = text[text.index("Images *on the certification part*") :]
    rows = re.findall(r"^\| ([\d.]+) % \|(.*)\|$", section, flags=re.MULTILINE)
    assert len(rows) == 3
    for rate, cells in rows:
        for alarms, images in zip((0, 3, 8), map(int, numbers(cells)), strict=True):
            assert certifies(images, alarms, float(rate) / 100)
            assert not certifies(images - 1, alarms, float(rate) / 100)
    assert f"takes {500 + 773:,} and {2 * (500 + 773):,} images" in text
