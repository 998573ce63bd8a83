"""What is measured: a server, and what it is asked."""

import dataclasses
import sys

SERVERS = ["gateway", "baseline", "nginx", "haproxy", "envoy", "envoy-cached", "apache", "node"]


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    server: str
    arguments: tuple = ()
    # This case needs the throughput of that one: it runs at half of it.
    after: str | None = None


def bad(kind):
    return Case(f"gateway refusing {kind}", "gateway", ("--mix", f"{kind}=1", "--pool", "0"))


REUSE = ("--reuse", "--pool", "2000")
TLS = ("--tls",)
H2 = ("--tls", "--h2", "--connections", "4", "--streams", "32")

CASES = [
    Case("gateway", "gateway"),
    Case("baseline", "baseline", REUSE),
    Case("gateway TLS", "gateway", TLS),
    Case("baseline TLS", "baseline", TLS + REUSE),
    Case("gateway HTTP/2", "gateway", H2),
    Case("baseline HTTP/2", "baseline", H2 + REUSE),
    Case("gateway 100,000 clients", "gateway", ("--clients", "100000", "--visit")),
    bad("no-token"),
    bad("bad-token"),
    bad("wrong-claims"),
    bad("bad-proof"),
    bad("replay"),
    Case("nginx, no check", "nginx", REUSE),
    Case("HAProxy jwt_verify", "haproxy", ("--auth", "bearer")),
    Case("Envoy jwt_authn", "envoy", ("--auth", "bearer")),
    Case("Envoy jwt_authn, cached", "envoy-cached", ("--auth", "bearer")),
    Case("Apache mod_oauth2 DPoP", "apache", ("--origin", "http://api.test:{port}", "--pool", "30000")),
    Case("Node oauth4webapi DPoP", "node", ("--pool", "30000")),
    Case("gateway at half load", "gateway", after="gateway"),
    Case("baseline at half load", "baseline", REUSE, after="gateway"),
]


def play(house, cases, arguments):
    """One round: every case once."""
    results = {"signature": {"cpu_us_per_request": house.signature()}}
    for case in cases:
        options = ["--seconds", str(arguments.seconds), "--warmup", str(arguments.warmup)]
        if "--connections" not in case.arguments:
            options += ["--connections", str(arguments.connections)]
        if case.after:
            if case.after not in results:
                continue
            options += ["--rate", str(results[case.after]["requests_per_second"] / 2)]
        result = house.load(case, options)
        results[case.name] = result
        print(f"{case.name:28} {result['requests_per_second']:9,.0f} /s {result['cpu_us_per_request']:8.1f} us"
              f"  p99 {result['p99_us']:8,.0f} us  unexpected {result['unexpected']}"
              f"{'  POOL DRY' if result['pool_ran_dry'] else ''}", file=sys.stderr)
    return results
