"""Which command has which answer."""

from __future__ import annotations

from typing import Final

from gcks.daemon.control.member_answers import MemberView
from gcks.daemon.control.views import (
    AuditView,
    CensusView,
    DoneView,
    EventsView,
    ExclusionsView,
    ExclusionView,
    FeaturesView,
    GroupsView,
    MembersView,
    PlanView,
    RekeysView,
    SasView,
    SendersView,
    ServerView,
    VersionView,
    View,
)

VIEWS: Final[dict[str, type[View]]] = {
    "server": ServerView, "groups": GroupsView, "members": MembersView, "sas": SasView,
    "rekeys": RekeysView, "senders": SendersView, "exclusions": ExclusionsView,
    "census": CensusView, "features": FeaturesView, "plan": PlanView, "reload": DoneView,
    "rekey": DoneView,
    "exclude": ExclusionView, "readmit": DoneView, "events": EventsView, "version": VersionView,
    "audit": AuditView,
}  # fmt: skip
"""Subject of `show`, or command -> its answer."""

MEMBER_VIEWS: Final[dict[str, type[View]]] = {"status": MemberView, "leave": DoneView}
