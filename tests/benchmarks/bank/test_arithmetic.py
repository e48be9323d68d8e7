import pytest

from benchmarks.bank import arithmetic
from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.pools import Pool, draw_pool

pytestmark = pytest.mark.slow

STEM = 16 * 3 * 9 * 32 * 32
"""Products in ResNet-20's first convolution: 16 channels of 32×32, 3×3 weights over 3 channels."""


def test_lenets_layers_are_counted_by_hand() -> None:
    lenet = load_network("lenet").builder.parameters
    by_layer = [6 * 25 * 28 * 28, 16 * 150 * 10 * 10, 400 * 120, 120 * 84, 84 * 10]
    assert arithmetic.of_layers(lenet) == sum(by_layer)
    assert arithmetic.of_layers(lenet, 1) == sum(by_layer[1:])
    assert arithmetic.of_layers(lenet, 1, product_of_first=False) == sum(by_layer[2:])


def test_a_bank_performs_the_original_once_and_its_rows_from_their_entries_on(pool: Pool) -> None:
    parameters = pool.network.builder.parameters
    whole = arithmetic.of_layers(parameters)
    nothing, one, all_six = (arithmetic.of_bank(pool.bank, 1, range(1, n + 1)) for n in (0, 1, 6))
    assert nothing == whole
    assert whole < one <= 2 * whole
    assert one < all_six <= 7 * whole
    assert arithmetic.of_bank(pool.bank, 5, range(1, 7)) == 5 * all_six


def test_shared_weights_save_the_product_of_the_entry(untrained: Network) -> None:
    """NS mutants at this rate change the stages after the first and share the layers before."""
    pool = draw_pool(untrained, "ns", 4)
    (tail,) = pool.bank.tails
    assert tail.shared
    rows = arithmetic.of_bank(pool.bank, 1, range(1, 5)) - arithmetic.of_layers(pool.bank.parameters)
    assert rows % 4 == 0
    assert rows // 4 <= arithmetic.of_layers(pool.bank.parameters) - STEM
