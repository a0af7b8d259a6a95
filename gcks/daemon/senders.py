"""What rekeys are sent from: one UDP socket per source, shared with IKE where it is the same."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from gcks.daemon import pktinfo
from gcks.daemon.multicast import configure_sender
from gcks.daemon.pktinfo import any_of
from gcks.daemon.udp import bind_udp, framed, share_port
from gcks.datagrams import Endpoint, Path, Transmit
from gcks.errors import LocalError
from gcks.events import RekeyNotSent, Tell
from gcks.keyserver.groups.policy import GroupPolicy, RekeyPolicy

_MOVED: Final = (
    "the rekey source was changed while the server was down; members register again"
    " when their SAs expire, or change it back and move it by a reload"
)


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


class RekeySenders:
    """Sends the rekeys of all groups, those of replaced policies included."""

    def __init__(self, senders: Senders, tell: Tell) -> None:
        self._senders, self._tell = senders, tell
        self.not_sent = 0
        """Datagrams that didn't leave."""

    @contextmanager
    def with_those_of(
        self, groups: Iterable[GroupPolicy], known: Sequence[socket.socket]
    ) -> Iterator[None]:
        """Take over what other groups send from, unless the body raises `LocalError`.

        Raises `LocalError`, before the body, where it can't be opened.
        """
        before = self._senders
        known = [*known, *(sender.socket for sender in before.values())]
        senders = make_senders(groups, known)
        # What replaced policies still have to say goes to the old address.
        self._senders = {**before, **senders}
        try:
            yield
        except LocalError:
            self._senders = before
            close_others([sender.socket for sender in senders.values()], known)
            raise

    def send(self, transmit: Transmit) -> bool:
        """Send one datagram; tell whether it has left."""
        sender = self._sender(transmit.path)
        if sender is None:
            return self._not_sent("", transmit, _MOVED)
        sock, group, rekey = sender
        try:
            configure_sender(sock, rekey.source.host, rekey.interface, rekey.ttl)
            octets = framed(transmit.octets, transmit.path)
            pktinfo.send(sock, octets, rekey.source.host, transmit.path.remote)
        except (LocalError, OSError) as error:
            # An interface that is gone may come back: the next copy or rekey tries again.
            return self._not_sent(group, transmit, str(error))
        return True

    def _not_sent(self, group: str, transmit: Transmit, cause: str) -> bool:
        self.not_sent += 1
        self._tell((RekeyNotSent(group, str(transmit.path.remote), cause),))
        return False

    def _sender(self, path: Path) -> Sender | None:
        """Return what reaches `path`: of its destination, else of its source.

        The members of a group whose rekey address was changed while the server
        was down still listen at the old one.
        """
        sender = self._senders.get(path.remote)
        if sender is not None:
            return sender
        senders = self._senders.values()
        return next((sender for sender in senders if sender.rekey.source == path.local), None)

    def close(self) -> None:
        for sender in self._senders.values():
            sender.socket.close()
