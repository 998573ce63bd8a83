//! The one table of request fields that end at the gateway because an application might believe them.

use super::letters_and_digits;
use std::sync::LazyLock;

/// Why a field is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another method than the one that was checked.
    Method,
    /// Another path or URL than the one that was checked.
    Target,
    /// Another host than the one that was checked.
    Host,
    /// A client certificate that no TLS handshake of ours proved (RFC 9440 section 4).
    Certificate,
    /// A user that somebody else claims to have authenticated.
    User,
    /// A switch inside a server, a framework or a CGI program that only the server itself should throw.
    Internal,
    /// Another spelling of a field that frames the message.
    Framing,
    /// Where the request came from. From `trusted_proxies` it is believed, in its own spelling.
    Origination,
}

/// One name, or every name that begins so (`X-Auth-Request-*`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether it stays where a trusted peer sent it in this spelling.
    pub(super) trusted: bool,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Method,
        Self::Target,
        Self::Host,
        Self::Certificate,
        Self::User,
        Self::Internal,
        Self::Framing,
        Self::Origination,
    ];

    /// Its name, for the documentation.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Method => "Another method",
            Self::Target => "Another path",
            Self::Host => "Another host",
            Self::Certificate => "Client certificates",
            Self::User => "Users",
            Self::Internal => "Switches of servers and frameworks",
            Self::Framing => "Framing",
            Self::Origination => "Where a request came from",
        }
    }

    /// The reason, for the documentation.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Method => "would change the method after it was checked",
            Self::Target => "would change the path after it was checked",
            Self::Host => "would change the host after it was checked",
            Self::Certificate => "claims a client certificate that no TLS handshake here proved",
            Self::User => "claims a user whom somebody else authenticated",
            Self::Internal => "is for the inside of a server, a framework or a CGI program",
            Self::Framing => "is another spelling of a field that frames the message",
            Self::Origination => {
                "claims where the request came from; most are believed from `trusted_proxies`, in their own spelling"
            }
        }
    }

    /// Its names, as the documentation lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        rows().filter(move |row| row.kind == self).map(|row| row.name)
    }

    /// Those that are removed whoever sent them.
    const fn rows(self) -> &'static [&'static str] {
        match self {
            Self::Method => METHOD,
            Self::Target => TARGET,
            Self::Host => HOST,
            Self::Certificate => CERTIFICATE,
            Self::User => USER,
            Self::Internal => INTERNAL,
            Self::Framing => FRAMING,
            Self::Origination => ORIGINATION,
        }
    }

    /// Those that stay where a trusted peer sent them.
    const fn trusted_rows(self) -> &'static [&'static str] {
        match self {
            Self::Origination => &[
                "Forwarded",
                "X-Forwarded-*",
                "X-Envoy-*",
                "X-Scheme",
                "X-URL-Scheme",
                "Front-End-Https",
                "X-ARR-SSL",
                "CF-Connecting-IP",
                "CF-Connecting-IPv6",
                "Fastly-Client-IP",
                "Fly-Client-IP",
                "DO-Connecting-IP",
                "X-Azure-ClientIP",
                "X-Azure-SocketIP",
            ],
            Self::Method
            | Self::Target
            | Self::Host
            | Self::Certificate
            | Self::User
            | Self::Internal
            | Self::Framing => &[],
        }
    }
}

