"""The configurations of the peers: one worker, pooled upstream connections, an access log in a file."""

import json
import pathlib
import re

NGINX = """
daemon off; master_process off; worker_processes 1; pid {out}/nginx.pid; error_log {out}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log {out}/nginx-access.log combined buffer=64k;
  client_body_temp_path {out}/t1; proxy_temp_path {out}/t2; fastcgi_temp_path {out}/t3; uwsgi_temp_path {out}/t4; scgi_temp_path {out}/t5;
  keepalive_requests 1000000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

# What stands around deploy/front/nginx.conf.
AROUND_NGINX = """
daemon off; master_process off; worker_processes 1; pid {out}/{name}.pid; error_log {out}/{name}.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {out}/t1; proxy_temp_path {out}/t2; fastcgi_temp_path {out}/t3; uwsgi_temp_path {out}/t4; scgi_temp_path {out}/t5;
  include {file};
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str ES256 }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{out}/scene/issuer.pem") 1 }}
  default_backend back
backend back
  server up 127.0.0.1:{upstream}
"""

APACHE = """
ServerRoot {out}
PidFile {out}/apache.pid
ServerName http://api.test:80
UseCanonicalName On
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule oauth2_module {modules}/mod_oauth2.so
ErrorLog {out}/apache.log
LogLevel error
LogFormat "%h %t \\"%r\\" %>s %b" common
CustomLog {out}/apache-access.log common
BufferedLogs On
KeepAlive On
MaxKeepAliveRequests 0
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
OAuth2AcceptTokenIn header name=Authorization&type=DPoP
<Location "/">
  AuthType oauth2
  OAuth2TokenVerify jwk "{jwk}" type=dpop&verify.iat=skip&verify.exp=required
  Require valid-user
  ProxyPass http://127.0.0.1:{upstream}/ keepalive=On
</Location>
"""


def envoy(port, upstream, out, cached):
    jwks = (pathlib.Path(out) / "scene/jwks.json").read_text()
    provider = {"issuer": "https://id.test", "audiences": ["https://api.test"], "forward": True,
                "local_jwks": {"inline_string": jwks}}
    if cached:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    api = "type.googleapis.com/envoy.extensions"
    log = {"name": "file", "typed_config": {"@type": f"{api}.access_loggers.file.v3.FileAccessLog", "path": f"{out}/envoy-access.log"}}
    check = {"@type": f"{api}.filters.http.jwt_authn.v3.JwtAuthentication", "providers": {"main": provider},
             "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}]}
    route = {"virtual_hosts": [{"name": "all", "domains": ["*"],
                                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}]}
    manager = {"@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "in",
               "access_log": [log], "route_config": route,
               "http_filters": [{"name": "jwt", "typed_config": check},
                                {"name": "router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}}]}
    listener = {"name": "in", "address": address(port),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    endpoint = {"endpoint": {"address": address(upstream)}}
    cluster = {"name": "up", "type": "STATIC", "connect_timeout": "5s",
               "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def write(name, out, port, upstream):
    """Writes a peer's configuration and returns the command that runs it."""
    file = out / f"{name}.conf"
    here = pathlib.Path(__file__).parent
    if name == "node":
        (out / "gateway.mjs").write_text((here / "gateway.mjs").read_text())  # Beside its node_modules.
        return ["node", str(out / "gateway.mjs"), str(port), str(upstream), str(out / "scene/jwks.json")]
    if name.startswith("envoy"):
        file = out / f"{name}.json"
        file.write_text(envoy(port, upstream, out, name.endswith("cached")))
        return [str(out / "venv/bin/envoy"), "-c", str(file), "--concurrency", "1", "--log-level", "error",
                "--disable-hot-restart"]
    key = json.loads((out / "scene/jwks.json").read_text())["keys"][0]
    fill = {"out": out, "port": port, "upstream": upstream, "modules": "/usr/lib/apache2/modules",
            "jwk": json.dumps(key).replace('"', '\\"')}
    template = {"nginx": NGINX, "haproxy": HAPROXY, "apache": APACHE}[name]
    file.write_text(template.format(**fill))
    for temporary in ("t1", "t2", "t3", "t4", "t5"):
        (out / temporary).mkdir(exist_ok=True)
    return {"nginx": ["nginx", "-c", str(file), "-p", str(out)],
            "haproxy": ["haproxy", "-db", "-f", str(file)],
            "apache": ["apache2", "-X", "-f", str(file)]}[name]


# Where a front's file asks, and what is left out of it for one that does not ask.
QUESTIONS = {"nginx": (r"auth_request /_keyproof;\n",), "envoy": (r"- name: envoy.filters.http.ext_authz.*?(?=- name: envoy.filters.http.router)",)}


def front(name, root, out, port, asks, upstream):
    """Writes a front as `deploy/front` has it, with the question or without, and returns the command that runs it."""
    kind = "nginx" if "nginx" in name else "envoy"
    shipped = {"nginx": "nginx.conf", "envoy": "envoy-grpc.yaml" if "grpc" in name else "envoy.yaml"}[kind]
    text = (root / "deploy/front" / shipped).read_text()
    addresses = {"nginx": "127.0.0.1:{}", "envoy": "port_value: {}"}[kind]
    for written, now in ((8080, port), (4181, asks), (4180, asks), (9000, upstream)):
        text = text.replace(addresses.format(written), addresses.format(now))
    if not name.endswith("-asking"):
        for question in QUESTIONS[kind]:
            text = re.sub(question, "", text, flags=re.DOTALL)
    file = out / f"{name}.conf" if kind == "nginx" else out / f"{name}.yaml"
    file.write_text(text)
    if kind == "envoy":
        return [str(out / "venv/bin/envoy"), "-c", str(file), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    around = out / f"{name}-around.conf"
    around.write_text(AROUND_NGINX.format(out=out, name=name, file=file))
    for temporary in ("t1", "t2", "t3", "t4", "t5"):
        (out / temporary).mkdir(exist_ok=True)
    return ["nginx", "-c", str(around), "-p", str(out)]
