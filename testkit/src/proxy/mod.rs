//! A proxy in front of the nodes of a cluster, which understands whose request a frame is and does to it what a test says.
//!
//! What a process has done, and what the broker knows of it, is then certain: the request in front of a held one was
//! answered, and the held one has not arrived, or its answer has not. Every fault counts what it has hit, so that a test
//! can tell that it has tested something.
//!
//! Only the head of a request and the transactional id are read; for that alone a codec of the whole protocol would be
//! much code to trust.

mod fault;
mod frame;
mod script;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

pub use fault::{Action, Frames};
pub use frame::{Api, Side};
pub use script::Fault;
use script::Script;

/// A listening proxy: one port for each node. Connections that it has accepted live until one of their ends closes.
#[derive(Debug)]
pub struct Proxy {
    ports: Vec<u16>,
    script: Arc<Script>,
}

impl Proxy {
    /// Listens on free ports of 127.0.0.1, one for each node.
    ///
    /// # Errors
    /// When there are none.
    pub fn listen(nodes: usize) -> io::Result<Self> {
        let script = Arc::<Script>::default();
        let mut ports = Vec::new();
        for node in 0..nodes {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            ports.push(listener.local_addr()?.port());
            let script = Arc::clone(&script);
            thread::Builder::new().name("proxy".into()).spawn(move || wire::accept(&listener, node, &script))?;
        }
        Ok(Self { ports, script })
    }

    /// The ports that the nodes have to advertise, in their order.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Says where each node listens; connections wait for that.
    pub fn lead_to(&self, addresses: &[String]) {
        self.script.lead_to(addresses);
    }

    /// Puts a fault in force until what is returned is dropped. Where several take the same frame, the oldest does.
    pub fn inject(&self, frames: Frames, action: Action) -> Fault {
        Fault { number: self.script.add(frames, action), script: Arc::clone(&self.script) }
    }

    /// Holds the next frames of this kind.
    pub fn hold(&self, frames: Frames) -> Fault {
        self.inject(frames, Action::Hold)
    }

    /// Ends all connections at once, or those with one node. Returns how many there were.
    pub fn disconnect(&self, node: Option<usize>) -> usize {
        self.script.disconnect(node)
    }

    /// Fails if a fault has ended without having hit anything: then the test has not tested what it says.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn assert_every_fault_hit(&self) {
        let missed = self.script.missed();
        assert!(missed.is_empty(), "these faults hit nothing: {missed:?}");
    }
}
