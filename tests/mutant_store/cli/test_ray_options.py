"""Options that name a Ray cluster, and what is said of clusters that are not there."""

import socket
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mutant_store.cli.app import app


def refused(tmp_path: Path, *options: str) -> tuple[int, str]:
    """Status and errors of a build with these options, which ends before it reads anything."""
    result = CliRunner().invoke(
        app, ["build", "none.onnx", "--data", "digits", "--out", str(tmp_path / "s"), *options]
    )
    assert result.stdout == ""
    assert not (tmp_path / "s").exists()
    return result.exit_code, " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "address", ["ray://head:10001", "head", "head:port", "http://head:6379", ":6379", ""]
)
def test_what_is_no_address_is_said(address: str, tmp_path: Path) -> None:
    status, said = refused(tmp_path, "--ray", address)
    assert status == 1
    assert said == f"error: --ray '{address}' is neither auto, local nor HOST:PORT of a cluster's head node"


def test_an_address_at_which_nothing_answers_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = time.monotonic()
    status, said = refused(tmp_path, "--ray", f"127.0.0.1:{port}")
    assert status == 1
    assert said.startswith(f"error: --ray 127.0.0.1:{port}: no Ray cluster that this machine is a node of (")
    assert said.endswith(
        "; start one with ray start --head, join it with ray start --address, or give --ray local"
    )
    assert time.monotonic() - started < 30


def test_gpus_without_a_cluster_are_refused(tmp_path: Path) -> None:
    status, said = refused(tmp_path, "--gpus-per-mutant", "1")
    assert status == 2
    assert "give --ray as well" in said
