//! What a test may do to frames, and to which.

use std::time::Duration;

use super::frame::{Api, Head, Side};

/// Which frames. By default the first one of its kind; the conditions add up.
#[derive(Debug, Clone)]
#[must_use]
pub struct Frames {
    api: Option<Api>,
    side: Side,
    client: Option<String>,
    transactional_id: Option<String>,
    node: Option<usize>,
    skip: u32,
    every: u32,
    times: Option<u32>,
}

impl Frames {
    /// Frames of this request, or of its response.
    pub fn of(api: Api, side: Side) -> Self {
        Self { api: Some(api), ..Self::any(side) }
    }

    /// Frames of any request.
    pub fn any(side: Side) -> Self {
        Self { api: None, side, client: None, transactional_id: None, node: None, skip: 0, every: 1, times: Some(1) }
    }

    /// Only of clients with this `client.id`.
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client = Some(id.into());
        self
    }

    /// Only of producers with this `transactional.id`.
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.transactional_id = Some(id.into());
        self
    }

    /// Only on the way to and from this node, counted from 0.
    pub fn node(mut self, node: usize) -> Self {
        self.node = Some(node);
        self
    }

    /// Lets so many of them pass before.
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Takes one of so many.
    pub fn every(mut self, count: u32) -> Self {
        self.every = count.max(1);
        self
    }

    /// Takes so many.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// Takes them for as long as the fault is there.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Whether this frame is one of them; counts it if so.
    pub(super) fn take(&mut self, node: usize, head: &Head, side: Side) -> bool {
        let is_one = self.side == side
            && self.api.is_none_or(|api| api as i16 == head.api)
            && self.node.is_none_or(|wanted| wanted == node)
            && self.client.as_ref().is_none_or(|client| *client == head.client)
            && self.transactional_id.as_ref().is_none_or(|id| Some(id) == head.transactional_id.as_ref());
        if !is_one || self.times == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.skip = self.every - 1;
        self.times = self.times.map(|times| times - 1);
        true
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        let api = self.api.map_or_else(|| "any frame".to_owned(), |api| format!("{api:?}"));
        let of: Vec<&str> = [&self.client, &self.transactional_id].into_iter().flatten().map(String::as_str).collect();
        let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(" and ")) };
        let node = self.node.map_or_else(String::new, |node| format!(" at node {node}"));
        format!("{api} {:?}{of}{node}", self.side)
    }
}

/// What happens to a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is counted, and goes on.
    Watch,
    /// It waits, and what is behind it on its connection too, until the test lets it go or throws it away.
    Hold,
    /// It is that much later, and so is what is behind it on its connection.
    Delay(Duration),
    /// It is lost; its connection lives.
    Drop,
    /// It is there twice. The client sees one response.
    Duplicate,
    /// It is lost, and its connection ends.
    Cut,
    /// Its first bytes get there, then the connection ends.
    Truncate(usize),
    /// It gets there in pieces of so many bytes, with a pause behind each.
    Throttle {
        /// Bytes at a time.
        bytes: usize,
        /// The pause.
        pause: Duration,
    },
    /// One bit of it is another, so many bytes before its end (0 is the last byte).
    Corrupt {
        /// How many bytes before the end.
        from_end: usize,
    },
    /// These bytes take the place of those that begin so many bytes before its end: an error code, for example.
    Overwrite {
        /// How many bytes before the end; at least as many as there are bytes.
        from_end: usize,
        /// The bytes.
        bytes: Vec<u8>,
    },
}
