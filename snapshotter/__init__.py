"""Kubernetes volume snapshots and volume group snapshots."""

__version__ = "0.1.0"
