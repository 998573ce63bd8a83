"""The plot: CPU time of one request, as bars, with the bare signature check as a line through all of them."""

import cases
import tables

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 880, 272, 96, 92, 46, 22
# A bar longer than so many of the gateway's would hide what the others say: it is cut, and shows it.
LONGEST = 12

# Its own ground, so that it can be read on any page, and a dark one for those who ask for dark.
STYLE = """
  .ground { fill: #ffffff; stroke: #d5dbe1 } .text { fill: #1c2733 } .quiet { fill: #5a6672 } .bar { fill: #b4c0cb }
  .baseline { fill: #7d8fa1 } .gateway { fill: #0b7a57 } .signature { stroke: #c0392b } .signed { fill: #b03325 } .cut { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #12181f; stroke: #2c3641 } .text { fill: #e6ebf0 } .quiet { fill: #98a5b2 } .bar { fill: #44525f }
    .baseline { fill: #71869a } .gateway { fill: #2fb98a } .signature { stroke: #ff8a75 } .signed { fill: #ff9a87 } .cut { fill: #12181f }
  }
"""


def draw(data):
    bars = [(name, tables.median(data, lambda r: r[name][tables.CPU])) for name in tables.names(data) if name in cases.CHECKS]
    signature = tables.median(data, lambda r: r["signature"][tables.CPU])
    longest = min(max(value for _, value in bars), LONGEST * dict(bars).get("gateway", 1e9))
    scale = (WIDTH - LEFT - RIGHT) / longest
    bottom = TOP + len(bars) * ROW
    height = bottom + 44
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
             'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="14">',
             "<title>CPU time of one request, less is better</title>", f"<style>{STYLE}</style>",
             f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
             '<text class="text" x="24" y="36" font-size="19" font-weight="600">CPU time of one request, µs (less is better)</text>',
             f'<text class="quiet" x="24" y="58" font-size="13">GET over HTTP/1.1 keep-alive, 32 connections, one core for the server; '
             f"medians of {len(data['rounds'])} rounds</text>"]
    for place, (name, value) in enumerate(bars):
        parts += row(TOP + place * ROW, name, value, min(value, longest) * scale, value > longest)
    x = LEFT + signature * scale
    parts += [f'<line class="signature" x1="{x:.1f}" y1="{TOP - 10}" x2="{x:.1f}" y2="{bottom}" stroke-width="1.5" stroke-dasharray="4 3"/>',
              f'<text class="signed" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" font-size="13">'
              f"one ES256 verification by itself: {signature:.0f} µs</text>", "</svg>"]
    return "\n".join(parts) + "\n"


def row(y, name, value, width, cut):
    """The server and what it checks, its bar, the figure."""
    colour = name if name in ("gateway", "baseline") else "bar"
    weight = 600 if name == "gateway" else 400
    middle = y + BAR / 2
    parts = [f'<text class="text" x="{LEFT - 14}" y="{middle - 1:.0f}" text-anchor="end" font-weight="{weight}">{name}</text>',
             f'<text class="quiet" x="{LEFT - 14}" y="{middle + 15:.0f}" text-anchor="end" font-size="12">{cases.CHECKS[name]}</text>',
             f'<rect class="{colour}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3"/>',
             f'<text class="text" x="{LEFT + width + 9:.1f}" y="{middle + 5:.0f}" font-weight="{weight}">{value:.0f}</text>']
    if cut:
        parts.append(f'<path class="cut" d="M{LEFT + width - 30:.1f} {y + BAR + 2} l8 -{BAR + 4} h7 l-8 {BAR + 4} z"/>')
    return parts
