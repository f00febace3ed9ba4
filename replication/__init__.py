"""The write side, and everything both sides share: LTX, replica clients, restore plans."""
