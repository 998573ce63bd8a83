"""Tables of ratios: each ratio is taken within a round, then the median over the rounds."""

import dataclasses
import statistics
from typing import Callable

import cases

RATE, CPU, P99, P99_QUIET = "requests_per_second", "cpu_us_per_request", "p99_us", "p99_quiet_us"


@dataclasses.dataclass(frozen=True)
class Target:
    """A promise: how it is computed from one round, and the limit."""
    name: str
    compute: Callable
    limit: float
    least: bool = False
    # What belongs beside it, from the rounds.
    beside: Callable | None = None

    def met(self, value):
        return value >= self.limit if self.least else value <= self.limit

    def bound(self):
        return f"{'≥' if self.least else '≤'} {self.limit:g}"


def ratio(figure, one, other):
    return lambda results: results[one][figure] / results[other][figure]


def beside(peer):
    """Requests per second of the gateway, measured right before and after the peer, by the peer's."""
    return ratio(RATE, cases.BESIDE + peer, peer)


def refusal(kind, good="gateway"):
    return ratio(CPU, f"gateway refusing {kind}", good)


def door(name):
    """A decision, by a good request that the gateway forwards itself."""
    return ratio(CPU, f"gateway, {name} decision", cases.BESIDE + "doors")


SIGNED = cases.BESIDE + "refusals"


WIDE = "gateway, two cores"


def scaling(results):
    """Two full cores do twice what one does, if a request costs the same on them."""
    return 2 * results["gateway, 64 connections"][CPU] / results[WIDE][CPU]


def beside_scaling(data):
    rate, load = (median(data, lambda r, k=key: r[WIDE][k]) for key in (RATE, "server_load"))
    return f"{rate:,.0f} /s on {load:.2f} cores"


TARGETS = [
    Target("CPU of a good request ÷ baseline", ratio(CPU, "gateway", "baseline"), 1.15),
    Target("requests per second ÷ baseline", ratio(RATE, "gateway", "baseline"), 0.87, True),
    Target("the same over TLS 1.3", ratio(RATE, "gateway TLS", "baseline TLS"), 0.87, True),
    Target("the same over HTTP/2, 32 streams", ratio(RATE, "gateway HTTP/2", "baseline HTTP/2"), 0.87, True),
    Target("requests per second ÷ Apache mod_oauth2", beside("Apache mod_oauth2 DPoP"), 6, True),
    Target("requests per second ÷ Node oauth4webapi", beside("Node oauth4webapi DPoP"), 7, True),
    Target("two cores ÷ one", scaling, 1.85, True, beside_scaling),
    Target("refusing, CPU ÷ a good request: no token", refusal("no-token"), 0.30),
    Target("refusing: bad token signature", refusal("bad-token", SIGNED), 1.1),
    Target("refusing: wrong claims in the proof", refusal("wrong-claims"), 0.35),
    Target("refusing: bad proof signature", refusal("bad-proof", SIGNED), 0.9),
    Target("refusing: replay", refusal("replay", SIGNED), 0.9),
    Target("CPU of a forward-auth decision ÷ a good request", door("forward-auth"), 0.95),
    Target("CPU of a gRPC decision ÷ a good request", door("gRPC"), 1.15),
    Target("p99 at half of full load ÷ baseline", ratio(P99_QUIET, "gateway at half load", "baseline at half load"), 1.10),
    Target("100,000 clients ÷ 20, requests per second", ratio(RATE, "gateway, 100,000 clients", "gateway, 20 clients"), 0.85, True),
]
IDLE_MIB, FULL_MIB, HOT_MIB = 14, 110, 80


def hot(name=""):
    """The gateway with hot keys ÷ the baseline, of the same turns."""
    return f"gateway{name}, hot keys", f"{cases.BESIDE}hot keys{name}, baseline"


CROWD, ZIPF = "gateway, 100,000 clients", "gateway, 100,000 clients by Zipf(1)"
TARGETS += [
    Target("hot keys: CPU of a good request ÷ baseline", ratio(CPU, *hot()), 0.78),
    Target("hot keys: requests per second ÷ baseline", ratio(RATE, *hot()), 1.28, True),
    Target("hot keys: the same over TLS 1.3", ratio(RATE, *hot(" TLS")), 1.25, True),
    Target("hot keys: the same over HTTP/2", ratio(RATE, *hot(" HTTP/2")), 1.25, True),
    Target("hot keys: requests per second ÷ hot_keys: 0", ratio(RATE, hot()[0], cases.BESIDE + "hot keys"), 1.28, True),
    Target("512 hot keys of 100,000 by Zipf(1) ÷ none", ratio(RATE, f"{ZIPF}, hot keys", f"{ZIPF}, hot_keys: 0"), 1.08, True),
    Target("512 hot keys, 100,000 alike ÷ none", ratio(RATE, f"{CROWD}, hot keys", f"{CROWD}, hot_keys: 0"), 1.0, True),
    Target("p99 while tables are made ÷ none", ratio(P99_QUIET, "gateway at half load, tables being made",
                                                     cases.BESIDE + "tables being made"), 1.10),
]
TARGETS += [Target(f"CPU ÷ baseline, {called}", ratio(CPU, f"gateway, {called}", f"baseline, {called}"), 1.15)
            for called in cases.SPOKEN.values()]
# A server at full speed keeps this much of its core busy, unless something else is what limits it.
FULL = 0.9
ASKING = {cases.NGINX: [cases.NGINX_ASKING], cases.ENVOY: [cases.ENVOY_ASKING, cases.ENVOY_GRPC_ASKING]}
NOT_FULL = {WIDE, "gateway at half load", "baseline at half load", "gateway at half load, tables being made"} \
    | {case.name for plain in ASKING for case in (plain, *ASKING[plain])}


