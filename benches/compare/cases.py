"""What is measured: a server, and what it is asked."""

import dataclasses
import statistics
import sys

SERVERS = ["gateway", "baseline", "nginx", "haproxy", "envoy", "envoy-cached", "apache", "node", "front-nginx", "front-nginx-asking",
           "front-envoy", "front-envoy-asking", "front-envoy-grpc-asking", "hot-keys", "upstream-tls", "upstream-http2"]

# Gateways of their own, which come with the first: what a case leaves behind in caches and replay table stays with it.
CROWD, WIDE = "gateway-crowd", "gateway-wide"

# Those of `hot-keys`: dpop.hot_keys is 512, but in the last, which is beside the one for the crowd.
HOT, HOT_NEW, HOT_CROWD, COOL_CROWD = "gateway-hot", "gateway-hot-new", "gateway-hot-crowd", "gateway-cool-crowd"

# A gateway and a baseline before an upstream that speaks something else: what, and how the cases are called.
SPOKEN = {"upstream-tls": "TLS to the upstream", "upstream-http2": "HTTP/2 to the upstream"}

BESIDE = "gateway beside "


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    server: str
    arguments: tuple = ()
    # This case runs at half of the throughput that that one had in the same round.
    half_of: str | None = None
    # Of no use without that server.
    beside: str | None = None
    # Seconds before those that count, where it is not as with the others.
    warmup: float | None = None


def refusing(kind):
    return Case(f"gateway refusing {kind}", "gateway", ("--mix", f"{kind}=1", "--pool", "0"))


@dataclasses.dataclass(frozen=True)
class Turns:
    """Cases that are measured together, a tenth of a second of each in turn: whatever the machine does meets each of them alike."""
    cases: tuple
    # How long, in all, compared with a case by itself.
    times: float = 2


def beside(name, server):
    """The gateway once more, as the measure of what is measured with it: in the data, and in no table."""
    return Case(BESIDE + name, "gateway", beside=server)


REUSE = ("--reuse", "--pool", "2000")
TLS = ("--tls",)
H2 = ("--tls", "--h2", "--connections", "4", "--streams", "32")
HUNDRED_THOUSAND = ("--clients", "100000", "--visit")
MANY = ("--connections", "64")
BEARER = ("--auth", "bearer")

# As nginx asks, and as Envoy does over gRPC. Envoy has few connections and many streams.
FORWARD_AUTH, GRPC = ("--door", "forward-auth"), ("--door", "grpc", "--connections", "4", "--streams", "8")
DOORS = (beside("doors", "gateway"), Case("gateway, forward-auth decision", "gateway", FORWARD_AUTH),
         Case("gateway, gRPC decision", "gateway", GRPC))
# What a front adds is felt where it has time to spare.
AT_EASE = ("--rate", "1000")
NGINX, NGINX_ASKING = Case("nginx", "front-nginx", AT_EASE), Case("nginx asking keyproof", "front-nginx-asking", AT_EASE)
ENVOY, ENVOY_ASKING = Case("Envoy", "front-envoy", AT_EASE), Case("Envoy asking keyproof over HTTP", "front-envoy-asking", AT_EASE)
ENVOY_GRPC_ASKING = Case("Envoy asking keyproof over gRPC", "front-envoy-grpc-asking", AT_EASE)
ZIPF = (*HUNDRED_THOUSAND, "--zipf", "1")
# Until the tables are made, which the server's core, being full, makes less than thirty of a second.
HEATING = 20.0


def hot(name, arguments=()):
    """The gateway with hot keys, the baseline, and the gateway without, in turns."""
    return Turns((Case(f"gateway{name}, hot keys", HOT, arguments),
                  Case(f"{BESIDE}hot keys{name}, baseline", "baseline", arguments, beside=HOT),
                  Case(f"{BESIDE}hot keys{name}", "gateway", arguments, beside=HOT)), times=3)


def crowds(name, arguments):
    """The same crowd without hot keys and with them."""
    return [[Case(f"gateway, 100,000 clients{name}, hot_keys: 0", COOL_CROWD, arguments, warmup=HEATING)],
            [Case(f"gateway, 100,000 clients{name}, hot keys", HOT_CROWD, arguments, warmup=HEATING)]]


# Tables of 512 clients are made while it runs.
MAKING = Case("gateway at half load, tables being made", HOT_NEW, ("--clients", "512"), half_of="gateway")
NOT_MAKING = Case(BESIDE + "tables being made", "gateway", ("--clients", "512"), half_of="gateway", beside=HOT_NEW)

