"""A Clopos of a few lines: what it is asked stands in `asked`, what it answers is scripted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate
from threading import Event
from typing import Any, NamedTuple

from fakes import FakeClock, venue

from exporter.clopos.client import Client
from exporter.clopos.limits import BrandQuota, IpLimits
from exporter.clopos.login import Credentials, Login
from exporter.clopos.transport import ApiResponse
from exporter.errors import CloposError
from exporter.model import Failure, Reason, Snapshot

SECRET = "s3cret-of-the-client"
TOKEN = "ready-made-token"
CREDENTIALS = Credentials("client", SECRET, "tandir-group", "integrator")


class Asked(NamedTuple):
    at: float
    endpoint: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]


Script = Callable[[Asked], ApiResponse | CloposError]


class FakeTransport:
    """Answer by a script, on the clock; an error in the place of an answer is raised."""

    def __init__(self, clock: FakeClock, script: Script, seconds: float = 0.0) -> None:
        self.clock, self.script, self.seconds = clock, script, seconds
        self.asked: list[Asked] = []
        self.closed = False

    def get(self, endpoint: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> ApiResponse:
        return self._answer(Asked(self.clock.monotonic(), endpoint, params, headers))

    def post(self, endpoint: str, body: Mapping[str, Any]) -> ApiResponse:
        return self._answer(Asked(self.clock.monotonic(), endpoint, body, {}))

    def close(self) -> None:
        self.closed = True

    def count(self, endpoint: str) -> int:
        return sum(asked.endpoint == endpoint for asked in self.asked)

    def _answer(self, asked: Asked) -> ApiResponse:
        self.asked.append(asked)
        self.clock.forward(self.seconds)
        answer = self.script(asked)
        if isinstance(answer, CloposError):
            raise answer
        return answer


def ok(headers: Mapping[str, str] | None = None, **document: Any) -> ApiResponse:
    return ApiResponse(200, headers or {}, {"success": True, **document})


def no(status: int, message: str, headers: Mapping[str, str] | None = None) -> ApiResponse:
    return ApiResponse(status, headers or {}, {"success": False, "message": message})


def trouble(reason: Reason = Reason.CONNECTION) -> CloposError:
    return CloposError(reason, "cannot be reached: Connection refused")


class Tokens:
    """Answer POST /auth: each login gets the next token; `server_wall` is what the server takes for the time."""

    def __init__(self, clock: FakeClock, lifetime: float = 3600.0) -> None:
        self.clock, self.lifetime = clock, lifetime
        self.ahead = 0.0
        self.given = 0

    def __call__(self) -> ApiResponse:
        self.given += 1
        now = self.clock.wall() + self.ahead
        date = {"Date": formatdate(now, usegmt=True)}
        return ok(date, token=f"jwt-{self.given}", expires_at=int(now + self.lifetime), expires_in=self.lifetime)


def login(
    clock: FakeClock,
    transport: FakeTransport,
    credentials: Credentials | str = CREDENTIALS,
    reread: Callable[[], Credentials | str] | None = None,
    ip_limits: IpLimits | None = None,
) -> Login:
    stop = Event()
    return Login(
        credentials,
        transport=transport,  # type: ignore[arg-type]
        quota=BrandQuota(6000, clock, stop),
        ip_limits=ip_limits or IpLimits(clock, stop),
        clock=clock,
        reread=reread,
    )


def client(
    clock: FakeClock, script: Script, credentials: Credentials | str = TOKEN, *, seconds: float = 0.0, **rest: Any
) -> tuple[Client, FakeTransport]:
    """Return a client that asks a script, with plenty of quota."""
    stop = rest.pop("stop", None) or Event()
    made = Client(
        "tandir-group",
        credentials,
        base_url="http://127.0.0.1:1",
        requests_per_minute=rest.pop("requests_per_minute", 6000),
        clock=clock,
        stop=stop,
        ip_limits=rest.pop("ip_limits", None) or IpLimits(clock, stop),
        observe=lambda *_: None,
        **rest,
    )
    transport = FakeTransport(clock, script, seconds)
    made._transport = made.login._transport = transport  # type: ignore[assignment]
    return made, transport


# Scripts

SORTS = ["id", "name", "created_at"]


def row(id_: int, **rest: Any) -> dict[str, Any]:
    return {"id": id_, "name": f"Station {id_}", "status": 1, "type": 1, "printable": 1, **rest}


def listing(*rows: Any, total: int | None = None, sorts: object = SORTS) -> Script:
    """Serve rows by pages, as Clopos does."""

    def script(asked: Asked) -> ApiResponse:
        begin = (asked.params["page"] - 1) * asked.params["limit"]
        page = list(rows)[begin : begin + asked.params["limit"]]
        return ok(data=page, total=len(rows) if total is None else total, sorts=sorts)

    return script


def in_order(*answers: ApiResponse | CloposError | Script) -> Script:
    """Send one answer after the other, the last one for ever."""
    left = list(answers)

    def script(asked: Asked) -> ApiResponse | CloposError:
        following = left.pop(0) if len(left) > 1 else left[0]
        return following(asked) if callable(following) else following

    return script


def good(made: Client, seconds: float = 30.0) -> Snapshot:
    outcome = made.poll(venue(), seconds)
    assert isinstance(outcome, Snapshot), outcome
    return outcome


def bad(made: Client, seconds: float = 30.0) -> Failure:
    outcome = made.poll(venue(), seconds)
    assert isinstance(outcome, Failure), outcome
    return outcome


def with_login(clock: FakeClock, script: Script, auth: Callable[[], ApiResponse] | None = None) -> Script:
    tokens = auth or Tokens(clock)
    return lambda asked: tokens() if asked.endpoint == "auth" else script(asked)
