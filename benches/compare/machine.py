"""What it was measured on and with."""

import datetime
import os
import pathlib
import re
import subprocess

VERSIONS = {
    "nginx": ("nginx", ["nginx", "-v"]),
    "haproxy": ("HAProxy", ["haproxy", "-v"]),
    "envoy": ("Envoy", ["{venv}/bin/envoy", "--version"]),
    "apache": ("Apache", ["apache2", "-v"]),
    "node": ("Node", ["node", "--version"]),
}


def describe(house, up):
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "kernel": os.uname().release,
        "versions": {name: version(house, *VERSIONS[name]) for name in up if name in VERSIONS},
    }


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def version(house, name, command):
    command = [part.format(venv=house.directory / "venv") for part in command]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    number = re.search(r"\d+\.\d+(\.\d+)?", said)
    return f"{name} {number.group()}" if number else name
