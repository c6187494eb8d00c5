r"""What `benchmarks/faults.py` kills: commands on tiny data, in processes of their own."""
