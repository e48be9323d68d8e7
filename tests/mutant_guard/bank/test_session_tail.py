"""Mutants that bring all parameters: bank row = ONNX mutant = reference on the torch module."""

from math import inf
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mutant_guard.bank.bank_session import BankSession
from mutant_guard.bank.own_tail import OwnTail
from mutant_guard.bank.pool import Choice, Mutant, of, patch
from mutant_guard.bank.session import IMAGES, FloatArray, open_session
from mutant_guard.bank.session_tail import VALUES, SessionTail
from mutant_guard.bank.tail import Features, TailRecord
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import PARAMETERS, load_store
from mutant_store.bank.builder import Bank, Weights
from mutant_store.bank.export import open_mutants
from mutant_store.bank.files import bank_files
from mutant_store.bank.free_parameters import bind_parameters, free_parameters
from mutant_store.bank.verify import largest_difference
from mutant_store.graph.classifier import load_classifier
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.operators.gf import GaussianFuzzing
from tests.mutant_store.bank.test_builder import NETWORKS, Prepared, every_network, images, prepared
from tests.support.demo import build_digits_store
from tests.support.networks import answer, export, randomised
from tests.support.references import fuzzed
from tests.support.workers import CountedWorkers


def redrawn(parameters: Parameters, number: int) -> Choice:
    """Redraw all parameters, so that none is the original's."""
    rng = np.random.default_rng([7, number])
    noise = rng.standard_normal(len(parameters.values)) * parameters.values.std()
    return {"values": (parameters.values + 0.3 * noise).astype(np.float32)}


def whole_pool(own: Prepared, mutants: int) -> list[Mutant]:
    return of("gf", [redrawn(own.parameters, number) for number in range(mutants)])


def everything(session: BankSession, inputs: FloatArray, mutants: int) -> FloatArray:
    """Return the class scores of every image under every mutant, float32 [M + 1, N, classes]."""
    rows, numbers = (
        np.tile(np.arange(len(inputs)), mutants + 1),
        np.repeat(np.arange(mutants + 1), len(inputs)),
    )
    scores = session.scores(session.features(inputs), rows, numbers)
    return scores.reshape(mutants + 1, len(inputs), -1)


def written(bank: Bank, folder: Path, own: Prepared) -> BankSession:
    """Write the bank to files and open it from them, as a server does."""
    files, tails = bank_files(bank)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    records = [TailRecord(folder / tail.file, tail.shared, tail.features, tail.mutants) for tail in tails]
    return BankSession(
        folder / "prefix.onnx", records, pool=bank.pool, parameters=own.parameters.values, threads=2
    )


@pytest.mark.parametrize("stored", [False, True])
@every_network
def test_bank_equals_stand_alone_mutants_and_the_torch_reference(
    name: str, stored: bool, tmp_path: Path
) -> None:
    own = prepared(randomised(NETWORKS[name](), seed=3), tmp_path / "model.onnx", images(7))
    pool = whole_pool(own, 6)
    bank = own.bank(pool)
    assert [tail.weights for tail in bank.tails] == [Weights.WHOLE]
    session = written(bank, tmp_path, own) if stored else bank.session(2)
    assert largest_difference(session, own.mutants(pool), list(range(7)), own.inputs) < 1e-4
    positions = np.arange(len(own.parameters.values), dtype=np.int32)
    for mutant, scores in zip(pool, everything(session, own.inputs, 6)[1:], strict=True):
        reference = fuzzed(own.module, {"positions": positions, **mutant.choice})
        np.testing.assert_allclose(scores, answer(reference, own.inputs), rtol=1e-3, atol=1e-4)
    session.close()


