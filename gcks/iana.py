"""Code points of the IANA "IKEv2 Parameters" registries that gcks speaks.

Every registry is an `IntEnum` whose members keep the IANA spelling.  A value
that the registry does not hold survives as a nameless member of the same
class, so that it can be compared, encoded again and printed
(``UNASSIGNED_4711``).  Such members are made afresh for each look-up and never
kept: a peer that sends all 65,536 notify types grows nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Self


class Registry(IntEnum):
    """An IANA registry: known values by name, unknown ones by number."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNASSIGNED_{value}"
        unknown._value_ = value
        return unknown

    def __str__(self) -> str:
        return self.name

    @property
    def assigned(self) -> bool:
        """Tell whether this table names the value."""
        return self.name in type(self).__members__


class ExchangeType(Registry):
    IKE_SA_INIT = 34
    IKE_AUTH = 35
    CREATE_CHILD_SA = 36
    INFORMATIONAL = 37
    IKE_SESSION_RESUME = 38
    GSA_AUTH = 39
    GSA_REGISTRATION = 40
    GSA_REKEY = 41
    GSA_INBAND_REKEY = 42
    IKE_INTERMEDIATE = 43
    IKE_FOLLOWUP_KE = 44


class PayloadType(Registry):
    NONE = 0
    SA = 33
    KE = 34
    IDi = 35
    IDr = 36
    CERT = 37
    CERTREQ = 38
    AUTH = 39
    NONCE = 40
    NOTIFY = 41
    DELETE = 42
    VENDOR = 43
    TSi = 44
    TSr = 45
    SK = 46
    CP = 47
    EAP = 48
    GSPM = 49
    IDg = 50
    GSA = 51
    KD = 52
    SKF = 53
    PS = 54


class ProtocolId(Registry):
    """IKEv2 Security Protocol Identifiers; 0 marks group-wide substructures."""

    NONE = 0
    IKE = 1
    AH = 2
    ESP = 3
    FC_ESP_HEADER = 4
    FC_CT_AUTHENTICATION = 5
    GIKE_UPDATE = 6


class TransformType(Registry):
    ENCR = 1
    PRF = 2
    INTEG = 3
    KE = 4
    SN = 5
    ADDKE1 = 6
    ADDKE2 = 7
    ADDKE3 = 8
    ADDKE4 = 9
    ADDKE5 = 10
    ADDKE6 = 11
    ADDKE7 = 12
    KWA = 13
    GCAUTH = 14


class TransformAttribute(Registry):
    KEY_LENGTH = 14
    SIGNATURE_ALGORITHM_IDENTIFIER = 18


class Encr(Registry):
    NULL = 11
    AES_CBC = 12
    AES_CTR = 13
    AES_CCM_8 = 14
    AES_CCM_12 = 15
    AES_CCM_16 = 16
    AES_GCM_8 = 18
    AES_GCM_12 = 19
    AES_GCM_16 = 20
    NULL_AUTH_AES_GMAC = 21
    CHACHA20_POLY1305 = 28
    AES_CCM_8_IIV = 29
    AES_GCM_16_IIV = 30
    CHACHA20_POLY1305_IIV = 31


class Prf(Registry):
    HMAC_SHA1 = 2
    HMAC_SHA2_256 = 5
    HMAC_SHA2_384 = 6
    HMAC_SHA2_512 = 7
    AES128_CMAC = 8


class Integ(Registry):
    NONE = 0
    AES_CMAC_96 = 8
    AES_128_GMAC = 9
    AES_192_GMAC = 10
    AES_256_GMAC = 11
    HMAC_SHA2_256_128 = 12
    HMAC_SHA2_384_192 = 13
    HMAC_SHA2_512_256 = 14


class Ke(Registry):
    """Key Exchange Methods (transform type 4)."""

    NONE = 0
    MODP_2048 = 14
    MODP_3072 = 15
    MODP_4096 = 16
    ECP_256 = 19
    ECP_384 = 20
    ECP_521 = 21
    CURVE25519 = 31
    CURVE448 = 32
    ML_KEM_512 = 35
    ML_KEM_768 = 36
    ML_KEM_1024 = 37


