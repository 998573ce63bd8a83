//! What the YAML says, as it says it: every key of the file, its kind, its default and its meaning.

#![expect(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "the comments on keys are the schema's descriptions too, and those are plain text"
)]

use super::plan::{Authorization, Balance, ListenerMode, UpstreamHost, UpstreamProtocol};
use super::problem::{Findings, Position};
use super::read::{Entries, List, Read, Spot, about, choice, did_you_mean, object, property, section, words};
use super::tree::{Node, Placed};
use super::value::{Fields, OrOff, Pairs, Urls, word};
use crate::authorize::Mode;
use crate::certificate::Format;
use crate::dpop::NoncePolicy;
use crate::replay::OnStart;
use serde_json::{Map, Value, json};
use std::time::Duration;

type Text = Spot<String>;
type Span = Spot<Duration>;
type Count = Spot<u64>;
type Flag = Spot<bool>;

/// The JSON Schema of the file, as text.
pub fn schema() -> String {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "keyproof configuration",
    });
    if let (Value::Object(head), Value::Object(body)) = (&mut schema, Document::schema()) {
        head.extend(body);
    }
    format!("{schema:#}\n")
}

section! {
    /// The configuration file of keyproof, the gateway that enforces DPoP (RFC 9449) in front of any API.
    /// Durations are 250ms, 60s, 5m or 1h; relative paths are relative to this file;
    /// ${NAME} and ${NAME:-default} in values take environment variables.
    Document {
        /// true: this file is read again by itself within 5 s of a change, as the files that it names always are; false: on SIGHUP alone.
        watch: default(Flag, json!(false)),
        /// Where clients, or front proxies, come in.
        listeners: required(List<Listener>),
        /// How long a stop may take.
        limits: default(Limits, json!({})),
        /// Where the operator comes in.
        admin: default(Admin, json!({})),
        /// The origins that clients put into htu, such as https://api.example.com; a request for any other authority gets 421.
        public_origins: required(List<Text>),
        /// Who issues access tokens; needed unless every route is public.
        issuers: default(List<Issuer>, json!([])),
        /// A file of whom the gateway refuses, whatever the issuer says, one on each line: jkt:THUMBPRINT, x5t:THUMBPRINT, jti:ID of a token,
        /// client:NAME, sub:NAME, or client:ISSUER NAME, sub:ISSUER NAME; # begins a comment. In force within 5 s of a change. A file without
        /// an entry needs a line "# empty".
        denied_file: optional(Text),
        /// What a DPoP proof must be.
        dpop: default(Dpop, json!({})),
        /// How used proofs are remembered.
        replay: default(Replay, json!({})),
        /// Where requests are forwarded to. Not needed where no listener is a proxy.
        upstreams: default(List<Upstream>, json!([])),
        /// Which request goes where, and what it must bring. The longest matching path wins, then the more specific host,
        /// then the route with methods; the order in the file never matters.
        routes: required(List<Route>),
    }
}

section! {
    /// Where clients, or front proxies, come in.
    Listener {
        /// Its name, a metric label: letters, digits, ".", "_" and "-".
        name: required(Text),
        /// The IP address and port it listens on, such as 0.0.0.0:8443 or [::]:8443; or systemd:NAME, the sockets that systemd hands over under
        /// the name that FileDescriptorName= gives them.
        address: required(Text),
        /// Certificate and key. Absent: plain HTTP/1.1 and, with prior knowledge, HTTP/2; with a warning unless the address is loopback.
        tls: optional(Tls),
        /// What it is for: proxy forwards; forward_auth and ext_authz_grpc answer other proxies' questions.
        mode: default(Spot<ListenerMode>, json!("proxy")),
        /// The networks whose X-Forwarded-* and X-Original-* headers describe the request, such as 10.0.0.0/8. Required with forward_auth
        /// and ext_authz_grpc; on a proxy listener optional, for the client's address and an X-Forwarded-Host where the front rewrites Host.
        trusted_proxies: default(List<Text>, json!([])),
        /// Where fronts that end TLS name the certificate which their client has shown. Believed from trusted_proxies only; removed from everybody
        /// else's requests.
        client_certificate: optional(ClientCertificate),
    }
}

