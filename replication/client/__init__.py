"""Replica clients: one contract, one module for each kind of storage."""
