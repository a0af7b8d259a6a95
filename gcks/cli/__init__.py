"""The commands `gcks` and `gcks-member`."""
