"""What rekeys are sent from: one UDP socket per source, shared with IKE where it is the same."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gcks.daemon.multicast import configure_sender
from gcks.daemon.pktinfo import any_of
from gcks.daemon.udp import bind_udp, share_port
from gcks.datagrams import Endpoint
from gcks.errors import LocalError
from gcks.keyserver.groups.policy import GroupPolicy, RekeyPolicy


class Sender(NamedTuple):
    """What sends the rekeys of one group."""

    socket: socket.socket
    group: str
    rekey: RekeyPolicy


Senders = dict[Endpoint, Sender]


def make_senders(groups: Iterable[GroupPolicy], known: Sequence[socket.socket]) -> Senders:
    """Return rekey destination -> socket: a known one bound to the rekey's source, else a new one.

    Raises `LocalError`; then nothing new is open.
    """
    sockets = {Endpoint(*sock.getsockname()[:2]): sock for sock in known}
    senders: Senders = {}
    try:
        for policy in groups:
            if policy.rekey is None:
                continue
            rekey = policy.rekey
            # Beside a socket for all addresses, one for the source would take its datagrams.
            anywhere = Endpoint(any_of(rekey.source.host), rekey.source.port)
            source = anywhere if anywhere in sockets else rekey.source
            if source not in sockets:
                sockets[source] = bind_udp(source)
            sock = sockets[source]
            share_port(sock)
            configure_sender(sock, rekey.source.host, rekey.interface, rekey.ttl)
            senders[rekey.destination] = Sender(sock, policy.name, rekey)
    except LocalError:
        close_others(sockets.values(), known)
        raise
    return senders


def close_others(sockets: Iterable[socket.socket], known: Sequence[socket.socket]) -> None:
    for sock in sockets:
        if sock not in known:
            sock.close()
