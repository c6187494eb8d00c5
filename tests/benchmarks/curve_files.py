"""Curves in TensorBoard files, as runs write them that are started one after another."""

from torch.utils.tensorboard import SummaryWriter


def write_curve(folder, values, start=0, tag="train/loss"):
    """Writes values of the steps after `start`, as a run that goes on there does."""
    number = len(list(folder.glob("*"))) if folder.exists() else 0
    with SummaryWriter(str(folder), purge_step=start + 1) as writer:
        for step, value in enumerate(values, start=start + 1):
            writer.add_scalar(tag, value, step)
        path = writer.file_writer.event_writer._file_name
    # Files are in the order of the second of their start, which is the same for all in a test.
    (folder / path.rsplit("/", 1)[-1]).rename(folder / f"events.out.tfevents.{number:010d}.host")
