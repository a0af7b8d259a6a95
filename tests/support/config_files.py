"""Configuration files: the published examples, and the smallest that does something."""

from __future__ import annotations

from pathlib import Path

from tests.support.repository import ROOT


def example(name: str) -> str:
    """Return a published example, such as gcks.yaml."""
    return (ROOT / "config" / name).read_text()


def write(directory: Path, text: str) -> Path:
    """Write a configuration whose store is in the same directory; return its path."""
    path = directory / "config.yaml"
    path.write_text(text.replace("/var/lib/gcks/", f"{directory}/"))
    return path


SMALLEST = """
server: {identity: 'fqdn:gcks.test'}
listen: [{address: 192.0.2.1}]
authentication: {psk: [{identity: 'fqdn:*.test', secret: 'file:gm1.psk'}]}
store: {path: gcks.sqlite, master_key: master.key}
groups:
  - id: keyid:a
    members: [{identity: 'fqdn:*.test', send: true}]
    rekey: {address: 239.1.1.1}
    data_sas: [{name: a, destination: 239.1.1.2}]
"""
