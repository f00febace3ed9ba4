"""Which files to restore, and restoring them."""
