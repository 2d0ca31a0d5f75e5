"""What ``benchmarks/torture.py`` does to real runs, and how it judges what is left of them."""
