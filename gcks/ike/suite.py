"""The algorithms of one IKE SA (RFC 7296 section 3.3.2, RFC 9838 section 4.5.4)."""

from __future__ import annotations

from dataclasses import dataclass

from gcks.crypto.encr import Cipher, encr_key_octets, integ_key_octets, make_cipher
from gcks.crypto.key_wrap import kwk_octets
from gcks.crypto.prf import prf_octets
from gcks.iana import Integ


@dataclass(frozen=True, slots=True)
class IkeSuite:
    """One chosen transform of each type; `encr_bits` is None for ciphers of one key size.

    `kwa` is None only where a peer registers to no group (plain IKEv2).
    """

    encr: int
    encr_bits: int | None
    prf: int
    integ: int
    ke: int
    kwa: int | None

    @property
    def key_sizes(self) -> tuple[int, int, int]:
        """Octets of SK_d and SK_p, of SK_a, of SK_e with its salt."""
        encr = encr_key_octets(self.encr, self.encr_bits)
        return prf_octets(self.prf), integ_key_octets(self.integ), encr

    @property
    def gsk_w_octets(self) -> int:
        """The size of the default KWK (RFC 9838 section 3.1.1); 0 without a key wrap."""
        return 0 if self.kwa is None else kwk_octets(self.kwa)

    def make_cipher(self, key_e: bytes, key_a: bytes) -> Cipher:
        """Make the cipher of one direction, of keys of `key_sizes`."""
        return make_cipher(self.encr, self.integ or Integ.NONE, key_e, key_a)
