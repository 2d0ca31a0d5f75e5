"""What makes one run: settings, players, the training loop, records and checkpoints."""
