//! What commands are sent over: a connection of the `redis` crate, and in the simulation a model of one.

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{Cmd, Pipeline, RedisFuture, Value};

/// A connection; clones share it.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    Socket(MultiplexedConnection),
    #[cfg(test)]
    Simulated(crate::simulation::Connection),
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Socket(connection) => connection.req_packed_command(cmd),
            #[cfg(test)]
            Self::Simulated(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Socket(connection) => connection.req_packed_commands(pipeline, offset, count),
            #[cfg(test)]
            Self::Simulated(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Socket(connection) => connection.get_db(),
            #[cfg(test)]
            Self::Simulated(connection) => connection.get_db(),
        }
    }
}
