"""The LTX file format."""
