"""Configuration files: the examples load, hold every key, and tell the truth about defaults.

Shows gcks/daemon/config/server_file.py and gcks/daemon/config/member_file.py.
"""

# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from gcks.daemon.config.member_file import load_member
from gcks.daemon.config.member_model import MemberFile
from gcks.daemon.config.server_file import load_server
from gcks.daemon.config.server_model import ServerFile
from gcks.datagrams import Endpoint
from gcks.keyserver.groups.policy import SINGLE
from gcks.member.data_plane import Feature
from gcks.member.settings import OwnAuthentication
from tests.support.config_files import SMALLEST, example, write
from tests.support.config_models import keys_of, sections
from tests.support.repository import ROOT


def keys_in(content: Any) -> set[tuple[str, ...]]:
    if isinstance(content, list):
        return set().union(*map(keys_in, content)) if content else set()
    if not isinstance(content, dict):
        return set()
    below = {(name, *rest) for name, value in content.items() for rest in keys_in(value)}
    return {(name,) for name in content} | below


def test_the_server_example_loads(directory: Path) -> None:
    config = load_server(write(directory, example("gcks.yaml")))
    group = config.groups["keyid:video"]
    assert [sa.name for sa in group.data_sas] == ["stream", "control", "cameras/fqdn:gm1.example"]
    assert group.data_sas[2].senders == SINGLE
    assert group.data_sas[2].source.single_address == "192.0.2.11"
    assert config.listeners[0].ike == (500, 848)
    assert config.metrics is not None
    assert config.metrics.port == 9848


def test_the_member_example_loads(directory: Path) -> None:
    config = load_member(write(directory, example("member.yaml")))
    assert str(config.settings.identity) == "fqdn:gm1.example"
    assert config.data_plane.kind == "xfrm"


@pytest.mark.parametrize(("text", "seconds"), [("auto", None), ("30s", 30.0), ("0s", 0.0)])
def test_the_jitter_is_automatic_or_a_time(
    directory: Path, text: str, seconds: float | None
) -> None:
    given = example("member.yaml").replace("reregister_jitter: auto", f"reregister_jitter: {text}")
    config = load_member(write(directory, given))
    assert config.settings.reregister_jitter_seconds == seconds


def test_members_and_server_use_the_ports_of_ikev2_unless_told_otherwise(directory: Path) -> None:
    """RFC 9838 section 2.1.1: G-IKEv2 SHOULD use the IKEv2 ports 500 and 4500; 848 is a MAY."""
    member = load_member(write(directory, example("member.yaml"))).settings
    assert (member.server.port, member.natt_port) == (500, 4500)
    (listener, *_) = load_server(write(directory, example("gcks.yaml"))).listeners
    assert 500 in listener.ike and 4500 in listener.natt


def pairs(section: str) -> set[tuple[str, ...]]:
    """The keys of an entry of `certificates`, told in a comment only."""
    return {(section, "certificates", key) for key in ("certificate", "key", "ocsp")}


RAW_KEY = {("authentication", "raw_public_keys", key) for key in ("identity", "key")}


@pytest.mark.parametrize(
    ("name", "model", "commented"),
    [
        ("gcks.yaml", ServerFile, {*pairs("server"), *RAW_KEY}),
        (
            "member.yaml",
            MemberFile,
            {
                ("authentication", "certificate"),
                ("authentication", "key"),
                *pairs("authentication"),
            },
        ),
    ],
)
def test_the_examples_hold_every_key(
    name: str, model: type[BaseModel], commented: set[tuple[str, ...]]
) -> None:
    assert keys_of(model) - keys_in(yaml.safe_load(example(name))) == commented


@pytest.mark.parametrize(
    ("name", "model"), [("gcks.yaml", ServerFile), ("member.yaml", MemberFile)]
)
def test_the_values_called_default_are_the_defaults(name: str, model: type[BaseModel]) -> None:
    """A line `key: value  # default` (or `# default; ...`) says what leaving it out means."""
    wrong = [
        (path, value, default)
        for path, value, default in defaults_told(example(name), model)
        if value != default
    ]
    assert wrong == []


def defaults_told(text: str, model: type[BaseModel]) -> list[tuple[str, Any, Any]]:
    lines, loader = text.splitlines(), yaml.SafeLoader(text)
    told = []
    for path, node in values_of(loader.get_single_node()):
        comment = lines[node.start_mark.line].partition("  # ")[2]
        if re.match("default(;|,|$)", comment):
            field = section_at(model, path[:-1]).model_fields[path[-1]]
            value = loader.construct_object(node, deep=True)
            read = TypeAdapter(
                Annotated[(field.annotation, None, *field.metadata)]
            ).validate_python(value)
            told.append((".".join(path), str(read), str(field.default)))
    assert len(told) > 20
    return told