section! {
    /// The header in which trusted_proxies name the certificate that their client has shown, for tokens that are bound to one (RFC 8705). A front
    /// must set or remove it in every request.
    ClientCertificate {
        /// Its name.
        header: default(Text, json!("Client-Cert")),
        /// How the certificate is written. rfc9440: a byte sequence; xfcc: Envoy's X-Forwarded-Client-Cert, with Cert; pem_urlencoded: nginx's
        /// $ssl_client_escaped_cert, HAProxy, AWS.
        format: default(Spot<Format>, json!("rfc9440")),
    }
}

section! {
    /// How long a stop may take.
    Limits {
        /// How long requests may take to end once the listeners have closed, which is after drain_delay; then they are cut off. At most 24h.
        drain_timeout: default(Span, json!("30s")),
        /// For so long after SIGTERM connections and requests are taken as before, while /readyz says no: whoever chooses among gateways has
        /// to notice first. At most 24h.
        drain_delay: default(Span, json!("0s")),
    }
}

section! {
    /// A listener's certificate and key.
    Tls {
        /// The PEM file of the certificate chain, the listener's own certificate first.
        certificate: required(Text),
        /// The PEM file of its private key.
        private_key: required(Text),
        /// The PEM file of the authorities whose client certificates are taken (RFC 8705). No client has to show one; one that is shown must be of
        /// theirs.
        client_ca: optional(Text),
        /// any, instead of client_ca: any client certificate is taken, self-signed ones too, as long as the client has its key.
        client_certificates: optional(Spot<AnyClientCertificate>),
    }
}

section! {
    /// Where the operator comes in.
    Admin {
        /// The IP address and port of /metrics, /livez, /readyz, /config and /version.
        address: default(Text, json!("127.0.0.1:9901")),
        /// A file with one line, a token. /config and /doctor are for whoever asks from this machine (loopback), and for who brings this token
        /// as Bearer; for everybody else they do not exist. Absent: for this machine alone. Read again within 5 s of a change.
        token_file: optional(Text),
        /// What Host may be, beside IP addresses and localhost: as gateway.internal, with any port, or gateway.internal:9901. Any other gets 421,
        /// but for /livez and /readyz: a browser can be led here by a name whose DNS is somebody else's.
        hosts: default(List<Text>, json!([])),
    }
}

section! {
    /// Who issues access tokens.
    Issuer {
        /// Its name, a metric label: letters, digits, ".", "_" and "-".
        name: required(Text),
        /// The issuer identifier, compared exactly with iss.
        issuer: required(Text),
        /// One of them must be in aud.
        audiences: required(List<Text>),
        /// The URL of its JWK Set. Without this and jwks_file: discovery (RFC 8414, then OpenID).
        jwks_uri: optional(Text),
        /// A file with its JWK Set, instead of jwks_uri.
        jwks_file: optional(Text),
        /// Allows plain http to this issuer when it is not on loopback.
        insecure_http: default(Flag, json!(false)),
        /// The signature algorithms of its tokens.
        algorithms: default(List<Text>, json!(["ES256", "PS256", "EdDSA"])),
        /// The typ values of its access tokens; add JWT for issuers that do not follow RFC 9068.
        token_types: default(List<Text>, json!(["at+jwt"])),
        /// Where this issuer puts what RFC 9068 calls client_id and scope. Everywhere else in this file, in headers and in logs, client_id and
        /// scope mean what was found.
        claims: default(ClaimNames, json!({})),
        /// The claims that a token must have, beside iss, exp and aud, which it always must have. Absent: at+jwt also needs sub, client_id, iat
        /// and jti.
        required_claims: optional(List<Text>),
        /// The PEM file of the authorities that vouch for the issuer's https servers, instead of the system's.
        ca: optional(Text),
        /// How long its keys are kept while they cannot be fetched again: 1m to 30d.
        max_stale: default(Span, json!("24h")),
        /// How much clocks may differ for exp, nbf and iat.
        leeway: default(Span, json!("10s")),
        /// For opaque tokens (RFC 7662).
        introspection: optional(Introspection),
    }
}