const METHOD: &[&str] = &[
    "X-HTTP-Method-Override",
    "HTTP-Method-Override",
    "X-Method-Override",
    "Method-Override",
    "X-HTTP-Method",
    "X-Method",
    "X-Override-Method",
    "X-Original-Method",
    "X-HTTP-Verb-Override",
    "X-Verb-Override",
    "X-Forwarded-Method",
];
const TARGET: &[&str] = &[
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Path",
    "X-Original-Query",
    "X-Original-Request-URI",
    "X-Rewrite-*",
    "X-Override-URL",
    "X-Override-URI",
    "X-Override-Path",
    "X-HTTP-Path-Override",
    "X-HTTP-URL-Override",
    "X-HTTP-URI-Override",
    "X-Path-Override",
    "X-URL-Override",
    "X-URI-Override",
    "X-HTTP-DestinationURL",
    "X-Forwarded-URI",
    "X-Forwarded-URL",
    "X-Forwarded-Path",
    "X-Forwarded-Request-URI",
    "X-Envoy-Original-Path",
    "X-Proxy-URL",
    "X-Request-URI",
    "Request-URI",
    "Base-URL",
    "Http-URL",
    "X-Script-Name",
    "Script-Name",
    "X-WAWS-Unencoded-URL",
];
const HOST: &[&str] = &[
    "X-Host",
    "X-HTTP-Host",
    "X-HTTP-Host-Override",
    "X-Host-Override",
    "X-Original-Host",
    "X-Real-Host",
    "X-Envoy-Original-Host",
    "X-Envoy-Original-Dst-Host",
    "Forwarded-Host",
    "Proxy-Host",
];
const CERTIFICATE: &[&str] = &[
    "Client-Cert*",
    "X-Client-Cert*",
    "X-Client-Verif*",
    "X-Client-DN*",
    "X-Client-S-DN*",
    "X-Client-I-DN*",
    "X-Mtls*",
    "X-TLS-Client*",
    "X-TLS-Cert*",
    "X-TLS-Verif*",
    "X-TLS-Peer*",
    "X-SSL-Client*",
    "X-SSL-Cert*",
    "X-SSL-Verif*",
    "X-SSL-Peer*",
    "SSL-Client*",
    "SSL-Cert*",
    "TLS-Client*",
    "X-Peer-Cert*",
    "X-Forwarded-Client-Cert*",
    "X-Forwarded-TLS-Client*",
    "X-Forwarded-SSL-Client*",
    "X-ARR-ClientCert*",
    "X-Amzn-Mtls*",
    "X-Azure-ClientCert*",
    "CF-Client-Cert*",
    "MS-ASPNETCORE-*",
];
const USER: &[&str] = &[
    "Remote-User*",
    "Remote-Group*",
    "Remote-Name",
    "Remote-Email",
    "X-Remote-User*",
    "X-Remote-Group*",
    "X-Remote-Extra*",
    "X-Remote-UID",
    "X-Remote-Name",
    "X-Remote-Email",
    "X-WebAuth-*",
    "X-Forwarded-User*",
    "X-Forwarded-Group*",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Id-Token",
    "X-Forwarded-Authorization",
    "X-Authenticated-*",
    "Authenticated-User*",
    "X-Auth-Request-*",
    "X-Auth-User",
    "X-Auth-Username",
    "X-Auth-Email",
    "X-Auth-Groups",
    "Auth-User",
    "Logon-User",
    "X-Logon-User",
    "X-SSO-User*",
    "X-Proxy-User",
    "X-Proxy-Remote-User",
    "X-Consumer-*",
    "X-Credential-Identifier",
    "X-Credential-Username",
    "X-Anonymous-Consumer",
    "X-Userinfo",
    "X-Id-Token",
    "X-JWT-Assertion",
    "X-JWT-Claim*",
    "X-JWT-Payload",
    "X-Endpoint-API-UserInfo",
    "X-Apigateway-Api-Userinfo",
    "X-Amzn-Oidc-*",
    "X-Goog-Authenticated-User-*",
    "X-Goog-IAP-*",
    "X-AppEngine-*",
    "X-MS-Client-Principal*",
    "X-MS-Token-*",
    "CF-Access-*",
    "Tailscale-User-*",
    "Tailscale-Headers-Info",
    "Teleport-JWT-Assertion",
    "X-Pomerium-*",
    "X-Authentik-*",
    "X-Vouch-*",
    "OIDC-Claim*",
    "OIDC-Access-Token*",
    "OIDC-Id-Token*",
    "Shib-*",
    "SM-User*",
    "SM-UniversalID",
    "OAM-Remote-User",
    "IV-User",
    "IV-Groups",
    "IV-Creds",
];
const INTERNAL: &[&str] = &[
    "Proxy",
    "X-Middleware-Subrequest*",
    "X-Middleware-Rewrite",
    "X-Middleware-Next",
    "X-Middleware-Redirect",
    "X-Middleware-Invoke",
    "X-Middleware-Override-Headers",
    "X-Middleware-Request*",
    "X-Middleware-Set-Cookie",
    "X-Invoke-*",
    "X-Matched-Path",
    "X-Now-Route-Matches",
    "X-Accel-*",
    "X-Sendfile*",
    "X-Lighttpd-Send-File",
];
const FRAMING: &[&str] = &["Transfer-Encoding", "Content-Length"];
const ORIGINATION: &[&str] = &[
    "Forwarded-For",
    "Forwarded-Proto",
    "X-Forward-For",
    "X-Original-Forwarded-For",
    "X-Original-Remote-Addr",
    "X-Originating-IP",
    "X-Real-IP",
    "X-Real-Port",
    "X-Real-Proto",
    "X-Client-IP",
    "Client-IP",
    "Real-IP",
    "True-Client-IP",
    "X-True-Client-IP",
    "X-Cluster-Client-IP",
    "X-Remote-IP",
    "X-Remote-Addr",
    "Remote-Addr",
    "X-ProxyUser-IP",
    "X-Custom-IP-Authorization",
];

impl Row {
    /// Whether this is a spelling as the table has it: in these words, whatever the case.
    pub(super) fn is_spelled(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            None => name.eq_ignore_ascii_case(self.name),
            Some(beginning) => name.split_at_checked(beginning.len()).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(beginning)
                    && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }),
        }
    }
}

/// The row for a name, in whatever spelling.
pub(super) fn row(name: &str) -> Option<&'static Row> {
    static LOOK_UP: LazyLock<LookUp> = LazyLock::new(LookUp::new);
    LOOK_UP.row(name)
}

