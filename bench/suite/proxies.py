"""The three gateways, each configured to do the same: forward to one model and copy a share to a shadow."""
import contextlib

from . import peers
from .common import Running, family, find, free_port, wait_for
from .models import nginx_head, nginx_http


class Nginx:
    name = "nginx"

    def __init__(self, folder, models, tools):
        self.folder, self.models, self.tools = folder, models, tools

    @contextlib.contextmanager
    def start(self, percent, shadow, http2=False):
        port, config = free_port(), self.folder / "nginx.conf"
        upstreams = f"upstream prod {{ server 127.0.0.1:{self.models.prod}; keepalive 600; keepalive_requests 100000000; }}\n"
        mirror = copy = ""
        if percent:
            target = self.models.shadow(shadow)
            upstreams += f"upstream shadow {{ server 127.0.0.1:{target}; keepalive 600; keepalive_requests 100000000; }}\n"
            if percent < 100:
                upstreams += f'split_clients "$request_id" $pick {{ {percent}% 1; * 0; }}\n'
            pick = "if ($pick = 0) { return 204; }" if percent < 100 else ""
            mirror = "mirror /copy;"
            copy = f"location = /copy {{ internal; {pick} proxy_pass http://shadow$request_uri; }}"
        listen = f"127.0.0.1:{port}" + (" http2" if http2 else "")
        config.write_text(
            nginx_head(self.folder, "nginx") + "http {\n" + nginx_http(self.folder, "nginx") + upstreams +
            'proxy_http_version 1.1; proxy_set_header Connection "";\n' +
            f"server {{ listen {listen}; location / {{ {mirror} proxy_pass http://prod; }} {copy} }}\n}}\n")
        with Running([find("nginx", "/usr/sbin/nginx"), "-c", config], self.folder / "nginx.log") as process:
            wait_for(port, process)
            # The worker does the work; its parent only starts it.
            yield port, family(process.pid)[1:] or [process.pid], None


class Envoy:
    name = "Envoy"

    def __init__(self, folder, models, tools):
        self.folder, self.models, self.tools = folder, models, tools

    @contextlib.contextmanager
    def start(self, percent, shadow, http2=False):
        port, config = free_port(), self.folder / "envoy.yaml"
        clusters = [("prod", self.models.prod)]
        mirror = ""
        if percent:
            clusters.append(("shadow", self.models.shadow(shadow)))
            mirror = ("request_mirror_policies: [{cluster: shadow, runtime_fraction: "
                      f"{{default_value: {{numerator: {percent}, denominator: HUNDRED}}}}}}], ")
        config.write_text(ENVOY.format(port=port, mirror=mirror, codec="HTTP2" if http2 else "AUTO",
                                       clusters="".join(ENVOY_CLUSTER.format(name=n, port=p) for n, p in clusters)))
        command = [self.tools["envoy"], "-c", config, "--concurrency", "1", "--log-level", "warning", "--use-dynamic-base-id"]
        with Running(command, self.folder / "envoy.log") as process:
            wait_for(port, process)
            yield port, [process.pid], None


ENVOY_CLUSTER = """  - name: {name}
    type: STATIC
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}}]}}
    load_assignment:
      cluster_name: {name}
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]
"""
ENVOY = """static_resources:
  listeners:
  - name: gateway
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: gateway
          codec_type: {codec}
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: prod, {mirror}timeout: 15s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
{clusters}"""


class Driftline:
    """The whole program: every request is decoded, its 30 features are counted, total and tenant."""
    name = "Driftline"

    def __init__(self, folder, models, tools):
        self.folder, self.models, self.tools = folder, models, tools
        self.starts = 0

    @contextlib.contextmanager
    def start(self, percent, shadow, http2=False):
        self.starts += 1
        port, admin = free_port(), free_port()
        versions, copy = f"v2: http://127.0.0.1:{self.models.prod}", ""
        if percent:
            versions += f", v1: http://127.0.0.1:{self.models.shadow(shadow)}"
            copy = f"    shadow: {{ version: v1, percent: {percent} }}\n"
        config = self.folder / "driftline.yaml"
        config.write_text(
            f"listen: 127.0.0.1:{port}\nadmin: 127.0.0.1:{admin}\nworkers: 1\nstore: {self.folder}/state-{self.starts}\n"
            f"models:\n  fraud:\n    versions: {{ {versions} }}\n    active: v2\n    tenant: x-tenant-id\n{copy}")
        with Running([self.tools["driftline"], "run", "-c", config], self.folder / "driftline.log") as process:
            wait_for(port, process)
            wait_for(admin, process)
            yield port, [process.pid], admin


class Bare:
    """Our gateway alone: nothing is kept of a request (`off`), or kept and thrown away undecoded (`kept`)."""

    def __init__(self, folder, models, tools, tap):
        self.folder, self.models, self.tools, self.tap = folder, models, tools, tap
        self.name = "Driftline, tap off" if tap == "off" else "Driftline, decoding off"

    @contextlib.contextmanager
    def start(self, percent, shadow, http2=False):
        port = free_port()
        command = [self.tools["gateway"], f"127.0.0.1:{port}", f"http://127.0.0.1:{self.models.prod}"]
        if percent:
            command += [f"http://127.0.0.1:{self.models.shadow(shadow)}", str(percent)]
        with Running(command, self.folder / "bare.log", env={"TAP": self.tap}) as process:
            wait_for(port, process)
            yield port, [process.pid], None


def all_versions(tools):
    return {"nginx": peers.version([find("nginx", "/usr/sbin/nginx"), "-v"]),
            "Envoy": peers.version([tools["envoy"], "--version"], r"/(\d+\.\d+\.\d+)/")}
