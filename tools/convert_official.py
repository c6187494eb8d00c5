"""Converts official SToFM weights to a directory that `SToFM.from_pretrained` reads:
`python tools/convert_official.py CONFIG WEIGHTS --out DIR`.

Every weight must be known and have the size that the config says. Of a checkpoint from pre-training, the
heads are written too, to `heads.safetensors`, by the names of `torch.nn.ModuleDict({"mcm":
MaskedCellModelling(C, C, loss="cosine"), "pdr": PairwiseDistanceRecovery(heads)})`.
"""

import argparse
import logging
import sys
from pathlib import Path

from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stofm_pyg._files import write_atomically  # noqa: E402
from stofm_pyg.models import SToFM, official_heads  # noqa: E402


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("config", type=Path, help="the official config.json, or its directory")
    out.add_argument("weights", type=Path, help="the official se2transformer.pth")
    out.add_argument("--out", type=Path, required=True, metavar="DIR")
    return out


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        model = SToFM.from_official(args.config, args.weights)
        heads = official_heads(args.weights)
        model.save_pretrained(args.out)
        written = ["config.json", "model.safetensors"]
        if heads:
            state = {
                f"{objective}.{name}": value.contiguous()
                for objective, head in heads.items()
                for name, value in head.items()
            }
            write_atomically(args.out / "heads.safetensors", lambda path: save_file(state, path))
            written.append("heads.safetensors")
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    size = sum(parameter.numel() for parameter in model.parameters())
    print(model)
    print(f"{size:,} weights, none missing, none left over; heads: {', '.join(heads) or 'none'}")
    print(f"wrote {', '.join(written)} to '{args.out}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
