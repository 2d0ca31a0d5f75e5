"""What the command line tells: usage, lists, the meaning of settings."""
