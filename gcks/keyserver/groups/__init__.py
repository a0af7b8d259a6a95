"""Groups as the key server keeps them: policy, state, decisions; no IKE SA is known here."""
