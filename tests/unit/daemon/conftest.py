"""A directory with the files that the example configurations refer to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.pem_authority import PemAuthority


@pytest.fixture
def authority(tmp_path: Path) -> PemAuthority:
    return PemAuthority(tmp_path)


@pytest.fixture
def directory(tmp_path: Path, authority: PemAuthority, monkeypatch: pytest.MonkeyPatch) -> Path:
    authority.leaf("server", "gcks.example")
    authority.leaf("member", "gm1.example")
    for name in ("gm1.psk", "branch.psk", "member.psk", "master.key"):
        (tmp_path / name).write_bytes(os.urandom(32))
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path
