"""The group member (GM) role of RFC 9838: frozen inputs in, frozen outputs out, no I/O."""
