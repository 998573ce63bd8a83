"""What is measured: a server, and what it is asked."""

import dataclasses
import statistics
import sys

SERVERS = ["gateway", "baseline", "nginx", "haproxy", "envoy", "envoy-cached", "apache", "node"]

# Gateways of their own, which come with the first: what a case leaves behind in caches and replay table stays with it.
CROWD, WIDE = "gateway-crowd", "gateway-wide"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    server: str
    arguments: tuple = ()
    # This case runs at half of the throughput that that one had in the same round.
    half_of: str | None = None


def refusing(kind):
    return Case(f"gateway refusing {kind}", "gateway", ("--mix", f"{kind}=1", "--pool", "0"))


REUSE = ("--reuse", "--pool", "2000")
TLS = ("--tls",)
H2 = ("--tls", "--h2", "--connections", "4", "--streams", "32")
HUNDRED_THOUSAND = ("--clients", "100000", "--visit")
MANY = ("--connections", "64")
BEARER = ("--auth", "bearer")

REFUSALS = tuple(map(refusing, ["no-token", "bad-token", "wrong-claims", "bad-proof", "replay"]))
GATEWAY_AT_HALF = Case("gateway at half load", "gateway", (), "gateway")
BASELINE_AT_HALF = Case("baseline at half load", "baseline", REUSE, "gateway")

# A group stays together, because the machine's neighbours come and go over minutes and what is compared must have had the
# same ones. Groups are shuffled. The blocks of a group keep their order, the cases within a block are shuffled too. What the closest
# targets compare is measured twice in a round.
GROUPS = [
    [[Case("gateway", "gateway"), Case("baseline", "baseline", REUSE)]] * 2 + [REFUSALS],
    [[Case("gateway TLS", "gateway", TLS), Case("baseline TLS", "baseline", TLS + REUSE)]] * 2,
    [[Case("gateway HTTP/2", "gateway", H2), Case("baseline HTTP/2", "baseline", H2 + REUSE)]] * 2,
    [[Case("gateway, 64 connections", "gateway", MANY), Case("gateway, two cores", WIDE, MANY)]],
    [[Case("gateway, 20 clients", CROWD)], [Case("gateway, 100,000 clients", CROWD, HUNDRED_THOUSAND)]],
    [[Case("nginx, no check", "nginx", REUSE)]],
    [[Case("HAProxy jwt_verify", "haproxy", BEARER)]],
    [[Case("Envoy jwt_authn", "envoy", BEARER)]],
    [[Case("Envoy jwt_authn, cached", "envoy-cached", BEARER)]],
    [[Case("Apache mod_oauth2 DPoP", "apache", ("--origin", "http://api.test:{port}", "--pool", "30000"))]],
    [[Case("Node oauth4webapi DPoP", "node", ("--pool", "30000"))]],
]
# Needs what the others found. Forth and back, so that a drift meets both alike; and often, because a single pause of the machine decides
# the 99th percentile of a run: of six, the median does not care.
LAST = [[GATEWAY_AT_HALF], [BASELINE_AT_HALF], [BASELINE_AT_HALF], [GATEWAY_AT_HALF]] * 3

# How the first table and the plot call them, and what each checks.
SHOWN = {"gateway": "keyproof"}
CHECKS = {
    "gateway": "token, DPoP proof, replay",
    "baseline": "one ES256 signature, made ahead",
    "nginx, no check": "nothing",
    "HAProxy jwt_verify": "bearer token only",
    "Envoy jwt_authn": "bearer token only",
    "Envoy jwt_authn, cached": "bearer token only, remembered",
    "Apache mod_oauth2 DPoP": "token, DPoP proof (no ath), recent replay",
    "Node oauth4webapi DPoP": "token, DPoP proof, replay",
}


def order(up, random):
    """Every case of a round, of the servers that are up."""
    groups = list(GROUPS)
    random.shuffle(groups)
    for group in [*groups, LAST]:
        for block in group:
            block = [case for case in block if case.server in up]
            random.shuffle(block)
            yield from block


def play(house, up, arguments, random, silent):
    """One round: the figures of every case by its name. A case that had no answer at all has none, and stands among the silent."""
    runs = {}
    for case in order(up, random):
        options = ["--seconds", str(arguments.seconds), "--warmup", str(arguments.warmup)]
        if "--connections" not in case.arguments:
            options += ["--connections", str(arguments.connections)]
        if case.half_of:
            if case.half_of not in runs:
                continue
            options += ["--rate", str(runs[case.half_of][0]["requests_per_second"] / 2)]
        result = house.load(case, options)
        if result["requests"]:
            runs.setdefault(case.name, []).append(result)
        else:
            silent.append(case.name)
        print(f"{case.name:28} {result['requests_per_second']:9,.0f} /s {result['cpu_us_per_request']:8.1f} us"
              f"  p99 {result['p99_us']:8,.0f} us  unexpected {result['unexpected']}"
              f"{'  POOL DRY' if result['pool_ran_dry'] else ''}", file=sys.stderr)
    return {"signature": {"cpu_us_per_request": house.signature()}} | {name: middle(of) for name, of in runs.items()}


def middle(runs):
    """Several runs of one case as one: their medians."""
    def of(key):
        values = [run[key] for run in runs]
        if isinstance(values[0], bool):
            return any(values)
        return statistics.median(values) if isinstance(values[0], (int, float)) else values[0]
    return {key: of(key) for key in runs[0]}
