"""The embedded store: one SQLite file in WAL mode, fully synchronous."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any, Final

from gcks.crypto.aead_box import AeadBox
from gcks.crypto.errors import IntegrityError
from gcks.errors import LocalError
from gcks.journal import (
    AuthKeySaved,
    ExclusionLifted,
    ExclusionSaved,
    GroupRemoved,
    JournalEntry,
    MemberRemoved,
    MemberSaved,
    MembersRemoved,
    MessageIdReserved,
    RekeyMessageSaved,
    SaDeleted,
    SaSaved,
    SenderIdsReserved,
    SpisReserved,
    StaleLeavesSaved,
    StepPlanned,
    TermsSaved,
    TreeNodesRemoved,
    TreeNodesSaved,
)
from gcks.store.schema import GROUP_TABLES, MIGRATIONS, SCHEMA, SCHEMA_VERSION

_PROBE: Final = b"gcks"
_PROBE_PLACE: Final = b"seal.probe"
_FILE_MODE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LENGTH_OCTETS: Final = 4
_NODES_AT_ONCE: Final = 4096
_NAMES: Final = "SELECT name FROM groups UNION SELECT group_name FROM sas"
_OF_MEMBERS: Final = ("members", "tree_nodes", "stale_leaves")
"""Tables that are empty when a group starts over."""


class SqliteStore:
    """Opens or makes the file; used by one thread at a time, by one process at all."""

    def __init__(
        self, path: Path, master_key: bytes, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Raise `LocalError` where the file can't be used with this master key."""
        self._path = path
        self._box = AeadBox(master_key, entropy)
        try:
            _make_private(path)
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=0
            )
        except (sqlite3.Error, OSError) as error:
            raise LocalError(f"{path}: {_explain(error)}") from None
        try:
            self._lock()
            self._prepare()
        except sqlite3.Error as error:
            self.close()
            raise LocalError(f"{path}: {_explain(error)}") from None
        except LocalError:
            self.close()
            raise

    def _lock(self) -> None:
        """Take the file for this process as long as it lives; a kill frees it."""
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("COMMIT")

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise LocalError(
                f"{self._path}: written by a newer gcks (schema {version}, "
                f"this one knows {SCHEMA_VERSION}); run that version"
            )
        if version == 0:
            self._make_schema()
        else:
            self._migrate(version)
        self._check_master_key()

    def _make_schema(self) -> None:
        """One transaction, the probe included: a kill leaves an empty file or a usable one."""
        self._db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute("INSERT INTO seal VALUES (?)", (self._box.seal(_PROBE, _PROBE_PLACE),))
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    def _migrate(self, version: int) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for old_version in range(version, SCHEMA_VERSION):
            for statement in MIGRATIONS[old_version].split(";"):
                self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    def _check_master_key(self) -> None:
        row = self._db.execute("SELECT probe FROM seal").fetchone()
        try:
            self._box.open(row[0] if row else b"", _PROBE_PLACE)
        except IntegrityError:
            raise LocalError(
                f"{self._path}: sealed with another master key; give the key it was made with"
            ) from None

    # --- writing --------------------------------------------------------------------

    def apply(self, entries: Sequence[JournalEntry]) -> None:
        """One transaction; durable on return.  Raises `LocalError`."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for entry in entries:
                    _WRITERS[type(entry)](self, entry)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise LocalError(f"{self._path}: {_explain(error)}") from None

    def _sa_saved(self, e: SaSaved) -> None:
        place = _sa_place(e.group, e.protocol, e.spi)
        self._db.execute(
            "INSERT OR REPLACE INTO sas VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (e.group, e.protocol, e.spi, e.name, e.policy, self._box.seal(e.keymat, place),
             e.created_at, e.expires_at, e.retire_at),
        )  # fmt: skip

    def _sa_deleted(self, e: SaDeleted) -> None:
        key = (e.group, e.protocol, e.spi)
        self._db.execute("DELETE FROM sas WHERE group_name = ? AND protocol = ? AND spi = ?", key)
        self._db.execute(
            "DELETE FROM message_ids WHERE group_name = ? AND spi = ?", (e.group, e.spi)
        )

    def _spis_reserved(self, e: SpisReserved) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO reserved_spis VALUES (?, ?, ?, ?)",
            (e.group, e.name, e.protocol, e.spi),
        )

    def _message_id_reserved(self, e: MessageIdReserved) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO message_ids VALUES (?, ?, ?)",
            (e.group, e.spi, e.next_message_id),
        )

    def _sender_ids_reserved(self, e: SenderIdsReserved) -> None:
        self._touch_group(e.group)
        self._db.execute(
            "UPDATE groups SET next_sender_id = ? WHERE name = ?", (e.next_sender_id, e.group)
        )

    def _rekey_message_saved(self, e: RekeyMessageSaved) -> None:
        """Forget messages whose copies have all gone out, and an earlier record of this one."""
        self._db.execute(
            "DELETE FROM rekeys WHERE group_name = ? AND"
            " (datagrams = x'' OR (spi = ? AND message_id = ?))",
            (e.group, e.spi, e.message_id),
        )
        self._db.execute(
            "INSERT INTO rekeys VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (e.group, e.spi, e.message_id, _pack(e.datagrams), e.sent_at, *e.source,
             *e.destination),
        )  # fmt: skip

    def _auth_key_saved(self, e: AuthKeySaved) -> None:
        self._touch_group(e.group)
        sealed = self._box.seal(e.private_key, _auth_place(e.group))
        self._db.execute(
            "UPDATE groups SET auth_algorithm = ?, auth_private_key = ?, auth_made_at = ?"
            " WHERE name = ?",
            (e.algorithm, sealed, e.made_at, e.group),
        )

    def _terms_saved(self, e: TermsSaved) -> None:
        self._touch_group(e.group)
        self._db.execute(
            "UPDATE groups SET terms_authentication = ?, terms_mode = ?, terms_sender_id_bits = ?,"
            " terms_key_management = ? WHERE name = ?",
            (e.authentication, e.mode, e.sender_id_bits, e.key_management, e.group),
        )

    def _member_saved(self, e: MemberSaved) -> None:
        numbers = " ".join(map(str, e.sender_ids))
        self._db.execute(
            "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (e.group, e.identity, e.address, numbers, e.sag, e.registered_at, e.reassembles,
             e.certificate_ends, e.certificates, e.leaf, e.sender, e.inband),
        )  # fmt: skip

    def _member_removed(self, e: MemberRemoved) -> None:
        self._db.execute(
            "DELETE FROM members WHERE group_name = ? AND identity = ?", (e.group, e.identity)
        )

    def _members_removed(self, e: MembersRemoved) -> None:
        for table in _OF_MEMBERS:
            self._db.execute(f"DELETE FROM {table} WHERE group_name = ?", (e.group,))  # noqa: S608

    def _tree_nodes_saved(self, e: TreeNodesSaved) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO tree_nodes VALUES (?, ?, ?, ?, ?)",
            [
                (e.group, h, n, key_id, self._box.seal(key, _node_place(e.group, h, n)))
                for h, n, key_id, key in e.nodes
            ],
        )

    def _tree_nodes_removed(self, e: TreeNodesRemoved) -> None:
        self._db.executemany(
            "DELETE FROM tree_nodes WHERE group_name = ? AND height = ? AND number = ?",
            [(e.group, height, number) for height, number in e.places],
        )

    def _stale_leaves_saved(self, e: StaleLeavesSaved) -> None:
        leaves = " ".join(map(str, e.leaves))
        self._db.execute("INSERT OR REPLACE INTO stale_leaves VALUES (?, ?)", (e.group, leaves))

    def _exclusion_saved(self, e: ExclusionSaved) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO exclusions VALUES (?, ?, ?, ?, ?, ?)",
            (e.group, e.kind, e.name, e.excluded_at, e.by, e.about),
        )

    def _exclusion_lifted(self, e: ExclusionLifted) -> None:
        self._db.execute(
            "DELETE FROM exclusions WHERE group_name = ? AND kind = ? AND name = ?",
            (e.group, e.kind, e.name),
        )

    def _step_planned(self, e: StepPlanned) -> None:
        self._touch_group(e.group)
        if e.at < inf:
            row = (e.group, e.step, e.at)
            self._db.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", row)
        else:
            gone = "DELETE FROM steps WHERE group_name = ? AND step = ?"
            self._db.execute(gone, (e.group, e.step))

    def _group_removed(self, e: GroupRemoved) -> None:
        for table in GROUP_TABLES:
            self._db.execute(f"DELETE FROM {table} WHERE group_name = ?", (e.group,))  # noqa: S608
        self._db.execute("DELETE FROM groups WHERE name = ?", (e.group,))

    def _touch_group(self, name: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO groups (name) VALUES (?)", (name,))

    # --- reading --------------------------------------------------------------------

    def load(self) -> Iterator[JournalEntry]:
        """Yield what the journal has left, group by group.  Raises `LocalError`."""
        with self._reading():
            names = self._db.execute(f"{_NAMES} ORDER BY 1").fetchall()
            for (name,) in names:
                yield from self._entries(name)

    def load_group(self, name: str) -> tuple[JournalEntry, ...]:
        """Return what the journal has left of one group.  Raises `LocalError`."""
        with self._reading():
            return tuple(self._entries(name))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LocalError(f"{self._path}: {_explain(error)}") from None
        except IntegrityError as error:
            raise LocalError(f"{self._path}: {error}; {_BEGIN_ANEW}") from None

    def _entries(self, name: str) -> Iterator[JournalEntry]:
        """Yield entries that bring a group back: first what others are understood by."""
        yield from self._of_group(name)
        yield from self._sas(name)
        yield from (SpisReserved(*row) for row in self._rows("reserved_spis", name))
        yield from (MessageIdReserved(*row) for row in self._rows("message_ids", name))
        yield from self._rekeys(name)
        yield from (ExclusionSaved(*row) for row in self._rows("exclusions", name))
        yield from (StepPlanned(*row) for row in self._rows("steps", name))
        yield from map(_member, self._rows("members", name))
        yield from self._tree(name)
        for _, leaves in self._rows("stale_leaves", name):
            yield StaleLeavesSaved(name, tuple(map(int, leaves.split())))

    def _of_group(self, name: str) -> Iterator[JournalEntry]:
        row = self._db.execute("SELECT * FROM groups WHERE name = ?", (name,)).fetchone()
        if row is None:
            return
        _, next_sender_id, algorithm, private_key, authentication, mode, bits, *rest = row
        key_management, made_at = rest
        if authentication is not None:
            yield TermsSaved(name, authentication, mode, bits, key_management)
        if private_key is not None:
            opened = self._box.open(private_key, _auth_place(name))
            yield AuthKeySaved(name, algorithm, opened, made_at)
        if next_sender_id:
            yield SenderIdsReserved(name, next_sender_id)

    def _sas(self, name: str) -> Iterator[JournalEntry]:
        rows = self._db.execute(
            "SELECT protocol, spi, name, policy, keymat, created_at, expires_at, retire_at"
            " FROM sas WHERE group_name = ? ORDER BY created_at",
            (name,),
        )
        for protocol, spi, sa, policy, sealed, created_at, expires_at, retire_at in rows:
            yield SaSaved(
                group=name,
                protocol=protocol,
                spi=spi,
                name=sa,
                policy=policy,
                keymat=self._box.open(sealed, _sa_place(name, protocol, spi)),
                created_at=created_at,
                expires_at=expires_at,
                retire_at=retire_at,
            )

    def _rekeys(self, name: str) -> Iterator[JournalEntry]:
        rows = self._db.execute(
            "SELECT spi, message_id, datagrams, sent_at, source, source_port, destination,"
            " destination_port FROM rekeys WHERE group_name = ? ORDER BY number",
            (name,),
        )
        for spi, message_id, packed, sent_at, source, port, destination, destination_port in rows:
            yield RekeyMessageSaved(
                group=name,
                spi=spi,
                message_id=message_id,
                datagrams=_unpack(packed),
                sent_at=sent_at,
                source=(source, port),
                destination=(destination, destination_port),
            )

    def _tree(self, name: str) -> Iterator[JournalEntry]:
        rows = self._rows("tree_nodes", name)
        while some := rows.fetchmany(_NODES_AT_ONCE):
            nodes = tuple(
                (height, number, key_id, self._box.open(key, _node_place(name, height, number)))
                for _, height, number, key_id, key in some
            )
            yield TreeNodesSaved(name, nodes)

    def _rows(self, table: str, name: str) -> sqlite3.Cursor:
        return self._db.execute(f"SELECT * FROM {table} WHERE group_name = ?", (name,))  # noqa: S608

    def close(self) -> None:
        self._db.close()


_WRITERS: Final[dict[type, Callable[[SqliteStore, Any], None]]] = {
    SaSaved: SqliteStore._sa_saved,
    SaDeleted: SqliteStore._sa_deleted,
    SpisReserved: SqliteStore._spis_reserved,
    MessageIdReserved: SqliteStore._message_id_reserved,
    SenderIdsReserved: SqliteStore._sender_ids_reserved,
    RekeyMessageSaved: SqliteStore._rekey_message_saved,
    AuthKeySaved: SqliteStore._auth_key_saved,
    TermsSaved: SqliteStore._terms_saved,
    MemberSaved: SqliteStore._member_saved,
    MemberRemoved: SqliteStore._member_removed,
    MembersRemoved: SqliteStore._members_removed,
    TreeNodesSaved: SqliteStore._tree_nodes_saved,
    TreeNodesRemoved: SqliteStore._tree_nodes_removed,
    StaleLeavesSaved: SqliteStore._stale_leaves_saved,
    ExclusionSaved: SqliteStore._exclusion_saved,
    ExclusionLifted: SqliteStore._exclusion_lifted,
    StepPlanned: SqliteStore._step_planned,
    GroupRemoved: SqliteStore._group_removed,
}


def _member(
    row: tuple[str, str, str, str, bytes, float, int, float, bytes, int, int, int],
) -> MemberSaved:
    group, identity, address, numbers, sag, at, reassembles, ends, certificates, *rest = row
    leaf, sender, inband = rest
    sender_ids = tuple(map(int, numbers.split()))
    return MemberSaved(
        group=group,
        identity=identity,
        address=address,
        sender_ids=sender_ids,
        sag=sag,
        registered_at=at,
        reassembles=bool(reassembles),
        certificate_ends=ends,
        certificates=certificates,
        leaf=leaf,
        sender=bool(sender),
        inband=bool(inband),
    )


def _sa_place(group: str, protocol: int, spi: bytes) -> bytes:
    """Return what a sealed key is bound to, so that rows can't be swapped."""
    return f"sas.keymat/{group}/{int(protocol)}/{spi.hex()}".encode()


