//! A client of gRPC without TLS, as Envoy is one: messages by the numbers of their fields, written here a second time.

use super::h2;
use super::raw::{Answer, PATIENCE};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::{HeaderMap, Request, Response};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;

pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
pub const HEALTH: &str = "/grpc.health.v1.Health/Check";
pub const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// A message of protocol buffers, field by field.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn bytes(mut self, field: u32, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn number(mut self, field: u32, value: u64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value);
        self
    }

    pub fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, value.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A message that was read: its numbers and its bytes, each with the number of its field.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    numbers: Vec<(u32, u64)>,
    bytes: Vec<(u32, Vec<u8>)>,
}

impl Fields {
    pub fn of(mut rest: &[u8]) -> Self {
        let mut fields = Self::default();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let (field, kind) = ((key >> 3) as u32, key & 7);
            let value = varint(&mut rest);
            match kind {
                0 => fields.numbers.push((field, value)),
                2 => {
                    let (bytes, others) = rest.split_at(value as usize);
                    fields.bytes.push((field, bytes.to_vec()));
                    rest = others;
                }
                other => panic!("wire type {other}"),
            }
        }
        fields
    }

    /// 0 where it is not there.
    pub fn number(&self, field: u32) -> u64 {
        self.numbers.iter().find(|(other, _)| *other == field).map_or(0, |(_, value)| *value)
    }

    pub fn messages(&self, field: u32) -> Vec<Self> {
        self.all(field).into_iter().map(Self::of).collect()
    }

    pub fn texts(&self, field: u32) -> Vec<String> {
        self.all(field).into_iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    fn all(&self, field: u32) -> Vec<&[u8]> {
        self.bytes.iter().filter(|(other, _)| *other == field).map(|(_, value)| value.as_slice()).collect()
    }

    fn message(&self, field: u32) -> Self {
        self.messages(field).pop().unwrap_or_default()
    }

    fn text(&self, field: u32) -> String {
        self.texts(field).pop().unwrap_or_default()
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (byte, others) = rest.split_first().expect("a number");
        *rest = others;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// A request that Envoy asks about: `AttributeContext.HttpRequest`.
#[derive(Clone, Debug)]
pub struct Http {
    pub method: String,
    pub path: String,
    pub host: String,
    pub scheme: String,
    pub headers: Vec<(String, String)>,
    /// With `encode_raw_headers`.
    pub raw: bool,
}

impl Http {
    pub fn new(method: &str, path: &str, host: &str, headers: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| (name.to_ascii_lowercase(), (*value).to_owned());
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            host: host.to_owned(),
            scheme: "https".to_owned(),
            headers: headers.iter().map(owned).collect(),
            raw: false,
        }
    }

    /// With each header as it came: otherwise Envoy makes one of two by a comma.
    pub fn raw(self) -> Self {
        Self { raw: true, ..self }
    }

    /// As Envoy writes it: with the pseudo-headers of HTTP/2 among the headers, and much that nobody needs to read.
    pub fn message(&self) -> Message {
        let Self { method, path, host, scheme, headers, raw } = self;
        let pseudo = [(":authority", host), (":path", path), (":method", method), (":scheme", scheme)];
        let mut all: Vec<(String, String)> =
            pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        if *raw {
            all.extend(headers.clone());
        } else {
            for (name, value) in headers {
                match all.iter_mut().find(|(other, _)| other == name) {
                    Some((_, joined)) => *joined = format!("{joined},{value}"),
                    None => all.push((name.clone(), value.clone())),
                }
            }
        }
        let mut http = Message::default().bytes(1, "7246921829746283").bytes(2, method);
        let mut map = Message::default();
        for (name, value) in all {
            let key = Message::default().bytes(1, name);
            if *raw {
                map = map.message(1, key.bytes(3, value));
            } else {
                http = http.message(3, key.bytes(2, value));
            }
        }
        http = http.bytes(4, path).bytes(5, host).bytes(6, scheme).number(9, u64::MAX).bytes(10, "HTTP/1.1");
        if *raw { http.message(13, map) } else { http }
    }
}

/// A `CheckRequest` about this `HttpRequest`, whose client has this address.
pub fn check_request(http: Message, client: &str) -> Message {
    check_request_of(http, source(client))
}

/// The same where the client has shown this certificate.
pub fn check_request_from(http: Message, client: &str, certificate: &str) -> Message {
    check_request_of(http, source(client).bytes(4, "spiffe://a.test/b").bytes(5, certificate))
}

fn source(client: &str) -> Message {
    let address = Message::default().number(1, 0).bytes(2, client).number(3, 54321);
    Message::default().message(1, Message::default().message(1, address))
}

fn check_request_of(http: Message, source: Message) -> Message {
    let time = Message::default().message(1, Message::default().number(1, 1_700_000_000));
    let extension = Message::default().bytes(1, "virtual_host").bytes(2, "all");
    let attributes = Message::default()
        .message(1, source.clone())
        .message(2, source)
        .message(4, Message(time.message(2, http).0))
        .message(10, extension);
    Message::default().message(1, attributes)
}

/// A connection.
#[derive(Clone)]
pub struct Channel(SendRequest<Full<Bytes>>);

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub message: Option<Vec<u8>>,
    pub trailers: HeaderMap,
}

