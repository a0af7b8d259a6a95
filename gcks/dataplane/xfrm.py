"""The Linux kernel as data plane: XFRM states and policies for multicast ESP and AH.

Inbound an SA works as soon as its state is there.  Outbound the policy's
template names one SPI, so `ActivateSa` moves traffic from the old SA to the new
in one step and no packet is without a key.  Until the first activation, after
the last SA has gone, and where the member only receives, the policies block:
group traffic never leaves, and is never accepted, in clear while the member runs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from gcks.crypto.encr import integ_icv_octets
from gcks.dataplane import xfrm_wire as wire
from gcks.dataplane.interface import ReceiveOnly, SaCommand
from gcks.dataplane.netlink import NLM_F_CREATE, NLM_F_EXCL, NetlinkError, XfrmSocket
from gcks.errors import LocalError
from gcks.iana import COUNTER_MODES, Encr, Integ, ProtocolId
from gcks.member.data_plane import ActivateSa, Direction, InstallSa, Mode, RemoveSa
from gcks.wire.traffic_selector import MAX_PORT, TrafficSelector

REQID: Final = 0x67636B73
"""Marks our states: "gcks"; what a killed member left is found and removed by it."""
PRIORITY: Final = 0x67636B
"""Marks our policies."""
REPLAY_WINDOW: Final = 32
NO_SPI: Final = bytes(4)

_PROTOCOLS: Final = {ProtocolId.ESP: 50, ProtocolId.AH: 51}
_MODES: Final = {Mode.TRANSPORT: wire.MODE_TRANSPORT, Mode.TUNNEL: wire.MODE_TUNNEL}
_AEAD: Final[dict[int, tuple[str, int]]] = {
    Encr.AES_GCM_16: ("rfc4106(gcm(aes))", 128),
    Encr.CHACHA20_POLY1305: ("rfc7539esp(chacha20,poly1305)", 128),
}
_CRYPT: Final[dict[int, str]] = {Encr.AES_CBC: "cbc(aes)"}
_AUTH: Final[dict[int, str]] = {
    Integ.HMAC_SHA2_256_128: "hmac(sha256)",
    Integ.HMAC_SHA2_384_192: "hmac(sha384)",
    Integ.HMAC_SHA2_512_256: "hmac(sha512)",
}

SaKey = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class _Installed:
    command: InstallSa
    state: wire.State
    selector: wire.Selector


class XfrmDataPlane:
    """Carries out the member's commands over netlink."""

    def __init__(self) -> None:
        """Raise `LocalError` where the kernel has no XFRM, or we have no privilege to use it."""
        self._socket = XfrmSocket()
        self._installed: dict[SaKey, _Installed] = {}
        self._active: dict[bytes, SaKey] = {}
        self._policies: dict[tuple[bytes, int], wire.Selector] = {}
        self._remove_leftovers()

    async def apply(self, command: SaCommand) -> None:
        """Carry out one command.  Raises `LocalError`.

        In a thread: the kernel may first load a module, and that takes its time.
        """
        await asyncio.to_thread(_HANDLERS[type(command)], self, command)

    async def close(self) -> None:
        """Remove every state and policy of ours."""
        self._remove_leftovers()
        self._socket.close()

    # --- commands -------------------------------------------------------------------

    def _install(self, command: InstallSa) -> None:
        refuse_features(command)
        selector = kernel_selector(command.source, command.destination)
        trouble = shared_counter(command)
        if trouble:
            command = _receive_only(command, trouble)
        sends = command.direction is not Direction.IN
        state = _state(command, selector, sends=sends)
        flags = NLM_F_CREATE | NLM_F_EXCL
        self._socket.request(wire.NEWSA, state.encode(), f"SA {command.spi.hex()}", flags)
        entry = _Installed(command, state, selector)
        self._installed[_key(command)] = entry
        if command.direction is not Direction.OUT:
            self._set_policy(entry, wire.DIR_IN, wire.ALLOW, NO_SPI)
        if selector.encode() not in self._active:
            self._set_policy(entry, wire.DIR_OUT, wire.BLOCK, NO_SPI)
        if trouble:
            raise ReceiveOnly(f"{trouble}; until then this host only receives on it")

    def _activate(self, command: ActivateSa) -> None:
        entry = self._installed.get((command.protocol, command.spi))
        if entry is None:
            raise LocalError(f"SA {command.spi.hex()} is not installed, so it can't be used")
        if entry.command.direction is Direction.IN:
            return  # of a counter-mode SA with many senders
        self._set_policy(entry, wire.DIR_OUT, wire.ALLOW, command.spi)
        self._active[entry.selector.encode()] = (command.protocol, command.spi)

    def _remove(self, command: RemoveSa) -> None:
        entry = self._installed.pop((command.protocol, command.spi), None)
        if entry is None:
            return
        selector = entry.selector.encode()
        if self._active.get(selector) == (command.protocol, command.spi):
            del self._active[selector]
            self._set_policy(entry, wire.DIR_OUT, wire.BLOCK, NO_SPI)
        octets = wire.state_id(entry.state.destination, entry.state.spi, entry.state.protocol)
        self._delete(wire.DELSA, octets, f"SA {command.spi.hex()}")

    # --- kernel ---------------------------------------------------------------------

    def _set_policy(self, entry: _Installed, direction: int, action: int, spi: bytes) -> None:
        state = entry.state
        template = None
        if action == wire.ALLOW:
            template = wire.Template(
                state.protocol, spi, state.source, state.destination, state.mode, REQID
            )
        octets = wire.policy(entry.selector, direction, action, PRIORITY, template)
        self._socket.request(wire.UPDPOLICY, octets, "policy", NLM_F_CREATE)
        self._policies[entry.selector.encode(), direction] = entry.selector

    def _delete(self, kind: int, octets: bytes, what: str) -> None:
        """Delete; what has gone already is gone."""
        try:
            self._socket.request(kind, octets, what)
        except NetlinkError as error:
            if error.code not in _GONE:
                raise

    def _remove_leftovers(self) -> None:
        """Remove what is marked as ours, also what a killed member left."""
        for info in self._socket.dump(wire.GETPOLICY, bytes(64), "policies"):
            if wire.dumped_policy_priority(info) == PRIORITY:
                self._delete(wire.DELPOLICY, wire.dumped_policy_id(info), "policy")
        for info in self._socket.dump(wire.GETSA, bytes(24), "states"):
            if wire.dumped_state_reqid(info) == REQID:
                self._delete(wire.DELSA, wire.dumped_state_id(info), "state")
        self._installed.clear()
        self._active.clear()
        self._policies.clear()


