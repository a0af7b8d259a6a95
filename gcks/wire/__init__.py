"""Octets to frozen records and back; the standard library only.

A `decode_` function takes the whole content of one payload or notification (`body`, `data`)
without its header; a `read_` function takes a part of `octets` that begins at `position`, and
returns where it ends.  Octets that the RFC doesn't allow are a `WireError` and nothing else.
What the peer then sees depends on who can have sent them, not on the payload:

- in clear: nothing, because anybody can have sent them (RFC 7296 section 2.21.1);
- in a request under the keys of an IKE SA: INVALID_SYNTAX, and the IKE SA ends (RFC 7296
  section 2.21.3); in a response: only that the IKE SA ends;
- in GSA_REKEY, which has no answer: nothing.

Where it is otherwise, the function says it.  Numbers too large to encode are a bug of ours, and
a ValueError or `struct.error`.
"""