def values(data, compute):
    """One of each round that has everything it needs."""
    found = []
    for results in data["rounds"]:
        try:
            found.append(compute(results))
        except (KeyError, ZeroDivisionError):
            pass
    return found


def median(data, compute):
    found = values(data, compute)
    return statistics.median(found) if found else None


def names(data):
    found = dict.fromkeys(name for results in data["rounds"] for name in results if not name.startswith(cases.BESIDE))
    return sorted(found, key=lambda name: median(data, lambda r: r[name][CPU]))


def servers(data):
    """Every case: its figures, as medians over the rounds."""
    rows = [("", "req/s", "CPU us", "÷ baseline", "÷ signature", "p50 us", "p99 us", "MiB")]
    for name in names(data):
        figure = lambda key, digits, scale=1: number(median(data, lambda r: r[name][key] / scale), digits)
        relative = lambda other: number(median(data, ratio(CPU, name, other)), 2)
        rows.append((name, figure(RATE, 0), figure(CPU, 1), relative("baseline"), relative("signature"),
                     figure("p50_us", 0), figure(P99, 0), figure("resident_kib", 0, 1024)))
    return table(rows)


def short(data):
    """What fits into a README: who checks what, and at which price."""
    rows = [("", "checks", "requests/s and core", "CPU us a request")]
    for name in filter(cases.CHECKS.get, names(data)):
        rate, cpu = (median(data, lambda r, k=key: r[name][k]) for key in (RATE, CPU))
        cells = (cases.SHOWN.get(name, name), cases.CHECKS[name], number(rate, 0), number(cpu, 1))
        rows.append(tuple(f"**{cell}**" for cell in cells) if name == "gateway" else cells)
    return table(rows, 2)


def added(data):
    """What asking adds to a request through a front that has time to spare, in microseconds: differences within a round."""
    rows = [("1,000 requests a second through", "p50 us", "p99 us", "more than without, p50 us", "p99 us")]
    for plain, asking in ASKING.items():
        for case in asking:
            own = [median(data, lambda r, k=key: r[case.name][k]) for key in ("p50_us", P99)]
            more = [median(data, lambda r, k=key: r[case.name][k] - r[plain.name][k]) for key in ("p50_us", P99)]
            if own[0] is not None:
                rows.append((case.name, *(number(figure, 0) for figure in own + more)))
    return table(rows) if len(rows) > 1 else "Not measured yet.\n"


def targets(data):
    rows = [("target", "limit", "median", "rounds", "")]
    for target in TARGETS:
        found = values(data, target.compute)
        if found:
            value = statistics.median(found)
            beside = f" ({target.beside(data)})" if target.beside else ""
            span = f"{min(found):.2f} – {max(found):.2f}"
            rows.append((target.name, target.bound(), f"{value:.2f}{beside}", span, said(target.met(value))))
    return table(rows + list(memory(data)), 1)


def memory(data):
    idle, full = data.get("idle_kib", {}).get("gateway"), data.get("memory")
    if idle:
        yield ("memory, idle", f"≤ {IDLE_MIB} MiB", f"{idle / 1024:.1f} MiB", "", said(idle <= IDLE_MIB * 1024))
    if full:
        met = full["live"] >= full["wanted"] and full["resident_kib"] <= FULL_MIB * 1024
        measured = f"{full['resident_kib'] / 1024:.1f} MiB ({full['live']:,} live)"
        yield ("memory, full load, a million live proofs", f"≤ {FULL_MIB} MiB", measured, "", said(met))
    hot = data.get("hot_memory")
    if hot:
        # Those who were there after cooling have left the same behind in everything else.
        more = hot["hot_kib"] - hot["cooled_kib"]
        measured = f"{more / 1024:.1f} MiB ({hot['tables']} tables, {hot['cooled_kib'] / 1024:.1f} MiB without)"
        yield ("memory of 512 hot keys, given back", f"≤ {HOT_MIB} MiB", measured, "", said(hot["tables"] == 512 and 0 < more <= HOT_MIB * 1024))


def said(met):
    return "met" if met else "missed"


def doubts(data, of=None):
    """What would make a figure worth less than it looks, of these cases or of all."""
    unpromised, dry, held = [], [], []
    for name in of or names(data):
        count = lambda key: sum(values(data, lambda r: r[name][key]))
        if count("unexpected") or count("errors"):
            unpromised.append(f"{name} ({count('unexpected'):.0f} answers, {count('errors'):.0f} connections)")
        if count("pool_ran_dry"):
            dry.append(name)
        load = median(data, lambda r: r[name]["server_load"])
        if load is not None and load < FULL and name not in NOT_FULL:
            held.append(f"{name} ({load:.2f})")
    silent = [name for name in data["silent"] if name in (of or data["silent"])]
    if silent:
        yield "No answer at all in a round, which is left out there: " + "; ".join(silent) + "."
    if unpromised:
        yield "Answered otherwise than promised, or failed: " + "; ".join(unpromised) + "."
    if dry:
        yield "The proofs ran out, so that the run was shorter: " + "; ".join(dry) + "."
    if held:
        yield ("Held back by neighbours, generator or upstream (cores that the server had), so that it could do more requests a second "
               "while its CPU time counts: " + "; ".join(held) + ".")


def rounds(data):
    count = len(data["rounds"])
    return "one round" if count == 1 else f"medians of {count} rounds"


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def table(rows, left=1):
    """Markdown, columns aligned: the first ones to the left."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    pad = lambda cell, column: cell.ljust(widths[column]) if column < left else cell.rjust(widths[column])
    line = lambda row: "| " + " | ".join(pad(cell, column) for column, cell in enumerate(row)) + " |"
    rule = ["-" * width if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(rows[0]), "| " + " | ".join(rule) + " |", *map(line, rows[1:]), ""])