section! {
    /// Where an issuer puts what RFC 9068 calls client_id and scope: claims, of which the first that is there counts.
    ClaimNames {
        /// The client. Okta says cid, Entra azp.
        client_id: default(List<Text>, json!(["client_id"])),
        /// The scope, a text with spaces or a list of texts. Okta and Entra say scp.
        scope: default(List<Text>, json!(["scope"])),
    }
}

choice! {
    /// How the gateway says who it is.
    ClientAuthentication {
        /// In Authorization (RFC 6749 section 2.3.1).
        SecretBasic = "client_secret_basic",
        /// In the form.
        SecretPost = "client_secret_post",
        /// By a signature (RFC 7523 section 2.2).
        PrivateKeyJwt = "private_key_jwt",
        /// By its certificate (RFC 8705 section 2.1).
        Tls = "tls_client_auth",
    }
}

choice! {
    /// Which tokens are asked about.
    AskedAbout {
        /// Those that are no JWTs.
        Opaque = "opaque",
        /// All.
        All = "all",
    }
}

section! {
    /// Asks the issuer about opaque tokens (RFC 7662).
    Introspection {
        /// The URL that is asked about tokens whose first segment is no JSON object.
        endpoint: required(Text),
        /// The gateway's name at the issuer.
        client_id: required(Text),
        /// How the gateway says who it is: client_secret_basic and client_secret_post need client_secret_file; private_key_jwt needs
        /// private_key_file; tls_client_auth needs certificate and private_key.
        auth: default(Spot<ClientAuthentication>, json!("client_secret_basic")),
        /// The file with the gateway's secret on its first line.
        client_secret_file: optional(Text),
        /// The file with the private key that signs for the gateway: PEM or JWK.
        private_key_file: optional(Text),
        /// The PEM file of the certificate chain that the gateway shows.
        certificate: optional(Text),
        /// The PEM file of its private key.
        private_key: optional(Text),
        /// How long an active answer is believed, never longer than its exp: at most 1h; 0s asks every time. Others are believed for a second.
        cache: default(Span, json!("10s")),
        /// How long an answer may take: 10ms to 30s. Then the request is answered 503.
        timeout: default(Span, json!("3s")),
        /// How many questions there may be at once: 1 to 10000. One client address may cause 8 of them. Beyond that requests are answered 503.
        concurrency: default(Count, json!(64)),
        /// What is asked about: opaque tokens, or all, so that JWTs that were revoked are refused too.
        about as "for": default(Spot<AskedAbout>, json!("opaque")),
        /// true: the answer must be a JWT (RFC 9701), which the issuer's keys verify.
        signed: default(Flag, json!(false)),
    }
}

section! {
    /// What a DPoP proof must be (RFC 9449 section 4.3).
    Dpop {
        /// The signature algorithms of proofs; EdDSA also takes the name Ed25519.
        algorithms: default(List<Text>, json!(["ES256", "EdDSA", "PS256"])),
        /// For how many ES256 keys, seen often, verification is prepared (148 KiB each): 0 to 10000. 0: for none.
        hot_keys: default(Count, json!(0)),
        /// How old iat may be: 1s to 10m.
        max_age: default(Span, json!("60s")),
        /// How far in the future iat may be: at most 60s.
        leeway: default(Span, json!("10s")),
        /// The nonces that routes with "nonce: required" ask for.
        nonce: default(NonceSection, json!({})),
    }
}

section! {
    /// Server nonces (RFC 9449 section 8).
    NonceSection {
        /// How long a nonce is good: 1s to 1h.
        lifetime: default(Span, json!("2m")),
        /// A file with a secret of at least 32 bytes on its first line, the same on every replica; a second line is the previous secret.
        /// Absent: random at start.
        secret_file: optional(Text),
    }
}

