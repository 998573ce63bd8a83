"""Memory at full load, with a million used proofs that are still remembered."""

import argparse
import sys
import time

import cases
import servers

GATEWAY = "gateway-full"
LIVE = 1_000_000
# Signed ahead at a time: 120 MB of proofs in the generator, four seconds of signing.
POOL = 250_000
# Hot keys, and how long they may take to cool, in seconds: a key that is very hot needs the longer.
HOT, COOLING = 512, 300
# Where something refuses, the count never comes there.
MOST_RUNS = 8


def measure(house, arguments):
    """A gateway of its own, whose proofs live long enough to sign and to send them all, driven at full speed until they are there."""
    house.start_gateway(GATEWAY, "upstream", house.server_cpu, "--max-age", "10m")
    time.sleep(servers.PAUSE)
    # The run ends with its pool. A few proofs more: some are on their way when it does.
    case = cases.Case("gateway, a million live proofs", GATEWAY, ("--pool", str(POOL + 1000)))
    endless = argparse.Namespace(seconds=600, warmup=0, connections=arguments.connections)
    accepted, live, resident = 0, 0, 0
    try:
        for _ in range(MOST_RUNS):
            result = house.load(case, endless)
            accepted += result["statuses"].get("200", 0)
            live = int(house.metric(GATEWAY, "keyproof_replay_entries"))
            # The one while all connections were busy, the other after them.
            resident = max(result["resident_kib"], house.resident(GATEWAY))
            print(f"{case.name:28} {live:9,} live, {resident / 1024:.1f} MiB, "
                  f"{result['requests_per_second']:,.0f} /s", file=sys.stderr)
            if live >= LIVE:
                break
        capacity = int(house.metric(GATEWAY, "keyproof_replay_capacity"))
        return {"accepted": accepted, "live": live, "wanted": LIVE, "capacity": capacity, "resident_kib": resident}
    finally:
        house.kill(GATEWAY)


def measure_hot(house, arguments):
    """What the tables of 512 hot keys take, and what is left of that when they have cooled."""
    name = cases.HOT_NEW
    house.kill(name)
    house.start_gateway(name, "upstream", house.server_cpu, "--hot-keys", str(HOT), "--max-age", "10m")
    time.sleep(servers.PAUSE)
    tables = lambda: int(house.metric(name, "keyproof_hot_keys"))
    idle = house.resident(name)
    case = cases.Case("gateway, 512 hot keys", name, ("--clients", str(HOT), "--rate", "5000"))
    for _ in range(4):
        house.load(case, argparse.Namespace(seconds=10, warmup=0, connections=arguments.connections))
        if tables() == HOT:
            break
    found, full = tables(), house.resident(name)
    for _ in range(COOLING):
        if not tables():
            break
        time.sleep(1)
    # What is given back goes to the system a second later.
    time.sleep(servers.PAUSE)
    cooled = house.resident(name)
    # What the requests themselves left behind is not the tables'.
    print(f"{case.name:28} {found} tables: {idle / 1024:.1f} MiB idle, {full / 1024:.1f} MiB hot, {cooled / 1024:.1f} MiB cooled", file=sys.stderr)
    house.kill(name)
    return {"tables": found, "idle_kib": idle, "hot_kib": full, "cooled_kib": cooled}
