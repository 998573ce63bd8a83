//! A client of HTTP/2 over TLS, for a gateway whose certificate the test made.

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::body::Body;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, crypto};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a listener says to use the files of [`certificate`].
pub const TLS: &str = "tls: { certificate: tls.crt, private_key: tls.key }";

/// Writes `tls.crt` and `tls.key` for this name into a folder.
pub fn certificate(folder: &Path, name: &str) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    std::fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// A connection that speaks HTTP/2 to the server of this name and certificate.
pub async fn connect(
    address: SocketAddr,
    name: &'static str,
    certificate: CertificateDer<'static>,
) -> SendRequest<Empty<Bytes>> {
    connect_with(address, name, certificate).await
}

/// The same for requests with such bodies.
pub async fn connect_with<B>(
    address: SocketAddr,
    name: &'static str,
    certificate: CertificateDer<'static>,
) -> SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let socket = TcpStream::connect(address).await.unwrap();
    let socket = secure(socket, name, &[certificate]).await.unwrap();
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).handshake(TokioIo::new(socket)).await.unwrap();
    drop(tokio::spawn(connection));
    sender
}

/// A connection that speaks HTTP/2 with prior knowledge.
pub async fn connect_plainly(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).handshake(TokioIo::new(socket)).await.unwrap();
    drop(tokio::spawn(connection));
    sender
}

/// TLS to the server of this name and one of these certificates, for HTTP/2 by hand.
///
/// # Errors
/// The handshake fails.
pub async fn secure(
    socket: TcpStream,
    name: &'static str,
    certificates: &[CertificateDer<'static>],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    certificates.iter().for_each(|certificate| roots.add(certificate.clone()).unwrap());
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// What a client says first: the preface, an empty SETTINGS, the acknowledgement of the server's, and a window that is never too small.
pub const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0\
    \0\0\x04\x08\0\0\0\0\0\x7f\0\0\0";

/// A GET on this stream: one HEADERS that ends it (RFC 9113 section 6.2), in plain (RFC 7541 section 6).
pub fn get(stream: u32, authority: &str, path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // `:method: GET` and `:scheme: https` of the static table, then `:authority` and `:path` as literals.
    let fields = [&[0x82, 0x87, 0x01][..], &text(authority), &[0x04], &text(path)].concat();
    let length = u8::try_from(fields.len()).unwrap();
    [&[0, 0, length, 1, 5][..], &stream.to_be_bytes(), &fields].concat()
}

/// A PING.
pub fn ping() -> Vec<u8> {
    [&[0, 0, 8, Frame::PING, 0, 0, 0, 0, 0][..], b"whatever"].concat()
}

/// A frame (RFC 9113 section 4.1).
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;

    /// The next frame.
    ///
    /// # Errors
    /// The connection ends.
    pub async fn read(socket: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Self { kind: head[3], flags: head[4], stream, payload })
    }

    /// Whether the server sends nothing more on its stream.
    pub fn ends(&self) -> bool {
        matches!(self.kind, Self::DATA | Self::HEADERS) && self.flags & 1 == 1
    }

    /// The answer to a PING.
    pub fn acknowledged(&self) -> Vec<u8> {
        [&[0, 0, 8, Self::PING, 1, 0, 0, 0, 0][..], &self.payload].concat()
    }
}
