"""Octets to frozen records and back; the standard library only; raises only `WireError`."""