def _node_place(group: str, height: int, number: int) -> bytes:
    return f"tree_nodes.key/{group}/{height}/{number}".encode()


def _auth_place(group: str) -> bytes:
    return f"groups.auth_private_key/{group}".encode()


def _pack(datagrams: Sequence[bytes]) -> bytes:
    return b"".join(len(d).to_bytes(_LENGTH_OCTETS, "big") + d for d in datagrams)


def _unpack(packed: bytes) -> tuple[bytes, ...]:
    datagrams, position = [], 0
    while position < len(packed):
        start = position + _LENGTH_OCTETS
        position = start + int.from_bytes(packed[position:start], "big")
        datagrams.append(packed[start:position])
    return tuple(datagrams)


def _make_private(path: Path) -> None:
    """Make the file, or take others' access to it.

    An existing file isn't opened here: closing it again would free the lock of another
    store in this process (POSIX record locks).
    """
    if path.parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise LocalError(f"{path.parent}: everybody can replace files there; chmod o-w it")
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE))
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists() and file.stat().st_mode & _OTHERS:
            file.chmod(_FILE_MODE)


_WRITABLE: Final = "let the user that gcks runs as write to the file and its directory"
_BEGIN_ANEW: Final = (
    "move it away, start gcks and restart the members; a backup would repeat Sender-IDs"
)
"""docs/upgrade.md: no nonce twice."""
_REMEDIES: Final = {
    "readonly": _WRITABLE,
    "unable to open": _WRITABLE,
    "disk is full": "make room",
    "not a database": "move it away, or name another file",
    "malformed": _BEGIN_ANEW,
}
"""Words of SQLite's -> what to do."""


def _explain(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the directory does not exist; make it"
    if isinstance(error, OSError):
        return f"{error.strerror or error}; {_WRITABLE}"
    told = str(error)
    if isinstance(error, sqlite3.OperationalError) and "locked" in told:
        return "in use by another gcks; stop it, or give this one another data directory"
    remedy = next((what for words, what in _REMEDIES.items() if words in told), None)
    return f"{told}; {remedy}" if remedy else told
