"""Writes what was measured into the two READMEs, between markers."""

import cases
import plot
import tables

PLOT = "benches/comparison.svg"


def write(root, data):
    (root / PLOT).write_text(plot.draw(data))
    fill(root / "benches/README.md", "machine", how(data))
    fill(root / "benches/README.md", "servers", tables.servers(data) + "\n" + picture("comparison.svg"))
    fill(root / "benches/README.md", "targets", tables.targets(data))
    fill(root / "docs/fronts.md", "added", tables.added(data))
    fill(root / "README.md", "speed", "\n".join([how(data, cases.CHECKS), tables.short(data), picture(PLOT)]))


def picture(path):
    return f"![CPU time of one request: the gateway, the baseline and the peers, as bars]({path})\n"


def how(data, of=None):
    """Where and when, so that nobody takes the figures for their own machine's, and what is doubtful about these cases or all."""
    machine, versions = data["machine"], ", ".join(data["machine"]["versions"].values())
    where = (f"{machine['date']}: {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}; "
             f"{tables.rounds(data)}, {data['seconds']:g} s a case. {versions}.")
    return "\n\n".join([where, *tables.doubts(data, of)]) + "\n"


def fill(path, marker, text):
    begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    before, rest = path.read_text().split(begin)
    path.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}")
