import threading

import pytest
import torch

from stofm_pyg.models.run_in_threads import run_in_threads


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_results_come_in_order_from_threads_of_one(num_threads):
    torch.set_num_threads(num_threads)
    both = threading.Barrier(num_threads)

    def function(item):
        if item < num_threads:
            both.wait(timeout=30)  # As many run at a time.
        return 2 * item, torch.get_num_threads(), threading.get_ident()

    out = list(run_in_threads(function, range(20)))
    assert [result for result, _, _ in out] == list(range(0, 40, 2))
    assert {threads for _, threads, _ in out} == {1}
    assert len({ident for _, _, ident in out}) == num_threads
    assert torch.get_num_threads() == num_threads
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [num_threads]  # What later threads get is as before, too.


def test_an_error_stops_what_has_not_begun():
    torch.set_num_threads(2)
    done = []

    def function(item):
        if item == 3:
            raise ValueError("no such cell")
        done.append(item)

    with pytest.raises(ValueError, match="no such cell"):
        list(run_in_threads(function, range(10_000)))
    assert len(done) < 10_000
    assert torch.get_num_threads() == 2


def test_nothing_to_do():
    assert list(run_in_threads(abs, [])) == []
