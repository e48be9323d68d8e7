"""The Open Inference Protocol, spoken by Triton's own client to a real server process."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from evaluation.server import serving
from mutant_guard.store.reader import current_version
from tests.support.api_keys import add_key
from tests.support.service import KEY, digits, encode
from tests.support.versions import add_version, copy_of, damage

PIXELS = np.concatenate([digits(6), digits(6, noise=0.4)])
FILES = [encode(image) for image in PIXELS]
UNSEEN = encode(digits(1, noise=0.7)[0])  # its verdict is not kept yet
OUTPUTS = [
    "scores",
    "label",
    "class_name",
    "confidence",
    "verdict",
    "undecided_because",
    "adversarial",
    "mutants",
    "doubt",
    "decided_by",
]
SECRET = {"scores", "confidence", "doubt"}


@dataclass(frozen=True)
class Served:
    """Server, its store, and headers with a key of each kind."""

    url: str
    store: Path
    full: dict[str, str]
    verdict: dict[str, str]
    admin: dict[str, str]

    @property
    def version(self) -> str:
        return current_version(self.store)


@pytest.fixture(scope="module")
def served(digits_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("triton")
    keys, store = folder / "keys.json", copy_of(digits_store, folder)
    full, verdict, admin = [
        {"X-API-Key": secret}
        for secret in (
            add_key(keys, "full"),
            add_key(keys, "verdict", response_detail="verdict"),
            add_key(keys, "ops", role="admin"),
        )
    ]
    settings = {"order_key": KEY, "threads": "1", "device": "cpu", "max_images": "16"}
    with serving(store, policy="calibrated", api_keys_file=str(keys), **settings) as server:
        yield Served(server.url, store, full, verdict, admin)


@pytest.fixture
def triton(served: Served) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served.url.removeprefix("http://"), concurrency=4) as client:
        yield client


def image_input(files: list[bytes], *, binary: bool = True) -> InferInput:
    tensor = InferInput("image", [len(files)], "BYTES")
    elements = files if binary else [base64.b64encode(file) for file in files]
    return tensor.set_data_from_numpy(np.array(elements, dtype=object), binary_data=binary)


def pixels_input(images: NDArray[np.uint8], *, binary: bool = True) -> InferInput:
    tensor = InferInput("pixels", [len(images), 8, 8, 1], "UINT8")
    return tensor.set_data_from_numpy(images[..., None], binary_data=binary)


def requested(names: list[str], *, binary: bool) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name, binary_data=binary) for name in names]


def texts(result: InferResult, name: str) -> list[str]:
    """Return the elements of a BYTES output as strings.

    The client gives bytes for binary data and strings for JSON.
    """
    elements = result.as_numpy(name).tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in elements]


def classified(served: Served, file: bytes) -> dict[str, Any]:
    answer = httpx.post(f"{served.url}/classify", content=file, headers=served.full)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def assert_answers_are_those_of_classify(result: InferResult, served: Served, files: list[bytes]) -> None:
    expected = [classified(served, file) for file in files]
    for name in ("label", "mutants", "adversarial"):
        assert result.as_numpy(name).tolist() == [one[name] for one in expected]
    for name in ("verdict", "class_name"):
        assert texts(result, name) == [one[name] for one in expected]
    for name in ("decided_by", "undecided_because"):
        assert texts(result, name) == [one[name] or "" for one in expected]
    assert result.as_numpy("doubt").tolist() == [-1.0] * len(files)
    confidence = result.as_numpy("confidence")
    assert confidence.tolist() == pytest.approx([one["confidence"] for one in expected], abs=1e-5)
    scores = result.as_numpy("scores")
    assert (scores.shape, scores.dtype) == ((len(files), 10), np.float32)
    assert scores.argmax(axis=1).tolist() == [one["label"] for one in expected]
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert softmax.max(axis=1) == pytest.approx(confidence, abs=1e-5)


def test_the_server_lives_and_is_ready_without_a_key(triton: InferenceServerClient, served: Served) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("digits")
    assert triton.is_model_ready("digits", served.version)
    assert not triton.is_model_ready("digits", "other")
    assert not triton.is_model_ready("other")


def test_the_metadata_say_what_is_served(triton: InferenceServerClient, served: Served) -> None:
    assert "binary_tensor_data" in triton.get_server_metadata(served.full)["extensions"]
    for version in ("", served.version):
        found = triton.get_model_metadata("digits", version, headers=served.full)
        assert (found["name"], found["versions"]) == ("digits", [served.version])
        assert {one["name"]: one["shape"] for one in found["inputs"]} == {
            "image": [-1],
            "pixels": [-1, 8, 8, 1],
        }
        assert [one["name"] for one in found["outputs"]] == OUTPUTS
    assert triton.get_model_repository_index(served.full) == [
        {"name": "digits", "version": served.version, "state": "READY", "reason": ""}
    ]


@pytest.mark.parametrize("of_pixels", [False, True], ids=["image", "pixels"])
@pytest.mark.parametrize("binary_in", [False, True], ids=["from JSON", "from binary"])
@pytest.mark.parametrize("binary_out", [False, True], ids=["to JSON", "to binary"])
def test_every_form_of_a_batch_is_answered_as_classify_does(
    triton: InferenceServerClient, served: Served, of_pixels: bool, binary_in: bool, binary_out: bool
) -> None:
    tensor = pixels_input(PIXELS, binary=binary_in) if of_pixels else image_input(FILES, binary=binary_in)
    result = triton.infer(
        "digits",
        [tensor],
        outputs=requested(OUTPUTS, binary=binary_out),
        request_id="mine",
        headers=dict(served.full),
    )
    head = result.get_response()
    assert (head["model_name"], head["model_version"], head["id"]) == ("digits", served.version, "mine")
    assert_answers_are_those_of_classify(result, served, FILES)
    assert len(set(texts(result, "verdict"))) == 2


def test_without_requested_outputs_all_come_as_binary_data(
    triton: InferenceServerClient, served: Served
) -> None:
    result = triton.infer("digits", [image_input(FILES[:1])], served.version, headers=dict(served.full))
    assert [output["name"] for output in result.get_response()["outputs"]] == OUTPUTS
    assert all("data" not in output for output in result.get_response()["outputs"])
    assert_answers_are_those_of_classify(result, served, FILES[:1])


def test_only_the_requested_outputs_are_given_each_in_its_form(
    triton: InferenceServerClient, served: Served
) -> None:
    outputs = [InferRequestedOutput("verdict", binary_data=False), InferRequestedOutput("label")]
    result = triton.infer("digits", [image_input(FILES)], outputs=outputs, headers=dict(served.full))
    given = result.get_response()["outputs"]
    assert [(one["name"], "data" in one) for one in given] == [("verdict", True), ("label", False)]
    assert result.as_numpy("mutants") is None
    assert result.as_numpy("label").tolist() == [classified(served, file)["label"] for file in FILES]


def test_requests_at_once_are_answered_as_one_by_one(triton: InferenceServerClient, served: Served) -> None:
    sent = [triton.async_infer("digits", [image_input([file])], headers=dict(served.full)) for file in FILES]
    for file, waiting in zip(FILES, sent, strict=True):
        assert_answers_are_those_of_classify(waiting.get_result(timeout=30), served, [file])


def test_a_caller_of_verdicts_gets_no_scores(triton: InferenceServerClient, served: Served) -> None:
    told = [name for name in OUTPUTS if name not in SECRET]
    found = triton.get_model_metadata("digits", headers=served.verdict)
    assert [one["name"] for one in found["outputs"]] == told
    result = triton.infer("digits", [image_input(FILES[:1])], headers=dict(served.verdict))
    assert [output["name"] for output in result.get_response()["outputs"]] == told
    assert texts(result, "verdict") == [classified(served, FILES[0])["verdict"]]
    for name in SECRET:
        with pytest.raises(InferenceServerException, match=f"output '{name}' is not given") as caught:
            triton.infer(
                "digits",
                [image_input(FILES[:1])],
                outputs=[InferRequestedOutput(name)],
                headers=dict(served.verdict),
            )
        assert caught.value.status() == "403"


def float_pixels() -> InferInput:
    values = np.zeros((1, 8, 8, 1), np.float32)
    return InferInput("pixels", [1, 8, 8, 1], "FP32").set_data_from_numpy(values)


@pytest.mark.parametrize(
    ("tensor", "options", "status", "message"),
    [
        (image_input(FILES[:1]), {"model_name": "other"}, "404", "there is no store 'other'"),
        (image_input(FILES[:1]), {"model_version": "1"}, "404", "has version .* loaded, not '1'"),
        (image_input([FILES[0], b"text"]), {}, "422", "image 1 of 2: .* no PNG, JPEG or WebP"),
        (image_input([FILES[0], b""], binary=False), {}, "422", "image 1 of 2: the body is empty"),
        (image_input(FILES + FILES), {}, "400", "24 images, more than 16; send them in several requests"),
        (float_pixels(), {}, "400", r"'FP32'; send UINT8 \(0 to 255, not normalised\)"),
        (
            pixels_input(PIXELS[:1]),
            {"outputs": requested(["x"], binary=True)},
            "400",
            "output 'x' is not known",
        ),
        (
            image_input(FILES[:1]),
            {"outputs": [InferRequestedOutput("scores", class_count=3)]},
            "400",
            "'label'",
        ),
        (image_input(FILES[:1]), {"request_compression_algorithm": "gzip"}, "415", "without compression"),
        (image_input([UNSEEN]), {"timeout": 1}, "504", "no verdict within 1e-06 s"),
        (image_input(FILES[:1]), {"headers": {}}, "401", "asks for an API key"),
    ],
)
def test_an_error_reaches_the_client_with_its_status_and_remedy(
    triton: InferenceServerClient,
    served: Served,
    tensor: InferInput,
    options: dict[str, Any],
    status: str,
    message: str,
) -> None:
    given = {"model_name": "digits", "headers": dict(served.full)} | options
    with pytest.raises(InferenceServerException, match=message) as caught:
        triton.infer(inputs=[tensor], **given)
    assert caught.value.status() == status


def test_a_new_version_is_loaded_and_one_that_does_not_load_leaves_it(
    triton: InferenceServerClient, served: Served
) -> None:
    before = served.version
    for headers, status in (({}, "401"), (served.full, "403")):
        with pytest.raises(InferenceServerException) as caught:
            triton.load_model("digits", headers=headers)
        assert caught.value.status() == status
    added = add_version(served.store, built_with={"by": "a test"})
    assert not triton.is_model_ready("digits", added)
    triton.load_model("digits", headers=served.admin)
    assert triton.is_model_ready("digits", added)
    assert not triton.is_model_ready("digits", before)
    result = triton.infer("digits", [image_input(FILES)], headers=dict(served.full))
    assert result.get_response()["model_version"] == added
    assert_answers_are_those_of_classify(result, served, FILES)
    broken = add_version(served.store, built_with={"by": "a test that breaks it"})
    damage(served.store / broken / "bank-0.onnx")
    with pytest.raises(InferenceServerException, match=f"version {added} .* goes on, .* damaged") as caught:
        triton.load_model("digits", headers=served.admin)
    assert caught.value.status() == "409"
    assert triton.is_model_ready("digits", added)
    with pytest.raises(InferenceServerException) as caught:
        triton.load_model("other", headers=served.admin)
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="send no parameters") as caught:
        triton.load_model("digits", headers=served.admin, config="{}")
    assert caught.value.status() == "400"
