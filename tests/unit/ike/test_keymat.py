"""Keying material of the IKE SA, beyond the golden vectors."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from gcks.crypto.prf import prf, prf_plus
from gcks.iana import Prf
from gcks.ike.keymat import IkeKeys, derive_gsk_w, derive_keys, rekey_keys
from gcks.ike.suite import IkeSuite

GCM = IkeSuite(20, 256, Prf.HMAC_SHA2_256, 0, 31, 3)
CBC = IkeSuite(12, 128, Prf.HMAC_SHA2_512, 14, 19, 1)
INPUTS = (b"g" * 32, b"i" * 16, b"r" * 16, b"I" * 8, b"R" * 8)


@pytest.mark.parametrize("suite", [GCM, CBC], ids=["gcm", "cbc"])
def test_the_keys_are_cut_from_prf_plus_in_the_rfc_s_order(suite: IkeSuite) -> None:
    """RFC 7296 section 2.14: SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr."""
    keys = derive_keys(suite, *INPUTS)
    g_ir, ni, nr, spi_i, spi_r = INPUTS
    parts = [getattr(keys, field.name) for field in fields(keys)]
    keymat = b"".join(parts)
    skeyseed = prf(suite.prf, ni + nr, g_ir)
    assert keymat == prf_plus(suite.prf, skeyseed, ni + nr + spi_i + spi_r, len(keymat))
    prf_size, integ, encr = suite.key_sizes
    assert [len(p) for p in parts] == [prf_size, integ, integ, encr, encr, prf_size, prf_size]


def test_every_input_changes_the_keys() -> None:
    seen = {derive_keys(GCM, *INPUTS).sk_d}
    for place in range(len(INPUTS)):
        inputs = list(INPUTS)
        inputs[place] = b"x" + inputs[place][1:]
        seen.add(derive_keys(GCM, *inputs).sk_d)
    assert len(seen) == 1 + len(INPUTS)


def test_a_rekey_to_another_prf_seeds_with_the_old_one() -> None:
    """RFC 7296 section 2.18: SKEYSEED by the old SA's prf, prf+ by the new one's."""
    g_ir, ni, nr, spi_i, spi_r = INPUTS
    skeyseed = prf(GCM.prf, b"d" * 32, g_ir + ni + nr)
    keys = rekey_keys(GCM, b"d" * 32, CBC, *INPUTS)
    assert keys.sk_d == prf_plus(CBC.prf, skeyseed, ni + nr + spi_i + spi_r, 64)


def test_gsk_w_is_bound_to_its_ike_sa() -> None:
    """RFC 9838 section 3.1.1: every IKE SA has its own GSK_w."""
    assert derive_gsk_w(GCM, b"d" * 32) != derive_gsk_w(GCM, b"e" * 32)
    assert derive_gsk_w(replace(GCM, kwa=None), b"d" * 32) == b""


def test_no_key_in_the_representation() -> None:
    keys = IkeKeys(*(bytes((number,)) * 32 for number in range(65, 72)))
    assert repr(keys) == "IkeKeys()"
