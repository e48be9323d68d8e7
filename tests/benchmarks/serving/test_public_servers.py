import base64
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.alternatives.public.bare import VARIABLE, Bare
from benchmarks.serving.public_servers import SERVERS, NotInstalledError, PublicServer, described, install
from benchmarks.subjects import ServedStore
from evaluation.png import encode_png
from mutant_guard.images.decoding import at_sizes, decode_whole


def test_the_bare_classifier_gives_the_labels_of_the_store(
    subject: ServedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps(described(subject, tmp_path, 1)))
    bare = Bare()
    inputs = [bare.decode(base64.b64encode(body).decode()) for body in subject.bodies[:40]]
    session = subject.store.session()
    spec = subject.store.manifest.input
    expected = session.labels(spec.tensor(subject.images[:40]), np.array([0]))[:, 0]
    session.close()
    np.testing.assert_allclose(np.concatenate(inputs), spec.tensor(subject.images[:40]), rtol=1e-5, atol=1e-6)
    assert bare.labels(np.concatenate(inputs)) == expected.tolist()


@pytest.mark.parametrize(("height", "width"), [(24, 31), (31, 24), (288, 500), (12, 12)])
def test_the_bare_classifier_reads_the_centre_that_the_store_reads(
    height: int, width: int, subject: ServedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps({**described(subject, tmp_path, 1), "shorter": 10}))
    colours = {"channels": 3, "mean": [0.0] * 3, "std": [1.0] * 3, "resize": "crop:10"}
    spec = subject.store.manifest.input.model_copy(update=colours)
    photograph = encode_png(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    found = Bare().decode(base64.b64encode(photograph).decode())
    mean, std = subject.store.manifest.input.mean[0], subject.store.manifest.input.std[0]
    (expected,) = at_sizes(decode_whole(photograph, 1 << 20), [spec])
    np.testing.assert_allclose(found[0] * std + mean, expected.transpose(2, 0, 1) / 255, atol=1e-5)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.key)
def test_what_is_posted_holds_the_image_and_the_label_is_found(
    server: PublicServer, subject: ServedStore
) -> None:
    body = server.bodies(subject)[0]
    assert base64.b64encode(subject.bodies[0]) in body
    answer = {"label": 7, "outputs": [{"name": "label", "data": [7]}]}
    assert server.label(answer) == 7
    assert server.key.isidentifier()


def test_a_server_that_cannot_be_installed_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotInstalledError, match=r"-m venv .*/file/\.venv-litserve failed: "):
        install(SERVERS[0], tmp_path / "file")
