from benchmarks.bank.in_flight import at_once, in_turn, never_sure
from benchmarks.bank.pools import Pool
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.runtime.order import Order
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.row_budget import RowBudget
from mutant_guard.runtime.scheduling.scheduler import Scheduler


def test_every_request_meets_every_mutant_either_way(pool: Pool) -> None:
    session = pool.bank.session(threads=1)
    order = Order(b"key", pool=6, decks=4)
    requests = [
        (pool.network.inputs[number : number + 1], order.mutants(pool.network.pixels[number]))
        for number in range(4)
    ]
    scheduler = Scheduler(Batches(session, never_sure(6), RowBudget(16, fill=8)), max_in_flight=4)
    scheduler.start()
    together, alone = at_once(scheduler, requests), in_turn(scheduler, requests)
    scheduler.close()
    session.close()
    for one, other in zip(together, alone, strict=True):
        assert one.decision == other.decision == Decision.EXHAUSTED
        assert one.mutants == other.mutants == 6
        assert (one.path == other.path).all()
