"""The SQLite schema.  A change gets a new version and a migration beside it."""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 6

SCHEMA: Final = """
CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    next_sender_id INTEGER NOT NULL DEFAULT 0,
    auth_algorithm TEXT,
    auth_private_key BLOB,
    terms_authentication TEXT,
    terms_mode TEXT,
    terms_sender_id_bits INTEGER,
    terms_key_management TEXT NOT NULL DEFAULT 'simple',
    auth_made_at REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE sas (
    group_name TEXT NOT NULL,
    protocol INTEGER NOT NULL,
    spi BLOB NOT NULL,
    name TEXT NOT NULL,
    policy BLOB NOT NULL,
    keymat BLOB NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    retire_at REAL NOT NULL,
    PRIMARY KEY (group_name, protocol, spi)
) WITHOUT ROWID;
CREATE TABLE reserved_spis (
    group_name TEXT NOT NULL,
    name TEXT NOT NULL,
    protocol INTEGER NOT NULL,
    spi BLOB NOT NULL,
    PRIMARY KEY (group_name, name)
) WITHOUT ROWID;
CREATE TABLE message_ids (
    group_name TEXT NOT NULL,
    spi BLOB NOT NULL,
    next_message_id INTEGER NOT NULL,
    PRIMARY KEY (group_name, spi)
) WITHOUT ROWID;
CREATE TABLE members (
    group_name TEXT NOT NULL,
    identity TEXT NOT NULL,
    address TEXT NOT NULL,
    sender_ids TEXT NOT NULL,
    sag BLOB NOT NULL,
    registered_at REAL NOT NULL,
    reassembles INTEGER NOT NULL DEFAULT 0,
    certificate_ends REAL NOT NULL DEFAULT 9e999,
    certificates BLOB NOT NULL DEFAULT x'',
    leaf INTEGER NOT NULL DEFAULT -1,
    sender INTEGER NOT NULL DEFAULT 0,
    inband INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (group_name, identity)
) WITHOUT ROWID;
CREATE TABLE tree_nodes (
    group_name TEXT NOT NULL,
    height INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (group_name, height, number)
) WITHOUT ROWID;
CREATE TABLE stale_leaves (
    group_name TEXT PRIMARY KEY,
    leaves TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE steps (
    group_name TEXT NOT NULL,
    step TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (group_name, step)
) WITHOUT ROWID;
CREATE TABLE exclusions (
    group_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    excluded_at REAL NOT NULL,
    excluded_by TEXT NOT NULL,
    about TEXT NOT NULL,
    PRIMARY KEY (group_name, kind, name)
) WITHOUT ROWID;
CREATE TABLE rekeys (
    number INTEGER PRIMARY KEY,
    group_name TEXT NOT NULL,
    spi BLOB NOT NULL,
    message_id INTEGER NOT NULL,
    datagrams BLOB NOT NULL,
    sent_at REAL NOT NULL,
    source TEXT NOT NULL,
    source_port INTEGER NOT NULL,
    destination TEXT NOT NULL,
    destination_port INTEGER NOT NULL
);
CREATE TABLE seal (probe BLOB NOT NULL);
"""
"""`keymat`, `auth_private_key` and `probe` are sealed; the probe tells a wrong master key."""

MIGRATIONS: Final = {
    1: "ALTER TABLE members ADD COLUMN reassembles INTEGER NOT NULL DEFAULT 0",
    2: """
ALTER TABLE members ADD COLUMN certificate_ends REAL NOT NULL DEFAULT 9e999;
ALTER TABLE members ADD COLUMN certificates BLOB NOT NULL DEFAULT x'';
ALTER TABLE members ADD COLUMN leaf INTEGER NOT NULL DEFAULT -1;
ALTER TABLE groups ADD COLUMN terms_key_management TEXT NOT NULL DEFAULT 'simple';
ALTER TABLE groups ADD COLUMN auth_made_at REAL NOT NULL DEFAULT 0;
CREATE TABLE tree_nodes (
    group_name TEXT NOT NULL,
    height INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (group_name, height, number)
) WITHOUT ROWID;
CREATE TABLE stale_leaves (
    group_name TEXT PRIMARY KEY,
    leaves TEXT NOT NULL
) WITHOUT ROWID
""",
    3: """
ALTER TABLE groups ADD COLUMN renewal_due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN sender INTEGER NOT NULL DEFAULT 0;
CREATE TABLE exclusions (
    group_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    excluded_at REAL NOT NULL,
    excluded_by TEXT NOT NULL,
    PRIMARY KEY (group_name, kind, name)
) WITHOUT ROWID;
CREATE TABLE rekeys (
    number INTEGER PRIMARY KEY,
    group_name TEXT NOT NULL,
    spi BLOB NOT NULL,
    message_id INTEGER NOT NULL,
    datagrams BLOB NOT NULL,
    sent_at REAL NOT NULL,
    source TEXT NOT NULL,
    source_port INTEGER NOT NULL,
    destination TEXT NOT NULL,
    destination_port INTEGER NOT NULL
);
INSERT INTO rekeys SELECT NULL, name, rekey_spi, rekey_message_id, x'', rekey_sent_at, '', 0, '', 0
    FROM groups WHERE rekey_spi IS NOT NULL;
ALTER TABLE groups DROP COLUMN rekey_spi;
ALTER TABLE groups DROP COLUMN rekey_message_id;
ALTER TABLE groups DROP COLUMN rekey_datagrams;
ALTER TABLE groups DROP COLUMN rekey_sent_at
""",
    4: "ALTER TABLE exclusions ADD COLUMN about TEXT NOT NULL DEFAULT ''",
    5: """
CREATE TABLE steps (
    group_name TEXT NOT NULL,
    step TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (group_name, step)
) WITHOUT ROWID;
INSERT INTO steps SELECT name, 'renew_data', 0 FROM groups WHERE renewal_due;
ALTER TABLE groups DROP COLUMN renewal_due;
ALTER TABLE sas ADD COLUMN retire_at REAL NOT NULL DEFAULT 9e999;
UPDATE sas SET retire_at = expires_at WHERE retired;
ALTER TABLE sas DROP COLUMN retired;
ALTER TABLE members ADD COLUMN inband INTEGER NOT NULL DEFAULT 0
""",
}
"""Version found -> what leads to the next one."""

GROUP_TABLES: Final = (
    "sas", "reserved_spis", "message_ids", "members", "tree_nodes", "stale_leaves",
    "steps", "exclusions", "rekeys",
)  # fmt: skip
