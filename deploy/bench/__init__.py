"""CPU cost, latency and memory of the fleet against peers that do the same job, in one run.

Run it from the checkout root as ``python -m deploy.bench``.
"""
