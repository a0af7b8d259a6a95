"""The IKE SA (RFC 7296) for both roles, sans-I/O."""
