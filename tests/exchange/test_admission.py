"""Floods step by step: open, cookies, puzzles, rates (RFC 7296 section 2.6, RFC 8019).

Shows gcks/keyserver/admission.py, gcks/ike/cookie.py and gcks/ike/puzzle.py.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from gcks.errors import DropReason
from gcks.events import CookieRequired, IkeSaInitAnswered, PuzzleRequired, RegistrationRefused
from gcks.iana import Encr, ExchangeType, Integ, Ke, NotifyType, Prf, TransformType
from gcks.ike.puzzle import PuzzleSolver
from gcks.keyserver.admission import UNSOLVED_PER_SECOND
from gcks.keyserver.admission_steps import HOLD_SECONDS, Step
from gcks.keyserver.rates import BURST_SECONDS
from gcks.keyserver.settings import ServerSettings
from gcks.wire.notify import Notify
from gcks.wire.puzzle import Puzzle, PuzzleSolution, decode_puzzle
from gcks.wire.sa import Proposal, SecurityAssociation
from gcks.wire.transform import Transform
from tests.support.initiator import DEMO, Initiator, Server, dropped, notifies, only
from tests.support.network import Weather
from tests.support.plain import decode_plain
from tests.support.world import DEFAULT_IKE_PROPOSALS, SERVER_SETTINGS, World, state

EASY = 6
"""Zero bits: some hundred computations."""
LOW = replace(
    SERVER_SETTINGS,
    cookie_threshold=4,
    puzzle_threshold=8,
    puzzle_difficulty=EASY,
    cookie_threshold_per_prefix=1000,
)
ALWAYS = replace(LOW, cookie_threshold=0, puzzle_threshold=0)


def far(number: int) -> Initiator:
    """Return a peer in a network of its own."""
    return Initiator(host=f"10.{number // 250}.{number % 250}.1")


def asked(server: Server, peer: Initiator, request: bytes) -> tuple[bytes, Puzzle | None]:
    """Return the cookie and the puzzle that a request leads to."""
    answer = server.answer(request, peer)
    assert len(answer) < len(request), "amplification factor below 1"
    _, payloads = decode_plain(answer)
    found = {one.type: one.data for one in payloads if isinstance(one, Notify)}
    puzzle = found.get(NotifyType.PUZZLE)
    return found.get(NotifyType.COOKIE, b""), decode_puzzle(puzzle) if puzzle else None


def begin(server: Server, peer: Initiator) -> Step:
    """Do what the server asks for; return how far it went."""
    step, cookie, solution = Step.OPEN, b"", None
    for _ in range(4):
        payloads = peer.init_payloads()
        if solution is not None:
            payloads.insert(0, PuzzleSolution(solution))
        request = peer.init(cookie=cookie, payloads=payloads)
        outcome = server.receive(request, peer)
        if any(isinstance(event, IkeSaInitAnswered) for event in outcome.events):
            peer.accept(outcome.transmits[0].octets)
            return step
        cookie, puzzle = asked(server, peer, request)
        step = Step.PUZZLE if puzzle else Step.COOKIE
        solution = solve(puzzle, cookie) if puzzle else None
    raise AssertionError("never let in")


def solve(puzzle: Puzzle, cookie: bytes) -> bytes:
    solver = PuzzleSolver(puzzle, cookie, os.urandom)
    while (found := solver.work(1000)) is None:
        pass
    return found


# --- up and down ------------------------------------------------------------------------


def test_each_step_is_taken_at_its_threshold() -> None:
    server = Server(settings=LOW)
    steps = [begin(server, far(number)) for number in range(10)]
    assert steps == [Step.OPEN] * 4 + [Step.COOKIE] * 4 + [Step.PUZZLE] * 2
    status = server.engine.status(server.now)
    assert status.step == Step.PUZZLE
    assert status.admission["puzzles_solved"] == 2


def test_a_difficulty_of_zero_turns_puzzles_off() -> None:
    server = Server(settings=replace(LOW, puzzle_difficulty=0))
    assert {begin(server, far(number)) for number in range(20)} == {Step.OPEN, Step.COOKIE}


def test_a_crowded_network_is_set_puzzles_and_others_are_not() -> None:
    settings = replace(SERVER_SETTINGS, puzzle_threshold_per_prefix=3, puzzle_difficulty=EASY)
    server = Server(settings=settings)
    steps = [begin(server, Initiator(host=f"10.0.0.{n + 1}")) for n in range(5)]
    assert steps == [Step.OPEN] * 3 + [Step.PUZZLE] * 2
    assert begin(server, far(1)) is Step.OPEN


def test_a_step_is_left_at_half_the_load() -> None:
    """Else a flood that cookies keep out would switch them on and off."""
    server = Server(settings=replace(LOW, cookie_threshold=20, puzzle_difficulty=0))
    peers = [far(number) for number in range(21)]
    for peer in peers:
        begin(server, peer)
    for left, cookies in ((20, True), (10, True), (9, False), (8, False)):
        while server.engine.ike_sas.half_open > left:
            peer = peers.pop()
            server.receive(peer.auth(), peer)
        probe = far(100 + left)
        _, payloads = decode_plain(server.answer(probe.init(), probe))
        assert (NotifyType.COOKIE in notifies(payloads)) is cookies


def test_a_flood_that_never_returns_cookies_keeps_them_on() -> None:
    server = Server(settings=LOW)
    for number in range(4):
        begin(server, far(number))
    for number in range(100):
        peer = far(1000 + number)
        server.answer(peer.init(), peer)
    server.wait(LOW.half_open_seconds + 1)
    assert server.engine.ike_sas.half_open == 0
    assert begin(server, far(2000)) is Step.COOKIE
    server.wait(2 * HOLD_SECONDS)
    assert begin(server, far(2001)) is Step.OPEN


# --- puzzles ----------------------------------------------------------------------------


def test_a_solution_lets_in_and_a_wrong_one_doesn_t() -> None:
    """RFC 8019 section 7.1.4."""
    server, peer = Server(settings=ALWAYS), Initiator()
    cookie, puzzle = asked(server, peer, peer.init())
    assert puzzle == Puzzle(Prf.HMAC_SHA2_256, EASY)
    wrong = [PuzzleSolution(bytes(range(32))), *peer.init_payloads()]
    outcome = server.receive(peer.init(cookie=cookie, payloads=wrong), peer)
    assert dropped(outcome) is DropReason.LIMIT
    right = [PuzzleSolution(solve(puzzle, cookie)), *peer.init_payloads()]
    peer.accept(server.answer(peer.init(cookie=cookie, payloads=right), peer))
    counts = server.engine.status(0.0).admission
    assert (counts["puzzles_wrong"], counts["puzzles_solved"]) == (1, 1)


def test_a_solution_is_worth_nothing_elsewhere() -> None:
    server, peer, other = Server(settings=ALWAYS), Initiator(), Initiator(host="10.9.9.9")
    cookie, puzzle = asked(server, peer, peer.init())
    assert puzzle is not None
    solution = [PuzzleSolution(solve(puzzle, cookie)), *other.init_payloads()]
    again, _ = asked(server, other, other.init(cookie=cookie, payloads=solution))
    assert again not in (b"", cookie)


def test_an_easier_cookie_from_before_doesn_t_do() -> None:
    server, peer = Server(settings=LOW), far(77)
    for number in range(4):
        begin(server, far(number))
    cookie, puzzle = asked(server, peer, peer.init())
    assert cookie and puzzle is None
    for number in range(4, 8):
        begin(server, far(number))
    _, puzzle = asked(server, peer, peer.init(cookie=cookie))
    assert puzzle is not None


def test_peers_without_puzzles_get_a_little() -> None:
    """RFC 8019 section 7.1: some fraction goes to those that don't know puzzles."""
    server = Server(settings=ALWAYS)
    let_in = 0
    for number in range(200):
        peer = far(number)
        cookie, _ = asked(server, peer, peer.init())
        let_in += bool(server.receive(peer.init(cookie=cookie), peer).transmits)
    assert let_in == UNSOLVED_PER_SECOND * BURST_SECONDS
    server.now += 1.0
    peer = far(500)
    cookie, _ = asked(server, peer, peer.init())
    assert server.receive(peer.init(cookie=cookie), peer).transmits