fn rows() -> impl Iterator<Item = Row> {
    Kind::ALL.into_iter().flat_map(|kind| {
        let row = move |trusted| move |name: &&'static str| Row { name, kind, trusted };
        kind.rows().iter().map(row(false)).chain(kind.trusted_rows().iter().map(row(true)))
    })
}

/// The table as it is asked: hardly any name that clients send begins with the same two letters as one of these and is as long.
struct LookUp {
    /// By letters, in order.
    names: Vec<(Box<[u8]>, Row)>,
    /// The longest first: `X-Forwarded-User*` before `X-Forwarded-*`.
    beginnings: Vec<(Box<[u8]>, Row)>,
    /// By a name's first two letters: a bit for each length that a name of the table which begins so has, and [`BEGINNING`].
    lengths: Vec<u64>,
}

/// No name of the table is longer; of a longer one only the beginning counts.
const LONGEST: usize = 40;
/// The bit for a row that covers every name which begins like it: beyond all lengths.
const BEGINNING: u64 = 1 << 63;

impl LookUp {
    fn new() -> Self {
        let (mut names, mut beginnings, mut lengths) = (Vec::new(), Vec::new(), vec![0; PLACES * PLACES]);
        for row in rows() {
            let letters: Box<[u8]> = letters_and_digits(row.name).collect();
            let (list, bit) = match row.name.ends_with('*') {
                true => (&mut beginnings, BEGINNING),
                false => (&mut names, 1 << letters.len().min(LONGEST)),
            };
            if let Some(slot) = pair(&mut letters.iter().copied()).and_then(|pair| lengths.get_mut(pair)) {
                *slot |= bit;
            }
            list.push((letters, row));
        }
        names.sort_by(|one, other| one.0.cmp(&other.0));
        beginnings.sort_by_key(|(letters, _)| std::cmp::Reverse(letters.len()));
        Self { names, beginnings, lengths }
    }

    fn row(&self, name: &str) -> Option<&Row> {
        let known = *self.lengths.get(pair(&mut letters_and_digits(name))?)?;
        if known == 0 {
            return None;
        }
        let mut letters = [0; LONGEST];
        let mut length = 0;
        for (slot, byte) in letters.iter_mut().zip(letters_and_digits(name)) {
            *slot = byte;
            length += 1;
        }
        if known & (BEGINNING | 1 << length) == 0 {
            return None;
        }
        let letters = letters.get(..length)?;
        let exact = self.names.binary_search_by(|(name, _)| (**name).cmp(letters)).ok();
        let found = exact.and_then(|place| self.names.get(place));
        let found = found.or_else(|| self.beginnings.iter().find(|(start, _)| letters.starts_with(start)));
        found.map(|(_, row)| row)
    }
}

/// The place of the first two letters or digits among all pairs of them.
fn pair(letters: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut place = || {
        let letter = letters.next()?;
        Some(usize::from(if letter.is_ascii_digit() { letter - b'0' } else { letter - b'a' + 10 }))
    };
    Some(place()? * PLACES + place()?)
}

/// Ten digits and 26 letters.
const PLACES: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_under_every_spelling() {
        for expected in rows() {
            let name = expected.name.replace('*', "x");
            let dashed = name.trim_end_matches("-x").to_owned();
            for name in
                [name.clone(), name.to_ascii_uppercase(), name.replace('-', "_"), name.replace('-', "")]
            {
                let found = row(&name).unwrap();
                assert_eq!((found.kind, found.trusted), (expected.kind, expected.trusted), "{name}");
            }
            assert!(letters_and_digits(&dashed).count() < LONGEST, "{dashed}");
        }
    }

    #[test]
    fn no_row_stands_twice() {
        let mut all: Vec<Vec<u8>> = rows().map(|row| letters_and_digits(row.name).collect()).collect();
        let before = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), before);
    }

    #[test]
    fn what_honest_clients_send_is_not_in_it() {
        for name in [
            "host",
            "accept",
            "accept-encoding",
            "authorization",
            "cookie",
            "content-type",
            "content-length-hint",
            "origin",
            "range",
            "referer",
            "user-agent",
            "sec-fetch-mode",
            "idempotency-key",
            "traceparent",
            "x-request-id",
            "x-requested-with",
            "x-correlation-id",
            "x-api-key",
            "x-auth-token",
            "x-csrf-token",
            "x-client-version",
            "x-client-id",
            "x-user-agent",
            "x-realm",
            "x-original-filename",
            "x-middleware-prefetch",
            "x-nextjs-data",
            "x-forward",
            "x-hostname",
            "proxy-agent",
            "forwarder",
            "method",
            "client",
            "certificate",
            "x",
            "",
            "~",
        ] {
            assert!(row(name).is_none(), "{name}");
        }
    }
}