@pytest.mark.parametrize("stored", [False, True])
def test_a_pool_of_every_kind_of_weights(stored: bool, tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["residual"](), seed=5), tmp_path / "model.onnx", images(5))
    pools = (own.pool("nai", 0.3, 4), whole_pool(own, 4), own.pool("ws", 0.3, 4))
    pool = [mutant for turn in zip(*pools, strict=True) for mutant in turn]
    bank = own.bank(pool)
    assert {tail.weights for tail in bank.tails} == set(Weights) - {Weights.OWN_GRAPH}
    session = written(bank, tmp_path, own) if stored else bank.session(2)
    assert largest_difference(session, own.mutants(pool), list(range(13)), own.inputs) < 1e-4
    session.close()


def test_only_the_layers_that_are_mutated_are_brought(tmp_path: Path) -> None:
    own = prepared(
        randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4), layers_pattern="Gemm"
    )
    pool = whole_pool(own, 4)
    bank = own.bank(pool)
    assert [sum(node.op_type == "Conv" for node in tail.model.graph.node) for tail in bank.tails] == [0]
    assert largest_difference(bank.session(1), own.mutants(pool), list(range(5)), own.inputs) < 1e-4


def test_files_hold_each_parameter_once_a_mutant_and_not_the_originals(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4))
    files, _ = bank_files(own.bank(whole_pool(own, 9)))
    assert PARAMETERS not in files["mutants.safetensors"][:400].decode(errors="replace")
    sizes = {name: len(content) for name, content in files.items()}
    assert sizes["mutants.safetensors"] < 9 * own.parameters.values.nbytes + 1000
    assert sizes["bank-0.onnx"] < 4096


@pytest.mark.parametrize("worth_a_thread", [inf, 1e-12])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_in_any_order_on_any_number_of_threads(
    threads: int, worth_a_thread: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_guard.bank.workers.WORTH_A_THREAD", worth_a_thread)
    own = prepared(randomised(NETWORKS["residual"](), 1), tmp_path / "m.onnx", images(6))
    pool = whole_pool(own, 4)
    session = own.bank(pool).session(1)
    session._workers = workers = CountedWorkers(threads)
    features = session.features(own.inputs)
    session.warm(own.inputs[:1])  # the pace of a row is known from then on
    workers.shared.clear()
    mutants, rng = own.mutants(pool), np.random.default_rng(2)
    models = [mutants.model(number, original_names=False).SerializeToString() for number in range(5)]
    alone = [open_session(model, threads=1) for model in models]
    for rows in (1, 2, 5, 40):
        image, mutant = rng.integers(0, 6, rows), rng.integers(0, 5, rows)
        mutant[0] = 1  # another mutant's parameters for the original, which the prefix has computed
        together = session.scores(features, image, mutant)
        for row in range(rows):
            inputs = own.inputs[image[row] : image[row] + 1]
            expected = alone[mutant[row]].run(None, {IMAGES: inputs})[0]
            np.testing.assert_allclose(together[row], expected[0], rtol=1e-4, atol=1e-5)
    assert max(workers.shared, default=1) == (threads if worth_a_thread < 1 else 1)
    workers.close()


def test_warming_runs_every_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = prepared(randomised(NETWORKS["residual"](), 1), tmp_path / "m.onnx", images(4))
    nai, whole = own.pool("nai", 0.3, 4), whole_pool(own, 3)
    session = own.bank([*nai, *whole]).session(1)
    (tail,) = [tail for tail in session._tails if isinstance(tail, SessionTail)]
    run: list[int] = []
    scores = tail.scores

    def noted(features: Features, image: NDArray[np.int64], mutants: NDArray[np.int64]) -> FloatArray:
        run.extend(mutants.tolist())
        return scores(features, image, mutants)

    monkeypatch.setattr(tail, "scores", noted)
    session.warm(own.inputs[:1])
    assert run == [0, 1, 2]


def test_values_that_are_too_few_are_refused(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["one layer"](), 1), tmp_path / "m.onnx", images(4))
    bank = own.bank(whole_pool(own, 2))
    short = [*bank.pool[:1], *of("gf", [{"values": bank.pool[1].choice["values"][:-1]}])]
    with pytest.raises(ModelError, match="onnxruntime cannot load the graph"):
        Bank(bank.prefix, bank.tails, short, bank.parameters).session(1)


