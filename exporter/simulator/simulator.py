"""The simulator as one thing: a world, its faults and limits, and the server in front of them."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from threading import Event, Thread
from typing import Self

from exporter.simulator.api import BASE_PATH, Api
from exporter.simulator.churn import change_something
from exporter.simulator.control import PREFIX, Control
from exporter.simulator.faults import Fault, Faults
from exporter.simulator.limits import Limits, Tiers
from exporter.simulator.messages import Request
from exporter.simulator.server import Server, Wire
from exporter.simulator.tokens import Tokens
from exporter.simulator.traffic import Traffic
from exporter.simulator.world import World

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where every address is listened on


class Simulator:
    """Serve a world as Clopos would, over HTTP on `listen`.

    Time is the world's clock. `changes_per_minute` stations change by themselves, in an order that the world's seed
    fixes. `faults` are in force from the start. `tiers` of None lifts the rate limits. `token_lifetime` is in seconds.
    A context manager; it can be stopped and started again on the same address, and remembers everything.
    """

    def __init__(
        self,
        world: World,
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        changes_per_minute: float = 0.0,
        tiers: Tiers | None = Tiers(),  # noqa: B008 - an immutable value
        faults: Iterable[Fault] = (),
        token_lifetime: float = 3600.0,
    ) -> None:
        self.world = world
        self.changes_per_minute = changes_per_minute
        self.tokens = Tokens(world.clock, token_lifetime)
        self.limits = Limits(world.clock, tiers)
        self.faults = Faults(world.clock, world.seed)
        for fault in faults:
            self.faults.add(fault)
        self._random = Random(f"churn {world.seed}")  # noqa: S311 - runs have to repeat
        self.traffic = Traffic()
        self._api = Api(world, self.tokens, self.limits, self.faults, self.traffic)
        self._control = Control(world, self.faults)
        self.address = listen
        """Host and port; the port is known once started."""
        self._server: Server | None = None
        self._stopping = Event()
        self._churning: Thread | None = None

    @property
    def root_url(self) -> str:
        """Return the address as a URL without a path; one on the loopback where it listens on every address."""
        host, port = self.address
        host = _LOOPBACK.get(host, host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def url(self) -> str:
        """Return the base URL that a client is configured with."""
        return f"{self.root_url}{BASE_PATH}"

    @property
    def control_url(self) -> str:
        """Return the URL of the control path."""
        return f"{self.root_url}{PREFIX}"

    def credentials(self, brand: str) -> dict[str, str]:
        """Return what a client of the brand logs in with."""
        return self.world.credentials(brand)

    def start(self) -> None:
        """Listen, and let the world change by itself. Raises OSError where the address cannot be had."""
        self._server = Server(self.address, self._serve, self.world.clock)
        self.address = (self.address[0], self._server.server_address[1])
        Thread(target=self._server.serve_forever, args=(0.05,), name="simulator", daemon=True).start()
        self._stopping.clear()
        if self.changes_per_minute > 0:
            self._churning = Thread(target=self._keep_churning, name="simulator churn", daemon=True)
            self._churning.start()

    def stop(self) -> None:
        """Close the address and every connection, and let the world rest."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._churning is not None:
            self._churning.join()
            self._churning = None

    def churn(self, count: int = 1) -> None:
        """Let so many things change by themselves, now."""
        for _ in range(count):
            change_something(self.world, self._random)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, request: Request, wire: Wire) -> None:
        if request.path.startswith(PREFIX):
            wire.send(self._control.answer(request))
        else:
            self._api.serve(request, wire)

    def _keep_churning(self) -> None:
        clock = self.world.clock
        due = clock.monotonic()
        while True:
            due += self._random.expovariate(self.changes_per_minute / 60)
            if clock.wait(self._stopping, due - clock.monotonic()):
                return
            self.churn()