class Sn(Registry):
    """Sequence Numbers (transform type 5)."""

    SEQUENTIAL_32 = 0
    PARTIAL_64 = 1
    UNSPECIFIED_32 = 2


class Kwa(Registry):
    """Key Wrap Algorithms (transform type 13, RFC 9838 section 4.4.2.1.2)."""

    KW_5649_128 = 1
    KW_5649_192 = 2
    KW_5649_256 = 3
    KW_ARX = 4


class GcAuth(Registry):
    """Group Controller Authentication Methods (transform type 14)."""

    IMPLICIT = 1
    DIGITAL_SIGNATURE = 2


class AuthMethod(Registry):
    RSA = 1
    SHARED_KEY_MIC = 2
    ECDSA_256 = 9
    ECDSA_384 = 10
    ECDSA_521 = 11
    NULL = 13
    DIGITAL_SIGNATURE = 14


class Hash(Registry):
    """RFC 7427 hash algorithms."""

    SHA1 = 1
    SHA2_256 = 2
    SHA2_384 = 3
    SHA2_512 = 4
    IDENTITY = 5


class IdType(Registry):
    ID_IPV4_ADDR = 1
    ID_FQDN = 2
    ID_RFC822_ADDR = 3
    ID_IPV6_ADDR = 5
    ID_DER_ASN1_DN = 9
    ID_DER_ASN1_GN = 10
    ID_KEY_ID = 11
    ID_NULL = 13


class CertEncoding(Registry):
    X509_SIGNATURE = 4
    CRL = 7
    HASH_AND_URL = 12
    OCSP_CONTENT = 14
    RAW_PUBLIC_KEY = 15


class TsType(Registry):
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    SECLABEL = 10


class IpcompTransform(Registry):
    """Transform IDs of IPCOMP_SUPPORTED (RFC 7296 section 2.22)."""

    IPCOMP_OUI = 1
    IPCOMP_DEFLATE = 2
    IPCOMP_LZS = 3
    IPCOMP_LZJH = 4


class NotifyType(Registry):
    UNSUPPORTED_CRITICAL_PAYLOAD = 1
    INVALID_IKE_SPI = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_SYNTAX = 7
    INVALID_MESSAGE_ID = 9
    INVALID_SPI = 11
    NO_PROPOSAL_CHOSEN = 14
    INVALID_KE_PAYLOAD = 17
    AUTHENTICATION_FAILED = 24
    SINGLE_PAIR_REQUIRED = 34
    NO_ADDITIONAL_SAS = 35
    INTERNAL_ADDRESS_FAILURE = 36
    FAILED_CP_REQUIRED = 37
    TS_UNACCEPTABLE = 38
    INVALID_SELECTORS = 39
    TEMPORARY_FAILURE = 43
    CHILD_SA_NOT_FOUND = 44
    INVALID_GROUP_ID = 45
    AUTHORIZATION_FAILED = 46
    STATE_NOT_FOUND = 47
    REGISTRATION_FAILED = 49
    INITIAL_CONTACT = 16384
    SET_WINDOW_SIZE = 16385
    ADDITIONAL_TS_POSSIBLE = 16386
    IPCOMP_SUPPORTED = 16387
    NAT_DETECTION_SOURCE_IP = 16388
    NAT_DETECTION_DESTINATION_IP = 16389
    COOKIE = 16390
    USE_TRANSPORT_MODE = 16391
    HTTP_CERT_LOOKUP_SUPPORTED = 16392
    REKEY_SA = 16393
    ESP_TFC_PADDING_NOT_SUPPORTED = 16394
    NON_FIRST_FRAGMENTS_ALSO = 16395
    AUTH_LIFETIME = 16403
    REDIRECT_SUPPORTED = 16406
    REDIRECT = 16407
    REDIRECTED_FROM = 16408
    TICKET_LT_OPAQUE = 16409
    TICKET_REQUEST = 16410
    TICKET_ACK = 16411
    TICKET_NACK = 16412
    TICKET_OPAQUE = 16413
    EAP_ONLY_AUTHENTICATION = 16417
    CHILDLESS_IKEV2_SUPPORTED = 16418
    GROUP_SENDER = 16429
    IKEV2_FRAGMENTATION_SUPPORTED = 16430
    SIGNATURE_HASH_ALGORITHMS = 16431
    PUZZLE = 16434
    USE_PPK = 16435
    PPK_IDENTITY = 16436
    NO_PPK_AUTH = 16437
    INTERMEDIATE_EXCHANGE_SUPPORTED = 16438
    ADDITIONAL_KEY_EXCHANGE = 16441
    USE_AGGFRAG = 16442
    SUPPORTED_AUTH_METHODS = 16443
    USE_PPK_INT = 16445
    PPK_IDENTITY_KEY = 16446
    IKE_SA_INIT_FULL_TRANSCRIPT_AUTH = 16447
    REREGISTRATION_SPREAD = 49838
    """Private use: `gcks.group.spread`."""

    @property
    def is_error(self) -> bool:
        """Tell whether the type reports an error (RFC 7296 section 3.10.1)."""
        return self < FIRST_STATUS_TYPE


