import math


def warmup_cosine(step: int, num_steps: int) -> float:
    r"""The share of the peak learning rate at a step: a tenth of linear warm-up, then a cosine."""
    warmup = max(1, num_steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, num_steps - warmup))
    return 0.5 * (1 + math.cos(math.pi * progress))
