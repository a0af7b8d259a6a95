"""Thin named adapters over `cryptography`: they raise, they never return a bool."""
