"""The paper's findings with our own runs: what `benchmarks/reproduce.py` is made of."""