section! {
    /// How used proofs are remembered.
    Replay {
        /// Where: in this process's memory, or in Redis.
        store: default(Spot<ReplayStore>, json!("memory")),
        /// How many live proofs are remembered before answering 503: 1 to 100000000.
        capacity: default(Count, json!(2_000_000)),
        /// How many live proofs of one key are remembered before answering 429.
        per_key_limit: default(Count, json!(20_000)),
        /// How many live proofs of one subject of one issuer, however many keys it has, are remembered before answering 429. Absent: a quarter
        /// of the capacity, or per_key_limit where that is smaller than the capacity and more than a quarter of it.
        per_subject_limit: optional(Count),
        /// A directory in which used proofs survive a restart, kill -9 included.
        journal: optional(Text),
        /// What to do about the time before the start where no journal vouches for it. challenge: proofs that could have been used before it
        /// get use_dpop_nonce; wait: not ready until no honest client's proof can be among them, older ones are refused.
        on_start: default(Spot<OnStart>, json!("challenge")),
        /// The shared store; used with "store: redis".
        redis: optional(Redis),
    }
}

section! {
    /// The shared replay store.
    Redis {
        /// redis://[user:password@]host:6379/0, or rediss:// for TLS; redis+sentinel://[user:password@]host:26379,host:26379/service/0, or
        /// rediss+sentinel:// for TLS to Sentinels and Redis; a list of nodes for a cluster. Users and passwords are percent-encoded.
        url: required(Urls),
        /// A file with the password that Sentinels ask for; absent: the password of the URL.
        sentinel_password_file: optional(Text),
        /// How long an answer may take.
        timeout: default(Span, json!("50ms")),
        /// What to do while it cannot be asked. refuse: 503; accept: let through and count it, loudly.
        on_failure: default(Spot<OnFailure>, json!("refuse")),
        /// The operator vouches for maxmemory-policy noeviction, where Redis may not be asked.
        assume_noeviction: default(Flag, json!(false)),
    }
}

section! {
    /// Where requests are forwarded to.
    Upstream {
        /// Its name, a metric label: letters, digits, ".", "_" and "-".
        name: required(Text),
        /// Its servers, as http://host:port or https://host:port. A name stands for every address that it resolves to.
        servers: required(List<Text>),
        /// What is spoken to its servers. http1: HTTP/1.1; http2: HTTP/2, over TLS by ALPN and else with prior knowledge; auto: over TLS whichever
        /// of the two the server chooses by ALPN, else HTTP/1.1. gRPC needs HTTP/2.
        protocol: default(Spot<UpstreamProtocol>, json!("http1")),
        /// The Host that its servers get. public: what the client asked for; server: the server's own name, as virtual hosts need it.
        host: default(Spot<UpstreamHost>, json!("public")),
        /// How https:// servers are spoken to. Absent: whom the system trusts, and the server's own name.
        tls: optional(UpstreamTls),
        /// How often names are looked up again: 1s to 1h. A look-up that fails keeps the last addresses.
        resolve: default(Span, json!("10s")),
        /// Which server a request goes to. round_robin: each in its turn; least_requests: the less busy of two at random.
        balance: default(Spot<Balance>, json!("round_robin")),
        /// Has each server asked, beside the requests, whether it is healthy; one that is not gets none. Absent: not asked.
        health: optional(HealthCheck),
        /// When a server rests whose requests fail, without being asked; never more than half of the servers do. off: never.
        eject: default(OrOff<Eject>, json!({})),
        /// How many connections each server may have: 1 to 1000000. More requests wait for timeouts.connect, then get 503.
        connections: default(Count, json!(1024)),
        /// How long it may take.
        timeouts: default(Timeouts, json!({})),
    }
}

section! {
    /// Asks servers whether they are healthy, each by itself.
    HealthCheck {
        /// What is asked for, as /healthz; any 2xx is healthy.
        path: required(Text),
        /// How long after an answer, or none, it is asked for again: 100ms to 1h.
        interval: default(Span, json!("5s")),
        /// How long an answer may take, the connection included.
        timeout: default(Span, json!("2s")),
        /// After so many failures in a row it is unhealthy: 1 to 1000.
        unhealthy_after: default(Count, json!(3)),
        /// After so many good answers in a row it is healthy again: 1 to 1000.
        healthy_after: default(Count, json!(2)),
    }
}

