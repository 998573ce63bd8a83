"""Writes what was measured into the two READMEs, between markers."""

import plot
import tables

PLOT = "benches/comparison.svg"


def write(root, data):
    (root / PLOT).write_text(plot.draw(data))
    fill(root / "benches/README.md", "machine", how(data))
    fill(root / "benches/README.md", "servers", tables.servers(data) + "\n" + picture("comparison.svg"))
    fill(root / "benches/README.md", "targets", tables.targets(data))
    fill(root / "README.md", "speed", "\n".join([how(data), tables.short(data), picture(PLOT)]))


def picture(path):
    return f"![CPU time of one request: the gateway, the baseline and the peers, as bars]({path})\n"


def how(data):
    """Where and when, so that nobody takes the figures for their own machine's."""
    machine, versions = data["machine"], ", ".join(data["machine"]["versions"].values())
    doubts = "".join(f"\n- {doubt}" for doubt in tables.doubts(data))
    return (f"{machine['date']}: {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}; "
            f"{tables.rounds(data)}, {data['seconds']:g} s a case. {versions}.\n" + (f"{doubts}\n" if doubts else ""))


def fill(path, marker, text):
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, rest = path.read_text().split(begin)
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}")
