import time

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stofm_pyg.train.pretrain_curves import PretrainCurves, peak_memory


def curve(folder, tag):
    events = EventAccumulator(str(folder / "stage"), {"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def make_curves(folder, start=0, cells=100.0, shown=True):
    return PretrainCurves(folder, "stage", start, 10, cells, shown)


def test_throughput_and_waiting(tmp_path):
    def loader():
        for step in range(3):
            time.sleep(0.05)
            yield step

    curves = make_curves(tmp_path)
    for step in curves.timed(loader()):
        time.sleep(0.05)
        curves.add(step + 1, {"loss": 2.0})
    curves.close()
    assert curve(tmp_path, "train/loss") == [(1, 2.0), (2, 2.0), (3, 2.0)]
    assert all(0.1 < share < 0.9 for _, share in curve(tmp_path, "train/loading_share"))
    assert all(0 < value < 1000.5 for _, value in curve(tmp_path, "train/cells_per_second"))


def test_steps_of_a_run_that_broke_are_taken_out(tmp_path):
    curves = make_curves(tmp_path)
    for step in range(1, 6):
        curves.add(step, {"loss": float(step)})
    curves.close()
    curves = make_curves(tmp_path, start=3)
    curves.add(4, {"loss": 40.0})
    curves.close()
    assert curve(tmp_path, "train/loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]


def test_held_out_numbers_stand_alone(tmp_path):
    curves = make_curves(tmp_path, cells=0.0)
    curves.add(1, {"mcm_mse": 0.5}, "held_out")
    curves.add(1, {"loss": 0.5})
    curves.flush()
    tags = EventAccumulator(str(tmp_path / "stage")).Reload().Tags()["scalars"]
    assert sorted(tags) == ["held_out/mcm_mse", "train/loss", "train/memory_mib"]
    curves.close()


def test_other_processes_write_nothing(tmp_path):
    curves = make_curves(tmp_path, shown=False)
    curves.add(1, {"loss": 1.0})
    curves.flush()
    curves.close()
    assert list(tmp_path.iterdir()) == []


def test_memory():
    before = peak_memory()
    block = bytearray(before + 2**25)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() >= before + 2**24
