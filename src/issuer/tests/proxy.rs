//! Through the proxy that the environment names.

use super::*;
use tokio::io::copy_bidirectional;

/// A proxy that knows CONNECT, and remembers what it was asked.
async fn proxy(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heads = Arc::clone(&asked);
    TaskTracker::new().spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
            heads.lock().unwrap().push(head);
            client.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
            if answer.starts_with("200") {
                let mut server = TcpStream::connect(target).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            }
        }
    });
    (address, asked)
}

fn proxies(proxy: &str, no_proxy: &str) -> Proxies {
    let variable = |name: &str| match name {
        "HTTPS_PROXY" => Some(proxy.to_owned()),
        "NO_PROXY" => Some(no_proxy.to_owned()),
        _ => None,
    };
    Proxies::from_environment(&variable).unwrap()
}

#[tokio::test]
async fn https_is_asked_by_connect_and_only_what_may_be() {
    let server = TlsServer::start().await;
    let (address, asked) = proxy("200 Connection established").await;
    let url = server.url("localhost");
    let port = url.port().unwrap();
    let through =
        Fetcher::trusting(server.roots.clone(), &proxies(&format!("http://me:secret@{address}"), ""));
    assert_eq!(&through.get(&url).await.unwrap().body[..], b"{}");
    {
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 1);
        let head = asked[0].to_ascii_lowercase();
        for line in [
            format!("connect localhost:{port} http/1.1\r\n"),
            format!("\r\nhost: localhost:{port}\r\n"),
            "\r\nproxy-authorization: basic bwu6c2vjcmv0\r\n".to_owned(),
            concat!("\r\nuser-agent: keyproof/", env!("CARGO_PKG_VERSION"), "\r\n").to_owned(),
        ] {
            assert!(head.contains(&line), "{head}");
        }
    }
    // Another name than the certificate's is refused behind a proxy too.
    let other = through.get(&server.url("127.0.0.1")).await.unwrap_err().to_string();
    assert!(other.contains("not valid for name"), "{other}");
    let direct = Fetcher::trusting(server.roots.clone(), &proxies(&address, "example.com,localhost"));
    assert_eq!(&direct.get(&url).await.unwrap().body[..], b"{}");
    let endpoint = Endpoint::start().await;
    endpoint.answer("/jwks", ok("{}"));
    through.get(&endpoint.url("/jwks")).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 2, "neither NO_PROXY nor plain http");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let url = Url::parse("https://localhost:1/jwks").unwrap();
    for (answer, cause) in [
        ("407 Proxy Authentication Required", "proxy authorization required"),
        ("403 Forbidden", "unsuccessful"),
        ("200", "eof"),
    ] {
        let (address, _) = proxy(answer).await;
        let fetcher =
            Fetcher::trusting(RootCertStore::empty(), &proxies(&format!("http://me:secret@{address}"), ""));
        let error = fetcher.get(&url).await.unwrap_err().to_string();
        if cause != "eof" {
            assert!(
                error.contains(&format!("the proxy http://{address}/: tunnel error: {cause}")),
                "{error}"
            );
        }
        assert!(!error.contains("secret"), "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fetcher = Fetcher::trusting(RootCertStore::empty(), &proxies(&nobody.to_string(), ""));
    let error = fetcher.get(&url).await.unwrap_err().to_string();
    assert!(error.contains(&format!("the proxy http://{nobody}/")) && error.contains("refused"), "{error}");
}
