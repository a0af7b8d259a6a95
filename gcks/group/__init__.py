"""The group domain of a GCKS, and what both roles know of GSA_REKEY; no IKE negotiation."""