def test_the_puzzle_s_prf_is_one_that_the_peer_offers() -> None:
    """RFC 8019 section 7.1.1.2."""
    only_512 = SecurityAssociation(
        tuple(
            replace(
                proposal,
                transforms=tuple(
                    t
                    for t in proposal.transforms
                    if t.type != TransformType.PRF or t.id == Prf.HMAC_SHA2_512
                ),
            )
            for proposal in DEFAULT_IKE_PROPOSALS.proposals
        )
    )
    server, peer = Server(settings=ALWAYS), Initiator(offer=only_512)
    _, puzzle = asked(server, peer, peer.init())
    assert puzzle == Puzzle(Prf.HMAC_SHA2_512, EASY)


def test_a_solution_that_nobody_asked_for_is_ignored() -> None:
    server, peer = Server(), Initiator()
    payloads = [PuzzleSolution(bytes(32)), *peer.init_payloads()]
    peer.accept(server.answer(peer.init(payloads=payloads), peer))


# --- members ----------------------------------------------------------------------------


def world(settings: ServerSettings) -> World:
    return World(settings=settings)


def test_a_member_works_for_its_registration() -> None:
    """RFC 8019 section 7.1.2; INVALID_KE_PAYLOAD after it needs no second puzzle."""
    scene = world(ALWAYS)
    member = scene.member("gm1")
    scene.run(5.0)
    assert state(member) == "registered"
    assert scene.network.server is not None
    assert len(scene.network.server.all(PuzzleRequired)) == 1


