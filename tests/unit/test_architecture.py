"""The structure holds: imports go one way, and the core does no I/O."""

from __future__ import annotations

import ast
import re
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PACKAGE = ROOT / "gcks"

RANK = {
    "iana": 0, "errors": 1, "events": 1, "journal": 1, "datagrams": 1, "change": 1,
    "wire": 2, "crypto": 3, "ike": 4, "group": 5, "keyserver": 6, "member": 6,
    "dataplane": 7, "store": 7, "decode": 7, "daemon": 8, "cli": 9,
}  # fmt: skip
EDGE = {"dataplane", "store", "daemon", "cli"}
BANNED_IN_CORE = {
    "asyncio", "socket", "time", "random", "secrets", "os", "subprocess", "pathlib", "threading",
    "structlog", "pydantic", "prometheus_client", "uvloop", "sqlite3", "yaml", "typer",
}  # fmt: skip
STRANGERS = {("keyserver", "member"), ("member", "keyserver"), ("dataplane", "store"),
             ("store", "dataplane"), ("store", "member"), ("store", "keyserver"),
             ("dataplane", "keyserver"), ("decode", "keyserver"), ("decode", "member"),
             ("decode", "dataplane"), ("decode", "store")}  # fmt: skip
PEER_FACING = {"wire", "crypto", "ike", "group", "keyserver", "member", "decode"}
NO_NOUNS = {"one", "found"}
"""Names of variables that say nothing; what it is says more: `member`, `payload`, `path`."""
NOT_YET_NAMED = {"keyserver/groups/membership.py", "keyserver/groups/registration.py"}
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_POSITIONAL = 6
"""Beyond it nobody sees what is what: names say it."""
GROUPS = "gcks.keyserver.groups."
SHOWN_OF_GROUPS = {
    f"{GROUPS}{name}"
    for name in (
        "policy", "policy.GroupPolicy", "policy.DataSaPolicy", "policy.RekeyPolicy",
        "policy.MemberRule", "policy.SINGLE", "policy.IMPLICIT", "policy.SIGNATURE_ALGORITHM",
        "rules", "rules.check", "rules.MAX_SENDER_ID_BITS", "sa_rules", "sa_rules.MAX_COPIES",
        "policy_change", "policy_change.PolicyChange",
    )
}  # fmt: skip
"""What the daemon may know of groups: what the configuration needs, and what a plan says."""

FILES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def module(request: pytest.FixtureRequest) -> tuple[Path, ast.Module]:
    return request.param, ast.parse(request.param.read_text())


def test_imports_go_left_only(module: tuple[Path, ast.Module]) -> None:
    path, tree = module
    here = layer(path)
    for name in imported_modules(tree):
        parts = name.split(".")
        if parts[0] != "gcks" or len(parts) < 2 or parts[1] not in RANK:
            continue
        there = parts[1]
        assert RANK[there] <= RANK.get(here, 99), f"{here} imports {there}"
        assert (here, there) not in STRANGERS, f"{here} imports {there}"


def test_what_both_roles_share_is_not_in_the_servers_room() -> None:
    """gcks/group is for both roles: gcks/member uses all of it, and nothing of the server's."""
    for path in (PACKAGE / "group").glob("*.py"):
        tree = ast.parse(path.read_text())
        assert not any(name.startswith("gcks.keyserver") for name in imported_modules(tree)), path


def test_the_core_does_no_io(module: tuple[Path, ast.Module]) -> None:
    path, tree = module
    if layer(path) in EDGE:
        return
    used = {name.split(".")[0] for name in imported_modules(tree)}
    assert not used & BANNED_IN_CORE
    opens = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "open"
    ]
    assert not opens


def test_no_assert_where_a_peer_has_influence(module: tuple[Path, ast.Module]) -> None:
    path, tree = module
    if layer(path) in PEER_FACING:
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_files_and_functions_stay_small(module: tuple[Path, ast.Module]) -> None:
    path, tree = module
    assert path.read_text().count("\n") <= MAX_FILE_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION_LINES, node.name


def test_long_records_are_built_by_keyword(module: tuple[Path, ast.Module]) -> None:
    _, tree = module
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not ast.unparse(node.func).endswith(".pack"):
            assert len(node.args) <= MAX_POSITIONAL, f"line {node.lineno}"


def test_no_two_classes_have_one_name() -> None:
    names = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not {name for name, count in names.items() if count > 1}


def test_variables_are_named_by_what_they_are(module: tuple[Path, ast.Module]) -> None:
    path, tree = module
    if str(path.relative_to(PACKAGE)) in NOT_YET_NAMED:
        return
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not names & NO_NOUNS


def test_every_layer_is_ranked() -> None:
    assert {layer(path) for path in FILES} - {"__init__", "__main__"} <= set(RANK)


def test_the_daemon_knows_no_inside_of_a_group() -> None:
    """It makes policies of the configuration; what it shows are records that the engine gives."""
    used: set[str] = set()
    for path in (PACKAGE / "daemon").rglob("*.py"):
        tree = ast.parse(path.read_text())
        used |= {name for name in imported_modules(tree) if name.startswith(GROUPS)}
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        assert not [node for node in nodes if ast.unparse(node).endswith("engine.groups")], path
    assert used == SHOWN_OF_GROUPS


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_documents_draw_these_ranks(page: str) -> None:
    """One step of the picture for each rank; `|` between those that don't know each other."""
    text = (PACKAGE.parent / page).read_text()
    (picture,) = re.findall(r"^```\n(iana <-.*?)^```", text, re.MULTILINE | re.DOTALL)
    steps = [set(re.split(r"[,|\s]+", step.strip())) for step in picture.split("<-")]
    assert steps == [set(names) for _, names in groupby(RANK, RANK.__getitem__)]
    for left, right in re.findall(r"(\w+) \| (\w+)", picture):
        assert {(left, right), (right, left)} <= STRANGERS
