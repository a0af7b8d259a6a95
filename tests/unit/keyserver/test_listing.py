"""What operators can ask of the groups comes as values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gcks.errors import LocalError
from gcks.journal import ExclusionSaved
from gcks.keyserver.commands import Exclude
from gcks.keyserver.groups.exclusions import IDENTITY
from gcks.keyserver.groups.policy import GroupPolicy
from gcks.keyserver.listing import Listing
from gcks.keyserver.status import ConfiguredExclusion
from tests.support.initiator import Server
from tests.support.scene import TREE, Scene
from tests.support.world import group_policy

NOW = 2.0
CONFIGURED = replace(group_policy("other", number=9), excluded=("fqdn:x*",))


@pytest.fixture
def server() -> Server:
    return Server([group_policy(), CONFIGURED])


@pytest.fixture
def listing(server: Server) -> Listing:
    return server.engine.listing(NOW)


def test_a_group_that_is_not_there_is_named_with_those_that_are(listing: Listing) -> None:
    with pytest.raises(LocalError, match="no group keyid:nope; there is keyid:demo, keyid:other"):
        listing.sas("keyid:nope", 0, 10)
    with pytest.raises(LocalError, match="no group keyid:nope"):
        listing.exclusion_preview("keyid:nope", IDENTITY, ["fqdn:x"])


def test_members_are_those_of_one_group(listing: Listing) -> None:
    with pytest.raises(LocalError, match="say which group: keyid:demo, keyid:other"):
        listing.members(None, None, 0, 10)
    assert listing.members("keyid:other", None, 0, 10).group == "keyid:other"
    assert Server([group_policy()]).engine.listing(NOW).senders(None, None, 0, 10).rows == []


def test_an_exclusion_is_shown_as_it_is_in_the_journal(server: Server) -> None:
    order = Exclude("keyid:demo", IDENTITY, ("fqdn:a",), "uid 0", about="CN=a")
    (entry,) = server.engine.command(order, NOW).journal
    assert isinstance(entry, ExclusionSaved)
    page = server.engine.listing(NOW).exclusions(None, None, 0, 10)
    assert page.rows == [entry, ConfiguredExclusion("keyid:other", "fqdn:x*")]
    matching = server.engine.listing(NOW).exclusions(None, "fqdn:x*", 0, 10)
    assert matching.rows == [ConfiguredExclusion("keyid:other", "fqdn:x*")]


@pytest.mark.parametrize(
    ("policy", "how", "starts_over"),
    [(group_policy(), "without a key tree", True), (TREE, "by the key tree", False)],
)
def test_a_preview_says_how_a_group_would_go_on(
    policy: GroupPolicy, how: str, starts_over: bool
) -> None:
    scene = Scene(policy, members=3)
    listing = scene.world.server.listing(scene.now)
    preview = listing.exclusion_preview("keyid:demo", IDENTITY, ["fqdn:gm1.dev", "fqdn:nobody"])
    assert preview.members == ("fqdn:gm1.dev",) and preview.how.startswith(how)
    assert preview.starts_over is starts_over
    nobody = listing.exclusion_preview("keyid:demo", IDENTITY, ["fqdn:nobody"])
    assert nobody.members == () and nobody.how.startswith("no member is among them")