def test_a_puzzle_beyond_the_member_s_limit_is_left() -> None:
    """It goes on with the cookie alone, and is let in as one of the few."""
    scene = world(replace(ALWAYS, puzzle_difficulty=20))
    member = scene.member("gm1", max_puzzle_difficulty=10)
    scene.run(5.0)
    assert state(member) == "registered"
    assert scene.server.status(5.0).admission["puzzles_solved"] == 0


def test_a_member_behind_cookies_and_another_key_exchange_registers() -> None:
    """COOKIE, puzzle and INVALID_KE_PAYLOAD in one attempt (RFC 7296 section 2.6.1)."""
    first = DEFAULT_IKE_PROPOSALS.proposals[0]
    others = tuple(t for t in first.transforms if t.type != TransformType.KE)
    ecp = Transform(TransformType.KE, Ke.ECP_256)
    accepted = SecurityAssociation((replace(first, transforms=(*others, ecp)),))
    scene = world(replace(ALWAYS, ike_proposals=accepted))
    member = scene.member("gm1")
    scene.run(5.0)
    assert state(member) == "registered"


@pytest.mark.parametrize("seed", range(10))
def test_bad_weather_with_puzzles(seed: int) -> None:
    weather = Weather(loss=0.2, duplication=0.2, most_delay=0.5)
    scene = World(seed=seed, weather=weather, settings=ALWAYS)
    members = [scene.member(f"gm{number}") for number in range(5)]
    scene.run(300.0)
    assert [state(member) for member in members] == ["registered"] * 5


# --- rates ------------------------------------------------------------------------------


def test_one_address_may_begin_so_many_and_then_waits() -> None:
    """Many members behind one address start together; a flood from it is held to a rate."""
    settings = replace(SERVER_SETTINGS, rate_per_address=2.0, cookie_threshold_per_prefix=10_000)
    server = Server(settings=settings)
    burst = int(2.0 * BURST_SECONDS)
    assert {begin(server, Initiator(port=2000 + n)) for n in range(burst)} == {Step.OPEN}
    late = Initiator(port=9000)
    cookie, _ = asked(server, late, late.init())
    assert cookie, "first it must show that the address is its own"
    assert dropped(server.receive(late.init(cookie=cookie), late)) is DropReason.LIMIT
    assert server.engine.status(0.0).admission["over_rate"] == 1
    assert begin(server, far(1)) is Step.OPEN, "others are not hurt"
    server.now += 1.0
    late.accept(server.answer(late.init(cookie=cookie), late))


def test_an_ipv6_host_counts_with_its_whole_64() -> None:
    settings = replace(SERVER_SETTINGS, rate_per_address=0.1)
    server = Server(settings=settings)
    assert begin(server, Initiator(host="2001:db8::1")) is Step.OPEN
    neighbour = Initiator(host="2001:db8::2")
    assert asked(server, neighbour, neighbour.init())[0]
    assert begin(server, Initiator(host="2001:db8:0:1::1")) is Step.OPEN


