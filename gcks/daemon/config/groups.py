"""All groups of gcks.yaml, each by itself and beside the others."""

from __future__ import annotations

from typing import Any, Final

from gcks.daemon.config.group_model import GroupSection
from gcks.daemon.config.group_policy import build_group
from gcks.daemon.config.problems import Findings, KeyPath
from gcks.daemon.config.validation import without_wrong_keys
from gcks.datagrams import Endpoint
from gcks.keyserver.groups.policy import GroupPolicy

_BOUND_BY_DELAYS: Final = ("lifetime", "renew")


def build_groups(content: Any, source: str, findings: Findings) -> dict[str, GroupPolicy]:
    """Return the groups by name; what breaks a rule goes to the findings.

    `source` is the address that rekeys come from unless a group says otherwise.
    """
    groups: dict[str, GroupPolicy] = {}
    rekey_to: dict[Endpoint, str] = {}
    listed = content.get("groups")
    for place, section in enumerate(listed if isinstance(listed, list) else ()):
        policy = _build(section, ("groups", place), source, findings)
        if policy is None:
            continue
        if policy.name in groups:
            reason = f"a second group {policy.name}"
            findings.add(("groups", place, "id"), reason, "give it another ID")
        if policy.rekey is not None:
            destination = policy.rekey.destination
            other = rekey_to.setdefault(destination, policy.name)
            if other != policy.name:
                findings.add(
                    ("groups", place, "rekey", "address"),
                    f"{destination} is the rekey address of {other} too",
                    "give each group its own address or port",
                )
        groups[policy.name] = policy
    return groups


def _build(content: Any, path: KeyPath, source: str, findings: Findings) -> GroupPolicy | None:
    section, wrong = without_wrong_keys(content, GroupSection)
    if section is None:
        return None
    if not wrong:
        return build_group(section, path, source, findings)
    # Its rules are held against what is right, for all problems at once; the policy isn't used.
    guesses = findings.again()
    build_group(section, path, source, guesses)
    findings.entries += [
        finding for finding in guesses.entries if not _depends_on(finding.path[len(path) :], wrong)
    ]
    return None


def _depends_on(place: KeyPath, wrong: list[KeyPath]) -> bool:
    """Tell whether a problem might come from the default in the place of a wrong key."""
    for wrong_path in wrong:
        same_section = place[:-1] == wrong_path[:-1]
        delays = place[-1] in _BOUND_BY_DELAYS and wrong_path[0] != "members"
        sender = place[-1] == "sender" and wrong_path[0] == "members"
        if same_section or delays or sender:
            return True
    return False
