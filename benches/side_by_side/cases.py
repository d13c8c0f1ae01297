"""All that is measured, in the order of a round. Servers are made when a case first needs them."""

import functools
import itertools
import statistics
import time
from contextlib import ExitStack

import load
from allowance import part_of_a_core
from case import Case
from registering import registrations
from servers import Nodes, Nothing, OurSite, StockSite, first_answer, sqlite_desk, stock_prosody
from usage import Watch, memory

STARTS = 5
REGISTRATIONS_PER_SECOND = 40
"""Registrations of a visit, for each of its seconds."""
LOOK_UP_CONNECTIONS = 4
STORAGES = {"internal": "internal", "SQLite": "sql"}


def grouped(number):
    return f"{number:,}".replace(",", " ")


class Cases:
    def __init__(self, stack, folder, options):
        self._stack = stack
        self._folder = folder
        self._options = options
        self._numbers = itertools.count()
        self._made = {}
        self._shared = None

    def all(self):
        """Neighbours are those that are compared, so that they share the weather."""
        for connections in self._options.connections:
            yield Case(f"do-nothing server, {connections} connections", self._nothing(connections))
            yield Case(f"creates, SQLite, {connections} connections", self._creates(0, connections))
        for storage, invites, name in (("sql", 0, "SQLite"), ("internal", 1000, "internal storage, 1 000 invites")):
            for connections in (16, 64):
                yield Case(
                    f"creates, stock Prosody, {name}, {connections} connections",
                    self._prosody(storage, invites, connections),
                )
        for invites in self._options.filled:
            yield Case(f"creates, {grouped(invites)} open invites, 64 connections", self._creates(invites, 64))
        for engine in ("SQLite", "PostgreSQL"):
            yield Case(f"landing pages, {engine}, 64 connections", self._reads(engine, load.landing_pages))
            yield Case(
                f"landing pages of 1 000 links, {engine}, 64 connections",
                self._reads(engine, load.landing_pages_of_many),
            )
            yield Case(f"unknown tokens, {engine}, 64 connections", self._reads(engine, load.unknown_tokens))
        yield Case(f"unknown tokens alone, {LOOK_UP_CONNECTIONS} connections", self._look_ups(creating=0))
        yield Case(
            f"unknown tokens while 64 connections create, {LOOK_UP_CONNECTIONS} connections",
            self._look_ups(creating=64),
        )
        yield Case("pgbench, single durable rows, 64 clients", self._pgbench)
        for connections in self._options.connections:
            yield Case(f"creates, PostgreSQL, one node, {connections} connections", self._nodes(1, connections))
        yield Case("creates, PostgreSQL, two nodes, 64 connections", self._nodes(2, 64))
        for count, nodes in ((1, "one node"), (2, "two nodes")):
            yield Case(
                f"creates, PostgreSQL, {nodes} with a quarter of a core each, 64 connections",
                self._nodes(count, 64, cores=0.25),
            )
        for (storage, engine), streams in itertools.product(STORAGES.items(), (8, 1)):
            for site, name in ((StockSite, "stock Prosody"), (OurSite, "Prosody with our module")):
                yield Case(
                    f"registrations, {name}, {storage} storage, {streams} at a time",
                    self._registrations(site, engine, streams),
                )
        yield Case("memory, 1 000 000 open invites", self._memory)
        yield Case("start-up, empty store", self._starts(0))
        yield Case("start-up, 10 000 000 open invites", self._starts(10_000_000))

    # What they need

    def _new_folder(self):
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    def _server(self, make, *arguments):
        """Made once a run."""
        if (make, arguments) not in self._made:
            self._made[make, arguments] = make(self._new_folder(), *arguments)
        return self._made[make, arguments]

    def _postgres(self):
        if not self._shared:
            self._shared = Nodes(self._stack, self._new_folder(), 2)
        return self._shared

    # How they are measured

    def _nothing(self, connections):
        def measure(seconds):
            with self._server(Nothing).fresh() as server:
                wrk = load.Wrk(f"{server.url}/invites_api", seconds, connections, method="POST", expect=201)
                return vars(wrk.figures())

        return measure

    def _creates(self, invites, connections):
        def measure(seconds):
            with self._server(sqlite_desk, invites).fresh() as server:
                with Watch(invited=[server]) as watch:
                    figures = load.creates(server, seconds, connections).figures()
                return with_costs(figures, watch)

        return measure

    def _prosody(self, storage, invites, connections):
        def measure(seconds):
            with self._server(stock_prosody, storage, invites).fresh() as server:
                with Watch(Prosody=[server]) as watch:
                    figures = load.Wrk(server.address, seconds, connections, expect=201).figures()
                return with_costs(figures, watch)

        return measure

    def _nodes(self, count, connections, cores=None):
        def measure(seconds):
            shared = self._postgres()
            with shared.fresh(count) as nodes, ExitStack() as stack:
                for node in nodes if cores else ():
                    stack.enter_context(part_of_a_core(node.process, cores))
                with Watch(invited=nodes, PostgreSQL=[shared.database]) as watch:
                    loads = [load.creates(node, seconds, connections // count) for node in nodes]
                    figures = functools.reduce(load.Figures.also, [each.figures() for each in loads])
                    shared.checkpoint()  # what it still has to write belongs to the price
                return with_costs(figures, watch)

        return measure

    def _pgbench(self, seconds):
        shared = self._postgres()
        shared.empty()
        with Watch(PostgreSQL=[shared.database]) as watch:
            figures = load.pgbench(shared.database, seconds)
            shared.checkpoint()
        return with_costs(figures, watch)

    def _reads(self, engine, ask):
        def measure(seconds):
            with ExitStack() as stack:
                if engine == "SQLite":
                    server = stack.enter_context(self._server(sqlite_desk, 0).fresh())
                else:
                    [server] = stack.enter_context(self._postgres().fresh(1))
                return vars(ask(server, seconds, 64).figures())

        return measure

    def _look_ups(self, creating):
        def measure(seconds):
            with self._server(sqlite_desk, 0).fresh() as server:
                if creating:
                    creates = load.creates(server, seconds + 2, creating)
                    time.sleep(1)
                figures = load.unknown_tokens(server, seconds, LOOK_UP_CONNECTIONS).figures()
                if creating:
                    creates.figures()
                return vars(figures)

        return measure

    def _registrations(self, site, storage, streams):
        def measure(seconds):
            with self._server(site, storage).fresh() as (prosody, servers, make_token):
                # Stock Prosody makes the tokens itself and so is warm by then; now both are.
                registrations(prosody.port, [make_token() for _ in range(streams)], streams, "early")
                tokens = [make_token() for _ in range(REGISTRATIONS_PER_SECOND * seconds)]
                with Watch(servers=servers) as watch:
                    figures = registrations(prosody.port, tokens, streams)
                return {**with_costs(figures, watch), "cores": None}

        return measure

    def _memory(self, seconds):
        with self._server(sqlite_desk, 1_000_000).fresh() as server:
            for ask in (load.creates, load.landing_pages, load.unknown_tokens):
                ask(server, seconds, 64).figures()
            now, peak = memory(server)
            return {"now": now, "peak": peak}

    def _starts(self, invites):
        def measure(_):
            store = self._server(sqlite_desk, invites)
            store.put_back()
            return {"start": statistics.median(first_answer(store.server) for _ in range(STARTS))}

        return measure


def with_costs(figures, watch):
    thousands = figures.requests / 1000
    cost = watch.cost
    return {**vars(figures), "cpu": cost.cpu / thousands, "written": cost.written / thousands, "cores": watch.cores}