def test_one_identity_may_register_so_often() -> None:
    """Each registration of a sender takes Sender-IDs, and each costs a signature and a commit."""
    settings = replace(SERVER_SETTINGS, rate_per_identity=0.5)
    server, peer = Server(settings=settings), Initiator()
    peer.register(server)
    answers = [peer.ask(server, ExchangeType.GSA_REGISTRATION, DEMO) for _ in range(6)]
    refused = [notifies(one) == [NotifyType.TEMPORARY_FAILURE] for one in answers]
    assert refused == [False] * 4 + [True] * 2
    server.now += 2.0
    server.engine.handle_timeout(server.now)
    assert notifies(peer.ask(server, ExchangeType.GSA_REGISTRATION, DEMO)) == []
    other = Initiator("gm2", host="10.0.0.2")
    assert notifies(other.register(server)) == []


def test_a_first_registration_counts_too() -> None:
    """RFC 7296 section 2.25: TEMPORARY_FAILURE; the event says why."""
    settings = replace(SERVER_SETTINGS, rate_per_identity=0.1)
    server = Server(settings=settings)
    Initiator().register(server)
    again = Initiator().meet(server)
    event = only(server.receive(again.auth(), again), RegistrationRefused)
    assert isinstance(event, RegistrationRefused)
    assert event.notify == NotifyType.TEMPORARY_FAILURE
    assert "too many requests of this identity" in event.cause


# --- RFC 9395 ---------------------------------------------------------------------------

RETIRED = [
    *((TransformType.ENCR, number) for number in (1, 2, 3, 4, 5, 6, 7, 8, 9)),
    *((TransformType.PRF, number) for number in (1, 2, 3)),
    *((TransformType.INTEG, number) for number in (1, 2, 3, 4, 6, 7)),
    *((TransformType.KE, number) for number in (1, 2, 5, 22)),
]
"""RFC 9395 section 4, and what RFC 8247 warns of: DES, 3DES, MD5, SHA-1, short groups."""


@pytest.mark.parametrize(("kind", "number"), RETIRED)
def test_retired_algorithms_are_neither_offered_nor_accepted(kind: int, number: int) -> None:
    """RFC 9395 section 4."""
    offered = {(t.type, t.id) for p in DEFAULT_IKE_PROPOSALS.proposals for t in p.transforms}
    assert (kind, number) not in offered
    good = {
        TransformType.ENCR: Transform(TransformType.ENCR, Encr.AES_CBC, 256),
        TransformType.PRF: Transform(TransformType.PRF, Prf.HMAC_SHA2_256),
        TransformType.INTEG: Transform(TransformType.INTEG, Integ.HMAC_SHA2_256_128),
        TransformType.KE: Transform(TransformType.KE, Ke.CURVE25519),
    }
    retired = {**good, TransformType(kind): Transform(kind, number)}
    offer = SecurityAssociation((Proposal(1, 1, b"", tuple(retired.values())),))
    server, peer = Server(), Initiator(offer=offer)
    outcome = server.receive(peer.init(), peer)
    _, payloads = decode_plain(outcome.transmits[0].octets)
    assert notifies(payloads) == [NotifyType.NO_PROPOSAL_CHOSEN]


def test_an_ikev1_peer_learns_the_version_and_no_more() -> None:
    """RFC 9395 section 3: IKEv1 is gone; RFC 7296 section 2.5."""
    server, peer = Server(), Initiator()
    request = bytearray(peer.init())
    request[17], request[18] = 0x10, 2  # version 1.0, Identity Protection
    answer = server.answer(bytes(request), peer)
    assert len(answer) < len(request)
    header, payloads = decode_plain(answer)
    assert header.major == 2
    assert notifies(payloads) == [NotifyType.INVALID_MAJOR_VERSION]


def test_cookie_events_are_of_their_step() -> None:
    server, peer = Server(settings=replace(LOW, cookie_threshold=0)), Initiator()
    assert only(server.receive(peer.init(), peer), CookieRequired)