def values_of(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value that isn't a section or a list of sections."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from values_of(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode) and holds_sections(node):
        for value in node.value:
            yield from values_of(value, path)
    else:
        yield path, node


def holds_sections(node: yaml.SequenceNode) -> bool:
    return any(isinstance(value, yaml.MappingNode) for value in node.value)


def section_at(model: type[BaseModel], path: tuple[str, ...]) -> type[BaseModel]:
    for part in path:
        model = sections(model.model_fields[part].annotation)[0]
    return model


def test_a_configuration_of_ten_lines_is_enough(directory: Path) -> None:
    config = load_server(write(directory, SMALLEST))
    rekey = config.groups["keyid:a"].rekey
    assert rekey is not None
    assert rekey.source == Endpoint("192.0.2.1", 848)
    assert config.metrics is None
    assert config.store_path == directory / "gcks.sqlite"
    assert "secret" not in repr(config.credentials)
    assert config.master_key.hex() not in repr(config)


def test_the_least_that_works_works(directory: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    first, second = re.findall(r"```yaml\n(.*?)```", text, re.S)
    (directory / "psk").write_bytes(bytes(32))
    (directory / "psk").chmod(0o600)
    server = load_server(write(directory, first))
    member = load_member(write(directory, second))
    assert member.settings.server_identity == server.settings.identity
    assert {str(group.id) for group in member.settings.groups} == set(server.groups)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("7d", 604800), ("1w", 604800)],
)
def test_durations_have_units(directory: Path, text: str, seconds: int) -> None:
    wider = SMALLEST.replace("destination: 239.1.1.2", f"destination: 239.1.1.2, lifetime: {text}")
    assert load_server(write(directory, wider)).groups["keyid:a"].data_sas[0].lifetime_seconds == (
        seconds
    )


def test_a_secret_may_be_hexadecimal_in_a_private_file(directory: Path) -> None:
    path = write(directory, SMALLEST.replace("file:gm1.psk", f"hex:{'ab' * 16}"))
    path.chmod(0o600)
    key = load_server(path).credentials.find_psk("fqdn:x.test")
    assert key is not None
    assert key.secret == b"\xab" * 16


def test_each_of_gives_every_sender_its_own_sa(directory: Path) -> None:
    each = "each_of: [{identity: 'fqdn:a.test', address: 192.0.2.5}, {identity: 'fqdn:b.test', address: 192.0.2.6}]"
    text = SMALLEST.replace("destination: 239.1.1.2", f"destination: 239.1.1.2, {each}")
    sas = load_server(write(directory, text)).groups["keyid:a"].data_sas
    assert [(sa.name, sa.sender, sa.source.single_address) for sa in sas] == [
        ("a/fqdn:a.test", "fqdn:a.test", "192.0.2.5"),
        ("a/fqdn:b.test", "fqdn:b.test", "192.0.2.6"),
    ]


def test_how_sas_are_used_is_the_groups_and_their_labels(directory: Path) -> None:
    """RFC 9838 section 6.3, RFC 9478; `each_of` gives the label to every SA."""
    each = "each_of: [{identity: 'fqdn:a.test', address: 192.0.2.5}], security_label: 's0:c7'"
    text = SMALLEST.replace("destination: 239.1.1.2", f"destination: 239.1.1.2, {each}")
    for option in ("aggfrag: true", "ipcomp: deflate"):
        loaded = load_server(write(directory, f"{text}    {option}\n")).groups["keyid:a"]
        assert (loaded.aggfrag, loaded.ipcomp) == (
            (True, None) if "aggfrag" in option else (False, "deflate")
        )
        assert [sa.security_label for sa in loaded.data_sas] == ["s0:c7"]


@pytest.mark.parametrize(
    ("plane", "features"),
    [
        (
            "{kind: exec, command: [hook], features: [seclabel, ipcomp]}",
            {Feature.SECLABEL, Feature.IPCOMP},
        ),
        ("{kind: exec, command: [hook]}", set()),
        ("{kind: xfrm}", set()),
        ("{kind: none}", set(Feature)),
    ],
)
def test_the_ceiling_knows_what_the_data_plane_can_do(
    directory: Path, plane: str, features: set[Feature]
) -> None:
    text = example("member.yaml").partition("data_plane:")[0] + f"data_plane: {plane}\n"
    assert load_member(write(directory, text)).ceiling.features == features


def test_a_member_with_a_certificate_loads(directory: Path) -> None:
    text = (
        example("member.yaml")
        .replace("  psk: file:${CREDENTIALS_DIRECTORY}/member.psk\n", "")
        .replace("  # ce", "  ce")
    )
    text = text.replace("  # key:", "  key:").replace(
        "trust_anchors: []", "trust_anchors: [ca.pem]"
    )
    config = load_member(write(directory, text))
    assert config.settings.authentication is OwnAuthentication.CERTIFICATE
    assert config.credentials.own is not None
    assert config.credentials.trust is not None
