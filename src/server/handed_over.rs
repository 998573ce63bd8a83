//! Sockets that systemd hands over (systemd.socket(5), sd_listen_fds(3)).
//!
//! systemd holds them too, while one process ends and until the next accepts: so a restart refuses nobody.

use crate::net::Acceptor;
use listenfd::ListenFd;
use socket2::SockRef;
use std::io;
use std::net::TcpListener;

/// The sockets that were handed over, by name. They stay open here as well: a listener gets copies.
#[derive(Debug, Default)]
pub struct HandedOver(Vec<Handed>);

#[derive(Debug)]
struct Handed {
    name: String,
    socket: io::Result<TcpListener>,
}

/// Why a listener does not get the sockets of its name.
#[derive(Debug, thiserror::Error)]
pub enum HandedOverError {
    /// There is none.
    #[error(
        "systemd handed over no socket named {name} ({others}): write FileDescriptorName={name} into its .socket unit, and start the \
         gateway by its .service unit, which that socket is for; or give the listener an address"
    )]
    Missing {
        /// The name that the configuration has.
        name: String,
        /// What was handed over.
        others: String,
    },
    /// It is none of TCP, or a connection.
    #[error(
        "systemd handed over a socket named {name} that takes no TCP connections ({source}): write ListenStream= with a port or an IP \
         address and a port, and Accept=no, into its .socket unit"
    )]
    Unusable {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: io::Error,
    },
}

impl HandedOver {
    /// Takes what `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` say is there for this process; `names` is the value of the last. To be
    /// called once, before there are threads: it removes the variables.
    pub fn take(names: Option<&str>) -> Self {
        let mut handed = ListenFd::from_env();
        let mut names = names.into_iter().flat_map(|names| names.split(':'));
        let sockets = (0..handed.len()).map(|index| {
            // As sd_listen_fds_with_names(3) says where there are none.
            let name = names.next().unwrap_or("unknown").to_owned();
            Handed { name, socket: take(&mut handed, index) }
        });
        Self(sockets.collect())
    }

    /// Whoever takes connections on every socket of this name.
    ///
    /// # Errors
    /// There is no socket of this name, or one that takes no connections.
    pub fn acceptor(&self, name: &str) -> Result<Acceptor, HandedOverError> {
        let mut sockets = Vec::new();
        for handed in self.0.iter().filter(|handed| handed.name == name) {
            let copy = match &handed.socket {
                Ok(socket) => socket.try_clone(),
                // An error has no copy.
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            sockets.push(copy.map_err(|source| HandedOverError::Unusable { name: name.to_owned(), source })?);
        }
        if sockets.is_empty() {
            return Err(HandedOverError::Missing { name: name.to_owned(), others: self.told() });
        }
        Acceptor::on(sockets).map_err(|source| HandedOverError::Unusable { name: name.to_owned(), source })
    }

    /// The names that nobody here asks for, each once.
    pub fn besides(&self, used: &[&str]) -> Vec<&str> {
        let mut besides: Vec<&str> = self.0.iter().map(|handed| handed.name.as_str()).collect();
        besides.retain(|name| !used.contains(name));
        besides.sort_unstable();
        besides.dedup();
        besides
    }

    fn told(&self) -> String {
        let names = self.besides(&[]);
        if names.is_empty() { "none at all".to_owned() } else { format!("only {}", names.join(", ")) }
    }
}

fn take(handed: &mut ListenFd, index: usize) -> io::Result<TcpListener> {
    let socket = handed.take_tcp_listener(index)?.ok_or(io::ErrorKind::NotFound)?;
    if !SockRef::from(&socket).is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