_GONE: Final = frozenset({2, 3})  # ENOENT, ESRCH
_HANDLERS: Final[dict[type, Callable[[XfrmDataPlane, Any], None]]] = {
    InstallSa: XfrmDataPlane._install,
    ActivateSa: XfrmDataPlane._activate,
    RemoveSa: XfrmDataPlane._remove,
}


def _key(command: InstallSa) -> SaKey:
    return command.protocol, command.spi


def refuse_features(command: InstallSa) -> None:
    """Refuse what XFRM can't do with an SA; the member's ceiling refuses it before.

    Raises `LocalError`.
    """
    wanted = {"label": command.label, "AGGFRAG": command.aggfrag, "IPComp": command.ipcomp}
    for name, value in wanted.items():
        if value:
            raise LocalError(f"SA {command.spi.hex()}: the kernel's data plane can't do {name}")


def shared_counter(command: InstallSa) -> str:
    """Say why this host can't send on an SA, or nothing.

    The kernel can't put a Sender-ID into an IV: it sends on its own SAs only.
    """
    counter = command.encr is not None and command.encr.id in COUNTER_MODES
    if command.direction is Direction.IN or not (counter and command.sender_id_bits):
        return ""
    if command.source.single_address is not None:
        return ""
    return (
        f"SA {command.spi.hex()}: Linux can't send on a counter-mode SA that many senders "
        "share (it forms the IV without Sender-ID, RFC 6054); give each sender an SA of its "
        "own (senders: single), or use a CBC suite"
    )