section! {
    /// When a server rests whose requests fail.
    Eject {
        /// After so many failures in a row (no connection, a reset, no answer in time, one that is malformed, 502 to 504): 1 to 1000.
        after: default(Count, json!(5)),
        /// How long it rests the first time: 100ms to 5m. Each time that it fails again soon after, it is twice as long, up to 5m.
        rest as "for": default(Span, json!("10s")),
    }
}

section! {
    /// How https:// servers are spoken to.
    UpstreamTls {
        /// The PEM file of the authorities that vouch for the servers, instead of the system's.
        ca: optional(Text),
        /// The name that is asked for and must be in the server's certificate. Absent: the server's own.
        server_name: optional(Text),
        /// The PEM file of the gateway's own certificate chain, for servers that ask for one. Needs private_key.
        certificate: optional(Text),
        /// The PEM file of its private key.
        private_key: optional(Text),
    }
}

section! {
    /// How long an upstream may take.
    Timeouts {
        /// Until connected.
        connect: default(Span, json!("5s")),
        /// Until the head of the response has arrived, then 504.
        response: default(Span, json!("60s")),
        /// Between bytes of an answer's body, or of a tunnel; then it is cut.
        idle: default(Span, json!("5m")),
    }
}

section! {
    /// Which request goes where, and what it must bring.
    Route {
        /// Its name, a metric label: letters, digits, ".", "_" and "-".
        name: required(Text),
        /// Which requests it takes.
        matches as "match": required(Match),
        /// The name of the upstream that they go to. Not needed where no listener is a proxy.
        upstream: optional(Text),
        /// Which tokens it takes: dpop (bound to a key), mtls (bound to a certificate), bearer (unbound).
        accept: default(List<Spot<Token>>, json!(["dpop"])),
        /// No token is asked for; identity headers are still stripped.
        public: default(Flag, json!(false)),
        /// observe: let through, without identity headers, and record what would have been refused.
        mode: default(Spot<Mode>, json!("enforce")),
        /// Whether proofs need a nonce of ours.
        nonce: default(Spot<NoncePolicy>, json!("off")),
        /// The names of the issuers whose tokens it takes; absent: all.
        issuers: default(List<Text>, json!([])),
        /// The scopes a token must have, all of them.
        scopes: default(List<Text>, json!([])),
        /// The first segments of match.path that the upstream does not see; htu always is the public URL.
        strip_prefix: optional(Text),
        /// What the upstream sees in place of match.path, such as /v1/orders; htu always is the public URL. Instead of strip_prefix.
        replace_prefix: optional(Text),
        /// keep: %2F is allowed in this route's paths and forwarded as it came.
        encoded_slashes: default(Spot<EncodedSlashes>, json!("refuse")),
        /// The protocols, such as websocket, that requests may switch to (HTTP/1.1 alone): both sides then send what they like.
        upgrades: default(List<Text>, json!([])),
        /// token_expiry: a tunnel, or an answer that is still running, is cut at exp plus the issuer's leeway, or within 5 s once it is denied.
        streams_end: default(Spot<StreamsEnd>, json!("never")),
        /// How long the upstream may take with this route's requests. Absent: as the upstream says.
        timeouts: default(RouteTimeouts, json!({})),
        /// Header fields of the operator's own, after everything else.
        headers: default(FieldRules, json!({})),
        /// What the upstream is told about the client.
        identity: default(Identity, json!({})),
        /// Which browser origins may read answers.
        cors: optional(Cors),
    }
}

section! {
    /// Which requests a route takes.
    Match {
        /// Hosts of public_origins, as api.example.com (any port) or api.example.com:8443; absent: every public origin.
        hosts: default(List<Text>, json!([])),
        /// The path, by whole segments: /orders takes /orders and /orders/…, never /ordersx; / takes all.
        path: required(Text),
        /// The methods; absent: any.
        methods: default(List<Text>, json!([])),
    }
}

