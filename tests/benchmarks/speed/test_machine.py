import torch

from benchmarks.speed.machine import describe_machine, machine_line


def test_the_machine_in_one_line():
    machine = describe_machine()
    assert machine["threads"] == torch.get_num_threads()
    assert machine["torch"] == torch.__version__
    assert machine["gpu"] is None
    line = machine_line(machine)
    assert machine["cpu"] in line and f"torch {torch.__version__}" in line and machine["date"] in line
    line = machine_line(machine | {"gpu": "A GPU", "memory_gib": None})
    assert line.startswith("A GPU; ") and "GiB" not in line
