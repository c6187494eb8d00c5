import time

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stofm_pyg.train.pretraining.curves import PretrainCurves, draw_clusters, peak_memory


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


def test_a_run_that_broke_before_its_first_checkpoint_begins_anew(tmp_path):
    for value in (1.0, 2.0):
        curves = make_curves(tmp_path)
        curves.add(0, {"mcm_mse": value}, "held_out")
        curves.add(1, {"loss": value})
        curves.close()
    assert curve(tmp_path, "held_out/mcm_mse") == [(0, 2.0)]
    assert curve(tmp_path, "train/loss") == [(1, 2.0)]


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


def test_cells_that_are_alike_have_one_colour():
    pos = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    embedding = torch.zeros(40, 3)
    embedding[:20] = 5.0
    figure = draw_clusters(pos, embedding, "a slice", num_clusters=2)
    (axes,) = figure.axes
    assert axes.get_title() == "a slice"
    colors = torch.cat([torch.tensor(part.get_facecolors()) for part in axes.collections])
    offsets = torch.cat([torch.tensor(part.get_offsets().data) for part in axes.collections])
    if colors.size(0) == 1:
        colors = colors.expand(offsets.size(0), -1)
    place = {tuple(row): i for i, row in enumerate(pos.double().tolist())}
    group = torch.tensor([place[tuple(row)] < 20 for row in offsets.tolist()])
    assert colors[group].unique(dim=0).size(0) == colors[~group].unique(dim=0).size(0) == 1
    assert not torch.equal(colors[group][0], colors[~group][0])


def test_fewer_cells_than_clusters():
    assert draw_clusters(torch.rand(3, 2), torch.rand(3, 2), "", num_clusters=8).axes
