import pytest
import torch

from stofm_pyg.models.cell_encoder import GeneBag, max_components
from stofm_pyg.train.pretraining.cell_encoder import prepare_cell_encoder
from stofm_pyg.train.pretraining.run import PretrainRun
from tests.cell_encoders import make_encoder
from tests.train.pretrain_case import make_config

SIZES = {"hidden_channels": 24, "num_layers": 2, "out_channels": 16}


def test_from_scratch_it_begins_as_a_bag_of_genes(corpus, tmp_path):
    config = make_config(adaptation={"num_steps": 0}, cell_encoder=SIZES)
    run = PretrainRun(corpus, config, tmp_path, device_name="cpu", progress=False)
    encoder = prepare_cell_encoder(run)
    cells = [shard.tokens().truncate(12) for shard in run.train.shards]
    bag = GeneBag.fit(cells, len(corpus.vocab), max_components(encoder))
    features = encoder.encode(cells[0])
    assert features.shape == (90, encoder.out_channels) and encoder.out_channels == 15
    scale, encoder.scale = encoder.scale, None
    z = bag(cells[0])
    embedding = encoder.encode(cells[0])
    assert torch.allclose(embedding[:, :15] * 300, z, atol=2e-4)
    # Features are a linear map of the bag.
    expected = (z - 300 * scale.mean[:15]) @ scale.weight[:15] / 300
    assert torch.allclose(features, expected, atol=5e-3)


def test_adaptation_changes_it(corpus, tmp_path):
    made = []
    for steps in (0, 2):
        config = make_config(adaptation={"num_steps": steps}, cell_encoder=SIZES)
        run = PretrainRun(corpus, config, tmp_path / str(steps), device_name="cpu", progress=False)
        made.append(prepare_cell_encoder(run))
    assert made[0].fingerprint() != made[1].fingerprint()


@pytest.mark.parametrize("scale", [True, False])
def test_a_given_encoder_stays_but_for_its_scale(corpus, tmp_path, scale):
    given = make_encoder(vocab_size=len(corpus.vocab))
    run = PretrainRun(corpus, make_config(), tmp_path, device_name="cpu", progress=False)
    encoder = prepare_cell_encoder(run, given, scale)
    cells = corpus.shards[0].tokens().truncate(16)
    assert given.scale is None and (encoder.scale is not None) == scale
    encoder.scale = None
    assert torch.equal(encoder.encode(cells), given.encode(cells))
