"""The examples in docstrings run, and print what they say. What stands for data of the reader's own is
replaced by a little generated tissue, so of some outputs the form alone is compared: numbers may be
others."""

import ast
import doctest
import re
from itertools import islice
from unittest.mock import patch

import pytest
import torch

import stofm_pyg
from stofm_pyg import corpus, data, datasets, loader, models, nn, plot, train
from stofm_pyg.models.features import PCAFeatures
from tests.docs.pages import ROOT

PACKAGE = ROOT / "stofm_pyg"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
#: Not run, and why.
NOT_RUN = {
    "data.readers._read.read": "needs a folder of Visium; tests/data/readers reads one of each format",
    "datasets.published.PublishedSlices": "downloads; tests/datasets runs it on local files",
    "models.official.weights.official_heads": "needs a checkpoint of the authors; tests/models/official",
    "models.stofm.SToFM.from_official": "needs weights of the authors; tests/models/official",
    "train.engine.termination.Termination": "an outline of a program that ends; tests/train/engine",
}
#: Run; of what they print the form alone is compared, since the data are others.
FORM = {
    "corpus.corpus.Corpus",
    "data.tokens.tokenizer.RankValueTokenizer",
    "models._embed_in_parts.embed_in_parts",
    "models.cell_encoder.model.CellEncoder",
    "models.stofm.SToFM",
    "plot.slice_view.show",
}
#: Run; what they print is not compared, and why.
OTHERS = {
    "data.genes.vocab.GeneVocab": "a report on other genes",
    "data.slices.convert.from_anndata": "names of other classes",
    "data.slices.convert.slices_from_anndata": "names of other classes",
    "datasets.h5ad_slices.H5adSlices": "names of other slices",
}


def examples():
    """The examples of each docstring, by the name of what it is of."""
    out = {}

    def visit(node, name):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                visit(child, f"{name}.{child.name}")
        text = ast.get_docstring(node)
        found = doctest.DocTestParser().get_examples(text) if text and ">>>" in text else []
        if found:
            out[name] = found

    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        visit(ast.parse(path.read_text(encoding="utf-8")), name)
    return out


EXAMPLES = examples()


@pytest.fixture
def namespace(names, monkeypatch):
    """What the examples take for granted: all public names, and data, files and a model."""
    rooms = (corpus, data, datasets, loader, models, nn, plot, train, stofm_pyg)
    public = {name: getattr(room, name) for room in rooms for name in room.__all__}
    vocab = data.GeneVocab.from_slices([names["adata"]])
    # In the place of Geneformer's tables.
    monkeypatch.setattr(data.GeneVocab, "from_geneformer", lambda *args, **kwargs: vocab)
    model = models.SToFM.from_pretrained("generated-tissue")
    slices = data.slices_from_anndata(names["adata"], labels="domain")
    return {**public, **names, "torch": torch, "islice": islice, "vocab": vocab, "model": model,
            "data": slices[0], "slices": slices}  # fmt: skip


def needs_corpus(namespace):
    features = PCAFeatures.fit([namespace["read"]("brain.h5ad")])
    namespace["build_corpus"]("brain.h5ad", "corpus", features=features)


def needs_tokens(namespace):
    vocab, adata = namespace["vocab"], namespace["adata"]
    namespace["cells"] = namespace["RankValueTokenizer"](vocab)(adata)
    namespace["gene_tokens"], namespace["num_steps"] = torch.arange(2, len(vocab)), 2
    namespace["model"] = lambda batch: batch.num_tokens


def needs_regions(namespace):
    from torch_geometric.loader import DataLoader

    regions = namespace["RandomRegions"](namespace["slices"], min_cells=20, max_cells=40)
    namespace.update(regions=regions, DataLoader=DataLoader)


def needs_sizes(namespace):
    namespace["dataset"] = loader.SpatialClusterData(namespace["data"], cells_per_part=40)


#: What some examples need beside that.
NEEDS = {
    "corpus.corpus.Corpus": needs_corpus,
    "loader.random_regions.RandomRegions.sampler": needs_regions,
    "loader.token_batches.TokenBatches": needs_tokens,
    "train.engine.batch_plan.BatchPlan": needs_sizes,
}


def form(text):
    return " ".join(NUMBER.sub("#", text).split())


def differences(name, found, namespace):
    """What the examples of a docstring print otherwise than they say."""
    out = []
    for example in found:
        printed = []
        with patch("sys.displayhook", printed.append):
            exec(compile(example.source, name, "single"), namespace)
        if not example.want or name in OTHERS:
            continue
        said = " ".join(repr(value) for value in printed if value is not None)
        seen, want = (form(said), form(example.want)) if name in FORM else (said, example.want)
        if " ".join(seen.split()) != " ".join(want.split()):
            out.append((example.source, example.want, said))
    return out


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in NOT_RUN])
def test_an_example_runs_and_prints_what_it_says(name, namespace):
    NEEDS.get(name, lambda names: None)(namespace)
    assert differences(name, EXAMPLES[name], namespace) == []


def test_the_lists_name_what_is_there():
    assert {*NOT_RUN, *FORM, *OTHERS, *NEEDS} <= set(EXAMPLES)
    assert len(EXAMPLES) > 25


def test_a_wrong_output_is_found():
    (example,) = doctest.DocTestParser().get_examples(">>> 1 + 1\n3\n")
    assert differences("one", [example], {}) == [("1 + 1\n", "3\n", "2")]