impl Channel {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(h2::connect_plainly(address).await)
    }

    /// The same over TLS, for a gateway with this certificate.
    pub async fn connect_securely(
        address: SocketAddr,
        name: &'static str,
        certificate: CertificateDer<'static>,
    ) -> Self {
        Self(h2::connect_with(address, name, certificate).await)
    }

    /// Calls a method with one message.
    pub async fn call(&self, path: &str, message: &Message) -> Reply {
        self.send(path, framed(&message.0), &[]).await
    }

    /// Sends these bytes, with these headers in place of the usual ones or beside them.
    pub async fn send(&self, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Reply {
        let mut request =
            Request::post(format!("http://keyproof{path}")).body(Full::new(body.into())).unwrap();
        for (name, value) in [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat() {
            if name == ":method" {
                *request.method_mut() = value.parse().unwrap();
            } else {
                let name: hyper::header::HeaderName = name.parse().unwrap();
                request.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        let mut sender = self.0.clone();
        let reply = async {
            let response = sender.send_request(request).await.expect("an answer");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let collected = response.into_body().collect().await.expect("the whole answer");
            let trailers = collected.trailers().cloned().unwrap_or_default();
            let bytes = collected.to_bytes();
            let message = bytes.get(5..).map(<[u8]>::to_vec);
            if let Some(message) = &message {
                assert_eq!(bytes[..], framed(message)[..], "one message, framed");
            }
            Reply { status, headers, message, trailers }
        };
        tokio::time::timeout(PATIENCE, reply).await.expect("an answer in time")
    }

    /// Calls a method that answers with messages which come by and by.
    pub async fn follow(&self, path: &str, message: &Message, headers: &[(&str, &str)]) -> Following {
        let request =
            Request::post(format!("http://keyproof{path}")).header("content-type", "application/grpc");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(framed(&message.0).into())).unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.0.clone().send_request(request)).await;
        Following(answer.expect("an answer in time").expect("an answer"))
    }

    /// What Envoy would do with this request.
    pub async fn decision(&self, http: &Http) -> Decision {
        self.call(CHECK, &check_request(http.message(), "192.0.2.7")).await.decision()
    }
}

/// An answer whose messages come by and by.
pub struct Following(Response<Incoming>);

impl Following {
    /// The next message, or the code with which it ends.
    pub async fn next(&mut self) -> Result<Vec<u8>, u16> {
        let code = |fields: &HeaderMap| {
            fields.get("grpc-status").map(|code| code.to_str().unwrap().parse().unwrap())
        };
        let frame = tokio::time::timeout(PATIENCE, self.0.body_mut().frame()).await.expect("more in time");
        // Where there is nothing but an end, it stands in the head.
        let Some(frame) = frame else { return Err(code(self.0.headers()).expect("an end")) };
        match frame.expect("no reset").into_data() {
            Ok(message) => {
                assert_eq!(message[..], framed(&message[5..])[..], "one message, framed");
                Ok(message[5..].to_vec())
            }
            Err(frame) => Err(code(frame.trailers_ref().unwrap()).expect("an end")),
        }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// A `CheckResponse`.
#[derive(Clone, Debug)]
pub struct Decision {
    /// `status.code`, of gRPC.
    pub code: u64,
    /// The client's answer; `None`: the request may pass.
    pub denied: Option<Answer>,
    /// What the upstream gets in place of the client's own: name, value, and how it is to be set.
    pub set: Vec<(String, String, u64)>,
    /// What the upstream does not get.
    pub remove: Vec<String>,
    /// What the client gets beside the upstream's answer.
    pub show: Vec<(String, String, u64)>,
}

impl Reply {
    /// `grpc-status`, which stands in the trailers, or in the headers where there is nothing else.
    pub fn code(&self) -> Option<u16> {
        let place = if self.message.is_some() { &self.trailers } else { &self.headers };
        place.get("grpc-status").map(|code| code.to_str().unwrap().parse().unwrap())
    }

    pub fn decision(&self) -> Decision {
        assert_eq!((self.status, self.code()), (200, Some(0)), "{self:?}");
        let response = Fields::of(self.message.as_ref().unwrap());
        let [ok, denied] = [3, 2].map(|field| response.messages(field).pop());
        assert!(ok.is_some() != denied.is_some(), "one of the two");
        let ok = ok.unwrap_or_default();
        let answer = |denied: Fields| Answer {
            status: denied.message(1).number(1).try_into().unwrap(),
            headers: options(&denied, 2).into_iter().map(|(name, value, _)| (name, value)).collect(),
            body: denied.text(3).into_bytes(),
        };
        Decision {
            code: response.message(1).number(1),
            denied: denied.map(answer),
            set: options(&ok, 2),
            remove: ok.texts(5),
            show: options(&ok, 6),
        }
    }
}

/// `HeaderValueOption`s.
fn options(message: &Fields, field: u32) -> Vec<(String, String, u64)> {
    let option = |option: Fields| {
        let header = option.message(1);
        (header.text(1), header.text(2), option.number(3))
    };
    message.messages(field).into_iter().map(option).collect()
}

impl Decision {
    /// The same as an answer over HTTP has it: what is removed stands there without a value.
    pub fn as_answer(&self) -> Answer {
        if let Some(denied) = &self.denied {
            return denied.clone();
        }
        let given = self.set.iter().chain(&self.show).map(|(name, value, _)| (name.clone(), value.clone()));
        let headers = given.chain(self.remove.iter().map(|name| (name.clone(), String::new()))).collect();
        Answer { status: 200, headers, body: Vec::new() }
    }
}
