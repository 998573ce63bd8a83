//! x
use super::gateway::Setup;
use crate::support::raw::Raw;
use crate::support::upstream::Recording;
#[tokio::test]
async fn dbg() {
        let upstream = Recording::start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let gateway = Setup::to(upstream.address).start();
        let mut client = Raw::connect(gateway.address).await;
        client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n").await;
        panic!("{:?}", String::from_utf8_lossy(&client.rest().await));
}
