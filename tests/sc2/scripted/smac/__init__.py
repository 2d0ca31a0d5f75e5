"""A scripted package with SMAC's interface, for tests of the adapter where SMAC is not installed."""