CHEAP = [refusing("no-token"), refusing("wrong-claims")]
SIGNED = beside("refusals", "gateway"), *map(refusing, ["bad-token", "bad-proof", "replay"])
GATEWAY_AT_HALF = Case("gateway at half load", "gateway", half_of="gateway")
BASELINE_AT_HALF = Case("baseline at half load", "baseline", half_of="gateway")
APACHE = Case("Apache mod_oauth2 DPoP", "apache", ("--origin", "http://api.test:{port}", "--pool", "30000"))
NODE = Case("Node oauth4webapi DPoP", "node", ("--pool", "30000"))

# A group stays together, because the machine's neighbours come and go over minutes and what is compared must have had the
# same ones; what is close takes turns. Groups are shuffled. The blocks of a group keep their order, the cases within a block are shuffled
# too.
GROUPS = [
    [Turns((Case("gateway", "gateway"), Case("baseline", "baseline"))), CHEAP, Turns(SIGNED)],
    [Turns((Case("gateway TLS", "gateway", TLS), Case("baseline TLS", "baseline", TLS)))],
    [Turns((Case("gateway HTTP/2", "gateway", H2), Case("baseline HTTP/2", "baseline", H2)))],
    *[[Turns((Case(f"gateway, {called}", f"gateway-{name}", beside=name), Case(f"baseline, {called}", f"baseline-{name}", beside=name)))]
      for name, called in SPOKEN.items()],
    [Turns((Case("gateway, 64 connections", "gateway", MANY), Case("gateway, two cores", WIDE, MANY)))],
    [[Case("gateway, 20 clients", CROWD)], [Case("gateway, 100,000 clients", CROWD, HUNDRED_THOUSAND)]],
    [Turns(DOORS)],
    [Turns((NGINX, NGINX_ASKING))],
    [Turns((ENVOY, ENVOY_ASKING, ENVOY_GRPC_ASKING))],
    [[Case("nginx, no check", "nginx", REUSE)]],
    [[Case("HAProxy jwt_verify", "haproxy", BEARER)]],
    [[Case("Envoy jwt_authn", "envoy", BEARER)]],
    [[Case("Envoy jwt_authn, cached", "envoy-cached", BEARER)]],
    [hot("")], [hot(" TLS", TLS)], [hot(" HTTP/2", H2)],
    [*crowds(" by Zipf(1)", ZIPF), *crowds("", HUNDRED_THOUSAND)],
    # Apache takes proofs for a few seconds only: short turns.
    [Turns((beside(APACHE.name, "apache"), APACHE), times=0.5)] * 3,
    # In no turns: Node cleans up after its own.
    [[beside(NODE.name, "node")], [NODE], [NODE], [beside(NODE.name, "node")]] * 2,
]
# Needs what the others found.
LAST = [*[Turns((GATEWAY_AT_HALF, BASELINE_AT_HALF))] * 3, Turns((MAKING, NOT_MAKING), times=3)]

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


def order(up, named, random):
    """What a round runs of the servers that are up, one thing after another: what takes turns together, and every other case alone; and how long
    that is, compared with a case by itself. Of the cases that have these names, or of all."""
    usable = lambda cases: [case for case in cases if {case.server, case.beside or case.server} <= set(up)
                            and (not named or case.name in named)]
    groups = list(GROUPS)
    random.shuffle(groups)
    for block in (block for group in [*groups, LAST] for block in group):
        if isinstance(block, Turns):
            yield usable(block.cases), block.times
        else:
            cases = usable(block)
            random.shuffle(cases)
            yield from (([case], 1) for case in cases)


def play(house, up, arguments, random, silent):
    """One round: the figures of every case by its name. A case that had no answer at all has none, and stands among the silent."""
    runs = {}
    for together, times in order(up, arguments.cases, random):
        together = [(case, half(case, runs)) for case in together if not case.half_of or case.half_of in runs]
        if len(together) > 1:
            results = house.take_turns(together, times * arguments.seconds, arguments, random)
        else:
            results = [house.load(case, arguments, rate) for case, rate in together]
        for (case, _), result in zip(together, results):
            if result["requests"]:
                runs.setdefault(case.name, []).append(result)
            else:
                silent.append(case.name)
            print(f"{case.name:28} {result['requests_per_second']:9,.0f} /s {result['cpu_us_per_request']:8.1f} us"
                  f"  p99 {result['p99_us']:8,.0f} us  unexpected {result['unexpected']}"
                  f"{'  POOL DRY' if result['pool_ran_dry'] else ''}", file=sys.stderr)
    return {"signature": {"cpu_us_per_request": house.signature()}} | {name: middle(of) for name, of in runs.items()}


def half(case, runs):
    """The rate of a case at half load."""
    return case.half_of and runs[case.half_of][0]["requests_per_second"] / 2


def middle(runs):
    """Several runs of one case as one: their medians."""
    def of(key):
        values = [run[key] for run in runs]
        if isinstance(values[0], bool):
            return any(values)
        return statistics.median(values) if isinstance(values[0], (int, float)) else values[0]
    return {key: of(key) for key in runs[0]}