def test_weights_that_are_inputs_take_whole_mutants_as_well(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["residual"](), 1), tmp_path / "m.onnx", images(4))
    pool = whole_pool(own, 3)
    positions = np.arange(len(own.parameters.values), dtype=np.int32)
    patched = of("gf", [{"positions": positions, **mutant.choice} for mutant in pool])
    (record,) = own.bank(patched).tails
    tail = OwnTail(
        record.model.SerializeToString(),
        record.features,
        original=own.parameters.values,
        patches=[patch(mutant.choice, own.parameters.values) for mutant in pool],
        classes=5,
        providers=["CPUExecutionProvider"],
        copies=1,
    )
    rows, mutants = np.tile(np.arange(4), 3), np.repeat(np.arange(3), 4)
    found = tail.scores({record.features[0]: own.inputs}, rows, mutants).reshape(3, 4, -1)
    np.testing.assert_allclose(
        found, everything(own.bank(pool).session(1), own.inputs, 3)[1:], rtol=1e-4, atol=1e-5
    )


def test_they_change_every_layer(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4))
    assert GaussianFuzzing().first_layer(own.parameters, redrawn(own.parameters, 0)) == 0


@pytest.mark.parametrize("opset", [9, 17])
def test_old_operator_sets_cut_the_vector_too(opset: int, tmp_path: Path) -> None:
    module = randomised(NETWORKS["one layer"](), 1)
    path = export(module, (2, 8, 8), tmp_path / "m.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    graph = Graph(load_classifier(path).model)
    parameters = Parameters(graph, find_layers(graph))
    bind_parameters(graph, parameters, 0, free_parameters(graph, parameters, 0))
    inputs = images(3)
    session = open_session(graph.to_model().SerializeToString(), constants={VALUES: parameters.values})
    np.testing.assert_allclose(
        session.run(None, {IMAGES: inputs})[0], answer(module, inputs), rtol=1e-4, atol=1e-5
    )


def test_a_tensor_of_the_classifier_may_have_the_constants_name(tmp_path: Path) -> None:
    own = prepared(randomised(NETWORKS["convolutional"](), 1), tmp_path / "m.onnx", images(4))
    graph = Graph(own.classifier.model)
    inner = next(node.output[0] for node in graph.nodes if node.op_type == "Relu")
    graph.rename(inner, VALUES)
    bind_parameters(graph, own.parameters, 0, free_parameters(graph, own.parameters, 0))
    values: NDArray[np.float32] = own.parameters.values
    session = open_session(graph.to_model().SerializeToString(), constants={VALUES: values})
    found = session.run(None, {IMAGES: own.inputs})[0]
    np.testing.assert_allclose(found, own.classifier.scores(own.inputs), rtol=1e-4, atol=1e-5)


def test_a_published_store_serves_what_it_exports(
    digits_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(_: GaussianFuzzing, parameters: Parameters, rate: float, rng: np.random.Generator) -> Choice:
        noise = rng.standard_normal(len(parameters.values)) * rate * parameters.values.std()
        return {"values": (parameters.values + noise).astype(np.float32)}

    monkeypatch.setattr(GaussianFuzzing, "draw", draw)
    out = tmp_path / "store"
    build_digits_store(digits_model, out, operator="mixed:nai,gf", mutants=12, rate=0.1)
    store = load_store(out)
    inputs = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)
    session = store.session(threads=2)
    assert largest_difference(session, open_mutants(store), list(range(13)), inputs) < 1e-4
    features = session.features(inputs)
    session.warm(inputs[:1])
    mutants = np.random.default_rng(2).integers(0, 13, 100)
    rows = np.random.default_rng(3).integers(0, 40, 100)
    scores = session.scores(features, rows, mutants)
    assert (scores.argmax(axis=1) == session.labels(inputs, np.arange(13))[rows, mutants]).all()
    session.close()
