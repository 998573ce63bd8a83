"""The plot: CPU time of one request, as bars, with the bare signature check as a line through all of them."""

import cases
import tables

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 900, 312, 84, 92, 46, 22
# A bar longer than so many of the gateway's would hide what the others say: it is cut, and shows it.
LONGEST = 10

# Its own ground, so that it can be read on any page, and a dark one for those who ask for dark.
STYLE = """
  .ground { fill: #ffffff; stroke: #d5dbe1 } .text { fill: #1c2733 } .quiet { fill: #5a6672 } .bar { fill: #b4c0cb }
  .baseline { fill: #7d8fa1 } .gateway { fill: #0b7a57 } .signature { stroke: #c0392b } .signed { fill: #b03325 }
  .cut { fill: #ffffff } .value { stroke: #ffffff; stroke-width: 5px; paint-order: stroke }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #12181f; stroke: #2c3641 } .text { fill: #e6ebf0 } .quiet { fill: #98a5b2 } .bar { fill: #465563 }
    .baseline { fill: #7b90a5 } .gateway { fill: #2fb98a } .signature { stroke: #ff8a75 } .signed { fill: #ff9a87 }
    .cut { fill: #12181f } .value { stroke: #12181f }
  }
"""


def draw(data):
    values = {name: tables.median(data, lambda r: r[name][tables.CPU]) for name in tables.names(data) if name in cases.CHECKS}
    longest = min(max(values.values()), LONGEST * values.get("gateway", 1e9))
    scale = (WIDTH - LEFT - RIGHT) / longest
    bottom = TOP + len(values) * ROW
    height = bottom + 40
    places = [(TOP + place * ROW, name, value, min(value, longest) * scale) for place, (name, value) in enumerate(values.items())]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="14">',
        "<title>CPU time of one request, less is better</title>", f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        '<text class="text" x="24" y="36" font-size="19" font-weight="600">CPU time of one request, µs (less is better)</text>',
        '<text class="quiet" x="24" y="58" font-size="13">GET over HTTP/1.1 keep-alive, 32 connections, one core for the server; '
        f"{tables.rounds(data)}. Below each name: what it checks.</text>",
        *(part for place in places for part in bar(*place, cut=place[2] > longest)),
        *line(tables.median(data, lambda r: r["signature"][tables.CPU]), scale, bottom),
        *(part for place in places for part in label(*place)),
        "</svg>", ""])


def bar(y, name, _, width, cut):
    colour = name if name in ("gateway", "baseline") else "bar"
    yield f'<rect class="{colour}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3"/>'
    if cut:
        yield f'<path class="cut" d="M{LEFT + width - 30:.1f} {y + BAR + 2} l8 -{BAR + 4} h7 l-8 {BAR + 4} z"/>'


def line(signature, scale, bottom):
    """What nobody who checks a fresh proof with the same library can be under."""
    x = LEFT + signature * scale
    yield (f'<line class="signature" x1="{x:.1f}" y1="{TOP - 10}" x2="{x:.1f}" y2="{bottom + 6}" '
           'stroke-width="1.5" stroke-dasharray="4 3"/>')
    yield (f'<text class="signed" x="{x + 8:.1f}" y="{bottom + 10}" font-size="13">'
           f"one ES256 verification with ring, by itself: {signature:.0f} µs</text>")


def label(y, name, value, width):
    """The server and what it checks before the bar, the figure behind it."""
    weight, shown = 600 if name == "gateway" else 400, cases.SHOWN.get(name, name)
    middle = y + BAR // 2
    yield f'<text class="text" x="{LEFT - 14}" y="{middle - 1}" text-anchor="end" font-weight="{weight}">{shown}</text>'
    yield f'<text class="quiet" x="{LEFT - 14}" y="{middle + 15}" text-anchor="end" font-size="12">{cases.CHECKS[name]}</text>'
    yield f'<text class="text value" x="{LEFT + width + 9:.1f}" y="{middle + 5}" font-weight="{weight}">{value:,.0f}</text>'
