"""The data of USE_AGGFRAG (RFC 9347) and IPCOMP_SUPPORTED (RFC 7296 section 2.22)."""

from __future__ import annotations

import pytest

from gcks.errors import WireError
from gcks.iana import IpcompTransform
from gcks.wire.sa_usage import AggFrag, IpComp, decode_aggfrag, decode_ipcomp


@pytest.mark.parametrize(
    ("octets", "record"),
    [
        (b"\0", AggFrag()),
        (b"\1", AggFrag(dont_fragment=True)),
        (b"\2", AggFrag(congestion_control=True)),
        (b"\x87", AggFrag(True, True, 0x84)),
    ],
)
def test_the_octet_of_use_aggfrag(octets: bytes, record: AggFrag) -> None:
    """RFC 9347 section 6.1.4: D is the lowest bit, C the one above it."""
    assert record.encode() == octets
    assert decode_aggfrag(octets) == record


@pytest.mark.parametrize("octets", [b"", b"\0\0"])
def test_use_aggfrag_has_one_octet(octets: bytes) -> None:
    """RFC 9347 section 6.1.4."""
    with pytest.raises(WireError, match="not one"):
        decode_aggfrag(octets)


@pytest.mark.parametrize(
    ("octets", "record"),
    [
        (b"\0\0\2", IpComp(0, IpcompTransform.IPCOMP_DEFLATE)),
        (b"\x12\x34\3ab", IpComp(0x1234, IpcompTransform.IPCOMP_LZS, b"ab")),
    ],
)
def test_the_octets_of_ipcomp_supported(octets: bytes, record: IpComp) -> None:
    """RFC 7296 section 2.22: CPI, transform ID, and what the transform may define."""
    assert record.encode() == octets
    assert decode_ipcomp(octets) == record


@pytest.mark.parametrize("octets", [b"", b"\0", b"\0\2"])
def test_ipcomp_supported_has_at_least_three_octets(octets: bytes) -> None:
    """RFC 7296 section 2.22."""
    with pytest.raises(WireError, match="truncated"):
        decode_ipcomp(octets)
