"""The embedded store: what it keeps, what it refuses, and that it says why."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcks import journal as j
from gcks.crypto.aead_box import AeadBox
from gcks.errors import LocalError
from gcks.store.schema import SCHEMA_VERSION
from gcks.store.sqlite import SqliteStore
from tests.support.memory_store import StoredGroup, replay

KEY = bytes(range(32))
SECRET = b"a secret that must never touch a disk"
SA = j.SaSaved("keyid:a", 3, b"\1\2\3\4", "data", b"policy", SECRET, 1.5, 2.5)
REKEY_SA = j.SaSaved("keyid:a", 6, b"\5" * 16, "", b"policy", SECRET, 1.5, 2.5)
AUTH = j.AuthKeySaved("keyid:a", "ed25519", SECRET)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gcks.sqlite"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """All that are made from now on; the store's is the only one that the file allows."""
    made: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def keep(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made.append(connect(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", keep)
    return made


@pytest.fixture
def store(path: Path, connections: list[sqlite3.Connection]) -> Iterator[SqliteStore]:
    store = SqliteStore(path, KEY)
    yield store
    store.close()


@pytest.fixture
def database(store: SqliteStore, connections: list[sqlite3.Connection]) -> sqlite3.Connection:
    """What the store writes with."""
    return connections[0]


def reopened(store: SqliteStore, path: Path) -> SqliteStore:
    store.close()
    return SqliteStore(path, KEY)


def change(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


def refusal(path: Path, key: bytes = KEY) -> str:
    with pytest.raises(LocalError) as caught:
        SqliteStore(path, key)
    return str(caught.value)


# --- what it keeps ----------------------------------------------------------------------

GROUPS = st.sampled_from(["keyid:a", "fqdn:b"])
SPIS = st.sampled_from([b"\1\2\3\4", b"\5\6\7\x08", b"\x09" * 16])
OCTETS = st.binary(max_size=40)
TIMES = st.floats(0, 4e9)
HEIGHTS, NUMBERS = st.integers(0, 2), st.integers(0, 5)
ENTRIES: dict[type, st.SearchStrategy[j.JournalEntry]] = {
    j.SaSaved: st.builds(
        j.SaSaved, GROUPS, st.sampled_from([2, 3, 6]), SPIS, st.sampled_from(["", "data"]),
        OCTETS, OCTETS, TIMES, TIMES, TIMES | st.just(inf),
    ),
    j.SaDeleted: st.builds(j.SaDeleted, GROUPS, st.sampled_from([2, 3, 6]), SPIS),
    j.SpisReserved: st.builds(
        j.SpisReserved, GROUPS, st.sampled_from(["", "data"]), st.sampled_from([3, 6]), SPIS
    ),
    j.MessageIdReserved: st.builds(j.MessageIdReserved, GROUPS, SPIS, st.integers(0, 2**32)),
    j.SenderIdsReserved: st.builds(j.SenderIdsReserved, GROUPS, st.integers(0, 2**32)),
    j.RekeyMessageSaved: st.builds(
        j.RekeyMessageSaved, GROUPS, SPIS, st.integers(0, 2**32 - 1),
        st.lists(OCTETS, max_size=3).map(tuple), TIMES,
    ),
    j.AuthKeySaved: st.builds(j.AuthKeySaved, GROUPS, st.just("ed25519"), OCTETS, TIMES),
    j.TermsSaved: st.builds(
        j.TermsSaved, GROUPS, st.just("implicit"), st.just("tunnel"), st.integers(1, 32)
    ),
    j.MemberSaved: st.builds(
        j.MemberSaved, GROUPS, st.sampled_from(["fqdn:x", "fqdn:y"]), st.just("2001:db8::1"),
        st.lists(st.integers(0, 2**32), max_size=3).map(tuple), OCTETS, TIMES,
        reassembles=st.booleans(), certificate_ends=TIMES, certificates=OCTETS,
        leaf=st.integers(-1, 1000), sender=st.booleans(), inband=st.booleans(),
    ),
    j.MemberRemoved: st.builds(j.MemberRemoved, GROUPS, st.sampled_from(["fqdn:x", "fqdn:y"])),
    j.MembersRemoved: st.builds(j.MembersRemoved, GROUPS),
    j.TreeNodesSaved: st.builds(
        j.TreeNodesSaved, GROUPS,
        st.lists(st.tuples(HEIGHTS, NUMBERS, st.integers(1, 2**32 - 1), OCTETS), max_size=3,
                 unique_by=lambda node: node[:2]).map(tuple),
    ),
    j.TreeNodesRemoved: st.builds(
        j.TreeNodesRemoved, GROUPS, st.lists(st.tuples(HEIGHTS, NUMBERS), max_size=3).map(tuple)
    ),
    j.StaleLeavesSaved: st.builds(
        j.StaleLeavesSaved, GROUPS, st.lists(NUMBERS, max_size=3).map(tuple)
    ),
    j.ExclusionSaved: st.builds(
        j.ExclusionSaved, GROUPS, st.sampled_from(["identity", "certificate"]),
        st.sampled_from(["fqdn:x", "fqdn:*"]), TIMES, st.just("uid 0"),
        st.sampled_from(["", "CN=x"]),
    ),
    j.ExclusionLifted: st.builds(
        j.ExclusionLifted, GROUPS, st.sampled_from(["identity", "certificate"]),
        st.sampled_from(["fqdn:x", "fqdn:*"]),
    ),
    j.StepPlanned: st.builds(
        j.StepPlanned, GROUPS, st.sampled_from(["shut_out", "renew_sa a"]), TIMES | st.just(inf)
    ),
    j.GroupRemoved: st.builds(j.GroupRemoved, GROUPS),
}  # fmt: skip
JOURNALS = st.lists(st.one_of(*ENTRIES.values()), max_size=30)


@settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
@given(entries=st.tuples(*ENTRIES.values()))
def test_every_journal_entry_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, entries: tuple[j.JournalEntry, ...]
) -> None:
    assert set(map(type, entries)) == set(typing.get_args(j.JournalEntry))
    store = SqliteStore(tmp_path_factory.mktemp("store") / "gcks.sqlite", KEY)
    store.apply(entries)
    store.close()


def sorted_parts(groups: tuple[StoredGroup, ...]) -> dict[str, StoredGroup]:
    """Without an order where none is promised; without groups of which nothing is left."""
    found = {}
    for group in groups:
        ordered = replace(
            group,
            sas=tuple(sorted(group.sas, key=lambda sa: (sa.protocol, sa.spi))),
            reserved_spis=tuple(sorted(group.reserved_spis, key=lambda r: r.name)),
            next_message_ids=tuple(sorted(group.next_message_ids, key=lambda r: r.spi)),
            members=tuple(sorted(group.members, key=lambda m: m.identity)),
            tree=tuple(sorted(group.tree)),
            exclusions=tuple(sorted(group.exclusions, key=lambda one: (one.kind, one.name))),
        )
        if ordered.sas:
            found[group.group] = ordered
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(journal=JOURNALS, cuts=st.lists(st.integers(1, 5), max_size=10))
def test_any_journal_comes_back_as_it_was_told(
    tmp_path_factory: pytest.TempPathFactory, journal: list[j.JournalEntry], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("store") / "gcks.sqlite"
    store, rest = SqliteStore(path, KEY), journal
    for cut in cuts:
        store.apply(rest[:cut])
        rest = rest[cut:]
    store.apply(rest)
    store = reopened(store, path)
    assert sorted_parts(replay(store.load())) == sorted_parts(replay(journal))
    for group in replay(journal):
        one = replay(store.load_group(group.group))
        assert sorted_parts(one) == sorted_parts((group,))
    store.close()


def left(store: SqliteStore, *entries: j.JournalEntry) -> StoredGroup:
    """Apply entries, and return what is left of their group."""
    store.apply(entries)
    (group,) = replay(store.load())
    return group


def test_an_sa_that_is_deleted_takes_its_message_ids_along(store: SqliteStore) -> None:
    """The SPI may be drawn again; its Message IDs begin at 0 then."""
    reserved = j.MessageIdReserved(REKEY_SA.group, REKEY_SA.spi, 7)
    other = j.MessageIdReserved(REKEY_SA.group, b"\6" * 16, 9)
    gone = j.SaDeleted(REKEY_SA.group, REKEY_SA.protocol, REKEY_SA.spi)
    group = left(store, SA, REKEY_SA, reserved, other, gone)
    assert group.next_message_ids == (other,)


def test_members_that_are_removed_leave_no_stale_leaves(store: SqliteStore) -> None:
    """The tree is empty: these leaves will be others' soon."""
    stale = j.StaleLeavesSaved("keyid:a", (1, 2))
    assert left(store, SA, stale).stale_leaves == (1, 2)
    assert left(store, j.MembersRemoved("keyid:a")).stale_leaves == ()


def test_messages_come_back_in_the_order_in_which_they_were_made(store: SqliteStore) -> None:
    """The oldest one tells how old what is repeated is."""
    messages = [
        j.RekeyMessageSaved("keyid:a", REKEY_SA.spi, number, (b"octets",), 100.0 - number)
        for number in (3, 1, 2)
    ]
    assert [m.message_id for m in left(store, SA, *messages).rekeys] == [3, 1, 2]


def test_a_hundred_thousand_members_load_within_seconds(store: SqliteStore, path: Path) -> None:
    members = [
        j.MemberSaved("keyid:a", f"fqdn:gm{n}.test", "192.0.2.1", (n,), b"", 1.0)
        for n in range(100_000)
    ]
    store.apply([SA, *members])
    (group,) = replay(reopened(store, path).load())
    assert len(group.members) == 100_000
    assert path.stat().st_size < 100_000 * 150


def test_a_batch_is_applied_as_a_whole_or_not_at_all(store: SqliteStore, path: Path) -> None:
    store.apply([SA])
    wrong = j.SenderIdsReserved("keyid:a", 1 << 70)  # more than SQLite holds
    with pytest.raises((LocalError, OverflowError)):
        store.apply([AUTH, REKEY_SA, wrong])
    store.apply([j.SenderIdsReserved("keyid:a", 7)])
    (group,) = replay(reopened(store, path).load())
    assert (group.sas, group.auth_key, group.next_sender_id) == ((SA,), None, 7)


def test_what_is_applied_survives_the_process(path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from gcks import journal as j\n"
        "from gcks.store.sqlite import SqliteStore\n"
        f"store = SqliteStore(Path({str(path)!r}), {KEY!r})\n"
        "store.apply([j.SaSaved('keyid:a', 3, b'abcd', 'x', b'p', b'k', 1.0, 2.0)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == -9
    (group,) = replay(SqliteStore(path, KEY).load())
    assert group.sas[0].spi == b"abcd"


def test_it_is_fully_synchronous(database: sqlite3.Connection) -> None:
    """Nothing may leave before it would survive a power failure."""
    pragmas = {
        name: database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive"}


# --- secrets ----------------------------------------------------------------------------


def test_no_secret_touches_the_disk(store: SqliteStore, path: Path) -> None:
    store.apply([SA, REKEY_SA, AUTH])
    on_disk = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"keyid:a" in on_disk
    assert SECRET not in on_disk
    store.close()
    assert SECRET not in path.read_bytes()


def test_another_master_key_is_refused_at_once(store: SqliteStore, path: Path) -> None:
    store.close()
    assert "sealed with another master key" in refusal(path, bytes(32))


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE sas SET keymat = (SELECT auth_private_key FROM groups) WHERE protocol = 3",
        "UPDATE sas SET keymat = (SELECT keymat FROM sas WHERE protocol = 6) WHERE protocol = 3",
        "UPDATE sas SET spi = x'00000001' WHERE protocol = 3",
        "UPDATE sas SET protocol = 2 WHERE protocol = 3",
        "UPDATE sas SET group_name = 'keyid:b' WHERE protocol = 3",
        "UPDATE groups SET auth_private_key = (SELECT keymat FROM sas WHERE protocol = 3)",
        "UPDATE groups SET auth_private_key = (SELECT probe FROM seal)",
        "UPDATE sas SET keymat = x''",
    ],
)
def test_sealed_rows_can_not_be_swapped(store: SqliteStore, path: Path, swap: str) -> None:
    store.apply([SA, REKEY_SA, AUTH])
    store.close()
    change(path, swap)
    with pytest.raises(LocalError, match="move it away"):
        list(SqliteStore(path, KEY).load())


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_owner_reads_it(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = SqliteStore(path, KEY)
        store.apply([SA])
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_a_readable_file_is_closed_to_others(store: SqliteStore, path: Path) -> None:
    store.close()
    path.chmod(0o644)
    SqliteStore(path, KEY).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- refusals ---------------------------------------------------------------------------


def test_two_servers_can_not_share_a_file(store: SqliteStore, path: Path) -> None:
    program = (
        "from pathlib import Path; from gcks.store.sqlite import SqliteStore\n"
        f"SqliteStore(Path({str(path)!r}), {KEY!r})\n"
    )
    for attempt in range(2):  # the first refusal must not have freed the lock
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
        )
        assert "in use by another gcks" in done.stderr, attempt
    assert "in use by another gcks" in refusal(path)
    store.apply([SA])


def test_a_refusal_leaves_the_file_free(store: SqliteStore, path: Path) -> None:
    store.close()
    refusal(path, bytes(32))
    SqliteStore(path, KEY).close()


def test_a_file_of_the_first_schema_is_brought_up_to_date(path: Path) -> None:
    """As the first version made it (schema_1.sql), filled by hand."""
    box = AeadBox(KEY, os.urandom)
    sa = j.SaSaved("keyid:a", 3, b"spi1", "one", b"policy", b"k" * 36, 1.0, 2.0)
    keymat = box.seal(sa.keymat, b"sas.keymat/keyid:a/3/" + sa.spi.hex().encode())
    with sqlite3.connect(path) as db:
        db.executescript((Path(__file__).parent / "schema_1.sql").read_text())
        db.execute("INSERT INTO seal VALUES (?)", (box.seal(b"gcks", b"seal.probe"),))
        db.execute(
            "INSERT INTO groups VALUES"
            " ('keyid:a', 5, NULL, NULL, 'implicit', 'tunnel', 16, x'0102', 3, x'00', 1.5)"
        )
        row = ("keyid:a", 3, b"spi1", "one", b"policy", keymat, 1.0, 2.0, 0)
        db.execute("INSERT INTO sas VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO members VALUES ('keyid:a', 'fqdn:x', '192.0.2.1', '4', x'', 1.0)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    again = SqliteStore(path, KEY)
    (group,) = replay(again.load())
    member = j.MemberSaved("keyid:a", "fqdn:x", "192.0.2.1", (4,), b"", 1.0)
    last = j.RekeyMessageSaved("keyid:a", b"\1\2", 3, (), 1.5)
    assert (group.sas, group.members, group.rekeys) == ((sa,), (member,), (last,))
    assert (group.next_sender_id, group.terms) == (
        5, j.TermsSaved("keyid:a", "implicit", "tunnel", 16)
    )  # fmt: skip
    full = member._replace(reassembles=True, certificate_ends=9.0, leaf=7, sender=True)
    out = j.ExclusionSaved("keyid:a", "certificate", "00", 2.0, "uid 0", "CN=x")
    again.apply([full, AUTH, REKEY_SA, j.StepPlanned("keyid:a", "shut_out", 3.0), out])
    (group,) = replay(reopened(again, path).load())
    assert group.exclusions == (out,)
    assert (group.members, group.auth_key) == ((full,), AUTH)
    assert group.steps == {"shut_out": 3.0}


def test_a_newer_schema_is_refused(store: SqliteStore, path: Path) -> None:
    store.close()
    change(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    assert "written by a newer gcks" in refusal(path)


def test_a_kill_while_the_file_is_made_does_no_harm(path: Path) -> None:
    path.touch()
    SqliteStore(path, KEY).close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM seal").fetchone() == (1,)


def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    path.write_text("this is no database, and long enough that SQLite looks at it " * 20)
    assert refusal(path) == f"{path}: file is not a database; move it away, or name another file"
    assert path.read_text().startswith("this is no database")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "gcks.sqlite"
    assert refusal(path) == f"{path}: the directory does not exist; make it"


def test_a_directory_where_everybody_writes_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    assert "everybody can replace files there" in refusal(path)
    assert not path.exists()


def test_a_directory_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir()
    assert str(path) in refusal(path)


def test_a_full_disk_is_one_clear_error(database: sqlite3.Connection, store: SqliteStore) -> None:
    store.apply([SA])
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LocalError, match="database or disk is full"):
        store.apply([replace(SA, spi=n.to_bytes(4, "big"), policy=bytes(4000)) for n in range(99)])
