"""gcks: a Group Controller/Key Server and group member for G-IKEv2 (RFC 9838)."""

__version__ = "0.2.0"
