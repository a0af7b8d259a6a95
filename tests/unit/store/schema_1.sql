CREATE TABLE groups (
    name TEXT PRIMARY KEY,
    next_sender_id INTEGER NOT NULL DEFAULT 0,
    auth_algorithm TEXT,
    auth_private_key BLOB,
    terms_authentication TEXT,
    terms_mode TEXT,
    terms_sender_id_bits INTEGER,
    rekey_spi BLOB,
    rekey_message_id INTEGER,
    rekey_datagrams BLOB,
    rekey_sent_at REAL
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
    retired INTEGER NOT NULL,
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
    PRIMARY KEY (group_name, identity)
) WITHOUT ROWID;
CREATE TABLE seal (probe BLOB NOT NULL);
