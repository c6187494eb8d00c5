import pytest
import torch
from threadpoolctl import threadpool_info

from stofm_pyg._threads import one_thread


@pytest.mark.parametrize("number", [1, 3])
def test_one_thread_computes(number):
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    before = [pool["num_threads"] for pool in threadpool_info()]
    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            assert torch.get_num_threads() == 1
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
            raise ZeroDivisionError
        assert torch.get_num_threads() == number
        assert [pool["num_threads"] for pool in threadpool_info()] == before
    finally:
        torch.set_num_threads(threads)
