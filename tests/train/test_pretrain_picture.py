import torch

from stofm_pyg.train.pretrain_picture import draw_clusters


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
