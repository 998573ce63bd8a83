"""Tables of ratios: each ratio is taken within a round, then the median over the rounds."""

import statistics

RATE, CPU, P99 = "requests_per_second", "cpu_us_per_request", "p99_us"

# What is promised: name, how it is computed from one round, the limit, and whether it is a least or a most.
TARGETS = [
    ("CPU of a good request ÷ baseline", lambda r: ratio(r, CPU, "gateway", "baseline"), 1.15, "most"),
    ("requests per second ÷ baseline", lambda r: ratio(r, RATE, "gateway", "baseline"), 0.87, "least"),
    ("the same over TLS 1.3", lambda r: ratio(r, RATE, "gateway TLS", "baseline TLS"), 0.87, "least"),
    ("the same over HTTP/2, 32 streams", lambda r: ratio(r, RATE, "gateway HTTP/2", "baseline HTTP/2"), 0.87, "least"),
    ("requests per second ÷ Apache mod_oauth2", lambda r: ratio(r, RATE, "gateway", "Apache mod_oauth2 DPoP"), 6, "least"),
    ("requests per second ÷ Node oauth4webapi", lambda r: ratio(r, RATE, "gateway", "Node oauth4webapi DPoP"), 7, "least"),
    ("refusing: no token, CPU ÷ good", lambda r: ratio(r, CPU, "gateway refusing no-token", "gateway"), 0.30, "most"),
    ("refusing: bad token signature", lambda r: ratio(r, CPU, "gateway refusing bad-token", "gateway"), 1.1, "most"),
    ("refusing: wrong claims in the proof", lambda r: ratio(r, CPU, "gateway refusing wrong-claims", "gateway"), 0.35, "most"),
    ("refusing: bad proof signature", lambda r: ratio(r, CPU, "gateway refusing bad-proof", "gateway"), 0.9, "most"),
    ("refusing: replay", lambda r: ratio(r, CPU, "gateway refusing replay", "gateway"), 0.9, "most"),
    ("p99 at half of full load ÷ baseline", lambda r: ratio(r, P99, "gateway at half load", "baseline at half load"), 1.10, "most"),
    ("100,000 clients ÷ 20, requests per second", lambda r: ratio(r, RATE, "gateway 100,000 clients", "gateway"), 0.85, "least"),
]
IDLE_MIB = 14


def ratio(results, figure, one, other):
    return results[one][figure] / results[other][figure]


def median(data, compute):
    """The median over the rounds that have everything it needs."""
    values = []
    for results in data["rounds"]:
        try:
            values.append(compute(results))
        except (KeyError, ZeroDivisionError):
            pass
    return statistics.median(values) if values else None


def names(data):
    return list(dict.fromkeys(name for results in data["rounds"] for name in results))


def servers(data):
    rows = [("", "req/s", "CPU us", "÷ baseline", "÷ signature", "p50 us", "p99 us", "MiB")]
    signature = median(data, lambda r: r["signature"][CPU])
    for name in sorted(names(data), key=lambda name: median(data, lambda r: r[name][CPU])):
        figure = lambda key: median(data, lambda r: r[name][key])
        relative = median(data, lambda r: ratio(r, CPU, name, "baseline"))
        rows.append((name, number(figure(RATE), 0), number(figure(CPU), 1), number(relative, 2),
                     number(figure(CPU) / signature, 2), number(figure("p50_us"), 0), number(figure(P99), 0),
                     number((figure("resident_kib") or 0) / 1024, 0)))
    return table(rows)


def targets(data):
    rows = [("target", "limit", "measured", "")]
    for name, compute, limit, kind in TARGETS:
        value = median(data, compute)
        if value is not None:
            met = value <= limit if kind == "most" else value >= limit
            rows.append((name, f"{'≤' if kind == 'most' else '≥'} {limit:g}", f"{value:.2f}", "met" if met else "missed"))
    idle = data.get("idle_kib", {}).get("gateway")
    if idle:
        rows.append(("memory, idle", f"≤ {IDLE_MIB} MiB", f"{idle / 1024:.1f} MiB", "met" if idle <= IDLE_MIB * 1024 else "missed"))
    return table(rows)


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def table(rows):
    """Markdown, columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    line = lambda row: "| " + " | ".join(
        cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))) + " |"
    rule = "| " + " | ".join("-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)) + " |"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:]), ""])
