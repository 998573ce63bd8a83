//! WebDAV (RFC 4918) through a public route: odd methods, odd paths, `Destination`, `If`, bodies where few expect them. Debian's litmus in front,
//! Apache's mod_dav behind.

use super::{Peer, found, output};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use support::gateway::House;

const ROUTES: &str = "
  - { name: dav, match: { path: /dav }, upstream: legacy, public: true }";

#[tokio::test]
async fn litmus_finds_apache_whole() {
    let (Some(apache), Some(litmus)) = (found(&["apache2"]), found(&["litmus"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_apache, address) = webdav(apache, folder.path()).await;
    let house = House::with_routes(ROUTES).await;
    let from = format!("http://{}", house.upstream.address);
    house.reload_with(&from, &format!("http://{address}")).await;
    // As to a proxy, since the name is none that anybody could look up. The one test of `http` would connect to the name itself.
    let mut command = Command::new(litmus);
    command.env("TESTS", "basic copymove props locks");
    command.current_dir(folder.path()).args(["--keep-going", &format!("--proxy=http://{}", house.gateway)]);
    let output = output(command.arg("http://api.test/dav/"), String::new()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let summaries: Vec<_> = said.lines().filter(|line| line.contains("summary for")).collect();
    assert_eq!(summaries.len(), 4, "{said}");
    assert!(summaries.iter().all(|line| line.ends_with(" 0 failed. 100.0%")), "{said}");
}

async fn webdav(apache: &str, folder: &Path) -> (Peer, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for place in ["root", "root/dav", "state"] {
        std::fs::create_dir(folder.join(place)).unwrap();
    }
    for place in ["", "root", "root/dav", "state"] {
        // Where this runs as root, Apache does not serve as root.
        std::fs::set_permissions(folder.join(place), std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let load = |name: &str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let modules: String = ["mpm_event", "authz_core", "dav", "dav_fs"].map(load).concat();
    let configuration = format!(
        "{modules}ServerRoot {0}\nServerName api.test\nPidFile {0}/pid\nErrorLog {0}/error\nListen {address}\nDavLockDB {0}/state/locks\n\
         User nobody\nGroup nogroup\nDocumentRoot {0}/root\n<Directory {0}/root>\nDav On\nRequire all granted\n</Directory>\n",
        folder.display()
    );
    let file = folder.join("apache.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new(if apache.contains('/') { apache } else { "/usr/sbin/apache2" });
    command.arg("-f").arg(&file).arg("-DFOREGROUND").stderr(Stdio::null());
    let mut apache = Peer(command.spawn().unwrap());
    let listens = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(apache.0.try_wait().unwrap().is_none(), "apache2 ended");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(support::raw::PATIENCE, listens).await.expect("apache2 does not listen");
    (apache, address)
}
