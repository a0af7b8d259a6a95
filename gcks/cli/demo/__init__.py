"""`gcks demo`: a real key server and real members on loopback, and a story that they act out."""