section! {
    /// How long the upstream may take with a route's requests. What is absent is as the upstream says.
    RouteTimeouts {
        /// Until connected.
        connect: optional(Span),
        /// Until the head of the response has arrived, then 504.
        response: optional(Span),
        /// Between bytes of an answer's body, or of a tunnel; then it is cut.
        idle: optional(Span),
    }
}

section! {
    /// Header fields of the operator's own, after everything else: never an identity header, nor one that frames the message.
    FieldRules {
        /// In requests, as the upstream sees them.
        request: default(FieldChanges, json!({})),
        /// In answers, refusals too.
        response: default(FieldChanges, json!({})),
    }
}

section! {
    /// What becomes of header fields. First remove, then set.
    FieldChanges {
        /// Fields and their values, in place of whatever is there. What comes from the environment is never shown.
        set: default(Fields, json!({})),
        /// Fields and the files whose first line is their value; neither is ever shown. Read again within 5 s of a change.
        set_file: default(Pairs, json!({})),
        /// Fields that are removed.
        remove: default(List<Text>, json!([])),
    }
}

section! {
    /// What the upstream is told about the client.
    Identity {
        /// Header names and the claims they are set from, such as cnf.jkt. No client can send them.
        headers: default(Pairs, json!({
            "X-Auth-Subject": "sub",
            "X-Auth-Client": "client_id",
            "X-Auth-Scope": "scope",
            "X-Auth-Issuer": "iss",
            "X-Auth-Key": "cnf.jkt",
        })),
        /// What becomes of Authorization. bearer: hand the token on as Bearer, for legacy APIs; keep: as it came.
        authorization: default(Spot<Authorization>, json!("remove")),
    }
}

section! {
    /// Browser clients.
    Cors {
        /// The origins whose scripts may call this route, such as https://app.example.com or, of an app's shell, capacitor://localhost.
        origins: required(List<Text>),
    }
}

words! { ListenerMode { Proxy = "proxy", ForwardAuth = "forward_auth", ExtAuthzGrpc = "ext_authz_grpc", } }

words! { Format { Rfc9440 = "rfc9440", Xfcc = "xfcc", PemUrlEncoded = "pem_urlencoded", } }

choice! {
    /// Which client certificates are taken without an authority's word.
    AnyClientCertificate {
        /// All of them.
        Any = "any",
    }
}

choice! {
    /// Where used proofs are remembered.
    ReplayStore {
        /// In this process's memory.
        Memory = "memory",
        /// In Redis.
        Redis = "redis",
    }
}

words! { OnStart { Challenge = "challenge", Wait = "wait", } }

choice! {
    /// What to do while Redis cannot be asked.
    OnFailure {
        /// 503.
        Refuse = "refuse",
        /// Let through.
        Accept = "accept",
    }
}

choice! {
    /// A kind of token.
    Token {
        /// Bound to a key.
        Dpop = "dpop",
        /// Bound to a certificate.
        Mtls = "mtls",
        /// Unbound.
        Bearer = "bearer",
    }
}

words! { Mode { Enforce = "enforce", Observe = "observe", } }

words! { NoncePolicy { Off = "off", Required = "required", } }

choice! {
    /// What becomes of `%2F`.
    EncodedSlashes {
        /// 400.
        Refuse = "refuse",
        /// Forwarded as it came.
        Keep = "keep",
    }
}

choice! {
    /// When a tunnel, or an answer that is still running, is cut.
    StreamsEnd {
        /// It is not.
        Never = "never",
        /// When the token is no longer good.
        TokenExpiry = "token_expiry",
    }
}

words! { Balance { RoundRobin = "round_robin", LeastRequests = "least_requests", } }

words! { UpstreamProtocol { Http1 = "http1", Http2 = "http2", Auto = "auto", } }

words! { UpstreamHost { Public = "public", Server = "server", } }

words! { Authorization { Remove = "remove", Bearer = "bearer", Keep = "keep", } }
