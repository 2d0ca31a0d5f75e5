"""What reads results: runs on file, curves, tables, pictures."""
