"""The GCKS role: what a key server answers, sans-I/O."""
