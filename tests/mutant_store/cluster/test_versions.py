"""Comparison of a node's software with that of the machine that gives it work."""

import socket

import pytest

from mutant_guard.errors import GuardError
from mutant_store.cluster.versions import check_software, software


def test_the_same_software_passes_whatever_torch_was_built_for() -> None:
    found = software()
    assert {"mutant-guard", "numpy", "onnxruntime", "python", "torch"} <= found.keys()
    assert not any("+" in text for text in found.values())
    check_software(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"numpy": "1.0"}, r"has numpy 2\S+, not 1\.0: install the same"),
        ({"onnxruntime-gpu": "1.30"}, r"has onnxruntime-gpu missing, not 1\.30: install"),
    ],
)
def test_what_differs_is_said_with_the_node(change: dict[str, str], said: str) -> None:
    with pytest.raises(GuardError, match=rf"node {socket.gethostname()} of the cluster {said}"):
        check_software(software() | change)


def test_what_the_other_machine_lacks_is_said() -> None:
    fewer = {name: text for name, text in software().items() if name != "onnx"}
    with pytest.raises(GuardError, match=r"has onnx \S+, not missing"):
        check_software(fewer)
