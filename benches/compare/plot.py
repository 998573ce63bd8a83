"""The plot: CPU time of one request, as bars, with the bare signature check as a line through all of them."""

import tables

COLOURS = {"gateway": "#0b6e4f", "baseline": "#7a8b99"}
CHECKS = {
    "baseline": "one bare ES256 check",
    "gateway": "token, DPoP proof, replay, identity",
    "nginx, no check": "nothing checked",
    "HAProxy jwt_verify": "bearer token only",
    "Envoy jwt_authn": "bearer token only",
    "Envoy jwt_authn, cached": "bearer token only, cached",
    "Apache mod_oauth2 DPoP": "token, DPoP proof (no ath)",
    "Node oauth4webapi DPoP": "token, DPoP proof, replay",
}
# The longest bar, in lengths of the gateway's.
LONGEST = 4
WIDTH, LEFT, BAR, GAP, TOP = 860, 210, 26, 14, 64


def draw(data):
    bars = [(name, tables.median(data, lambda r, n=name: r[n][tables.CPU])) for name in CHECKS]
    bars = sorted([bar for bar in bars if bar[1] is not None], key=lambda bar: bar[1])
    if not bars:
        return ""
    signature = tables.median(data, lambda r: r["signature"][tables.CPU])
    # One bar that dwarfs the others would hide what they say: it is cut, and shows it.
    longest = min(max(value for _, value in bars), LONGEST * dict(bars).get("gateway", 1e9))
    scale = (WIDTH - LEFT - 280) / longest
    bottom = TOP + len(bars) * (BAR + GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" role="img" '
             'font-family="system-ui, sans-serif" font-size="13">',
             "<title>CPU time per request, lower is better</title>",
             f'<rect width="{WIDTH}" height="{bottom + 40}" fill="#ffffff"/>',
             '<text x="16" y="26" font-size="16" font-weight="600">CPU time per request (µs), lower is better</text>',
             '<text x="16" y="46" fill="#5a6672">GET, HTTP/1.1 keep-alive, 32 connections, one core; medians of one interleaved run</text>']
    for place, (name, value) in enumerate(bars):
        y = TOP + place * (BAR + GAP)
        width = min(value, longest) * scale
        parts += [f'<text x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{name}</text>',
                  f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" fill="{COLOURS.get(name, "#b9c4cd")}"/>',
                  f'<text x="{LEFT + width + 8:.1f}" y="{y + 17}">{value:.0f}'
                  f'<tspan dx="8" fill="#5a6672">{CHECKS[name]}</tspan></text>']
        if value > longest:
            x = LEFT + width - 26
            parts.append(f'<path d="M{x:.1f} {y + BAR + 2} l8 -{BAR + 4} h7 l-8 {BAR + 4} z" fill="#ffffff"/>')
    x = LEFT + signature * scale
    parts += [f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#c0392b" stroke-dasharray="4 3"/>',
              f'<text x="{x + 6:.1f}" y="{bottom + 18}" fill="#c0392b">one ES256 verification: {signature:.0f} µs</text>', "</svg>"]
    return "\n".join(parts) + "\n"