class GsaAttribute(Registry):
    """GSA attributes (RFC 9838 section 4.4.2.2)."""

    GSA_KEY_LIFETIME = 1
    GSA_INITIAL_MESSAGE_ID = 2
    GSA_NEXT_SPI = 3


class GwpAttribute(Registry):
    """Group-wide policy attributes (RFC 9838 section 4.4.3.1)."""

    GWP_ATD = 1
    GWP_DTD = 2
    GWP_SENDER_ID_BITS = 3


class GroupKeyBagAttribute(Registry):
    """Group Key Bag attributes (RFC 9838 section 4.5.2)."""

    SA_KEY = 1


class MemberKeyBagAttribute(Registry):
    """Member Key Bag attributes (RFC 9838 section 4.5.3)."""

    WRAP_KEY = 1
    AUTH_KEY = 2
    GM_SENDER_ID = 3


FIRST_STATUS_TYPE: Final = 16384
FIRST_PRIVATE_STATUS_TYPE: Final = 40960
LAST_NOTIFY_TYPE: Final = 65535

TRANSFORM_IDS: Final[dict[int, type[Registry]]] = {
    TransformType.ENCR: Encr,
    TransformType.PRF: Prf,
    TransformType.INTEG: Integ,
    TransformType.KE: Ke,
    TransformType.SN: Sn,
    TransformType.KWA: Kwa,
    TransformType.GCAUTH: GcAuth,
}
"""The registry that numbers the Transform IDs of each Transform Type."""

COUNTER_MODES: Final = frozenset(
    {
        Encr.AES_CTR,
        Encr.AES_CCM_8,
        Encr.AES_CCM_12,
        Encr.AES_CCM_16,
        Encr.AES_GCM_8,
        Encr.AES_GCM_12,
        Encr.AES_GCM_16,
        Encr.NULL_AUTH_AES_GMAC,
        Encr.CHACHA20_POLY1305,
    }
)
"""Encryption transforms whose IV is a counter (RFC 9838 section 2.5)."""

COUNTER_MODE_INTEG: Final = frozenset({Integ.AES_128_GMAC, Integ.AES_192_GMAC, Integ.AES_256_GMAC})
"""Integrity transforms (AH) whose IV is a counter (RFC 9838 section 2.5)."""

IMPLICIT_IV: Final = frozenset(
    {Encr.AES_CCM_8_IIV, Encr.AES_GCM_16_IIV, Encr.CHACHA20_POLY1305_IIV}
)
"""Encryption transforms without an IV on the wire (RFC 8750)."""
