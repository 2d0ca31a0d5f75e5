"""What makes sets of runs: several at once, none twice; the figures of the paper."""