def _receive_only(command: InstallSa, trouble: str) -> InstallSa:
    """Return the receiving half.  Raises `LocalError` where there is none."""
    if command.direction is Direction.OUT:
        raise LocalError(trouble)
    return replace(command, direction=Direction.IN)


def kernel_selector(source: TrafficSelector, destination: TrafficSelector) -> wire.Selector:
    """Convert Traffic Selectors.

    Raises `LocalError` for ranges that the kernel has no form for.
    """
    source_network, source_prefix = _prefix(source)
    network, prefix = _prefix(destination)
    return wire.Selector(
        family=wire.family_of(network),
        source=source_network,
        source_prefix=source_prefix,
        destination=network,
        destination_prefix=prefix,
        protocol=destination.ip_protocol,
        source_port=_kernel_port(source),
        destination_port=_kernel_port(destination),
    )


def _prefix(selector: TrafficSelector) -> tuple[str, int]:
    first = ipaddress.ip_address(selector.start_address)
    last = ipaddress.ip_address(selector.end_address)
    networks: list[Any] = list(ipaddress.summarize_address_range(first, last))
    if len(networks) != 1:
        raise LocalError(f"{selector}: the kernel takes a network, not this range of addresses")
    return str(networks[0].network_address), networks[0].prefixlen


def _kernel_port(selector: TrafficSelector) -> int | None:
    if (selector.start_port, selector.end_port) == (0, MAX_PORT):
        return None
    if selector.single_port is None:
        raise LocalError(f"{selector}: the kernel takes one port or any, not this range of ports")
    return selector.single_port


def _state(command: InstallSa, selector: wire.Selector, *, sends: bool) -> wire.State:
    """A sender's state needs its own source address; a receiver's takes any sender's."""
    destination = command.destination.single_address
    if destination is None:
        raise LocalError(f"{command.destination}: an SA needs a single destination address")
    any_source = wire.any_address(selector.family)
    own = command.source.single_address or _source_towards(destination) if sends else any_source
    return wire.State(
        protocol=_PROTOCOLS[command.protocol],
        spi=command.spi,
        source=own,
        destination=destination,
        mode=_MODES[command.mode],
        reqid=REQID,
        replay_window=REPLAY_WINDOW if command.replay_protection else 0,
        lifetime_seconds=command.lifetime_seconds or 0,
        algorithms=tuple(_algorithms(command)),
    )


def _source_towards(destination: str) -> str:
    """Return the address from which this host sends to the group."""
    with socket.socket(wire.family_of(destination), socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((destination, 9))
        except OSError as error:
            raise LocalError(f"no route to {destination}: {error.strerror}") from None
        return str(sock.getsockname()[0])


def _algorithms(command: InstallSa) -> list[wire.Algorithm]:
    if command.encr is not None and command.encr.id in _AEAD:
        name, icv_bits = _AEAD[command.encr.id]
        return [wire.Algorithm(wire.ATTR_AEAD, name, command.key_e, icv_bits)]
    algorithms: list[wire.Algorithm] = []
    if command.integ is not None:
        if command.integ.id not in _AUTH:
            raise LocalError(f"{command.integ}: not available with the kernel's data plane")
        bits = integ_icv_octets(command.integ.id) * 8
        name = _AUTH[command.integ.id]
        algorithms.append(wire.Algorithm(wire.ATTR_AUTH_TRUNC, name, command.key_a, bits))
    if command.encr is not None:
        if command.encr.id not in _CRYPT:
            raise LocalError(f"{command.encr}: not available with the kernel's data plane")
        algorithms.append(wire.Algorithm(wire.ATTR_CRYPT, _CRYPT[command.encr.id], command.key_e))
    return algorithms
