"""Adapters of environments of other projects."""
