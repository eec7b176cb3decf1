//! A proxy in front of a broker that can hold a named request, or its response, of a named client.
//!
//! What a process has done, and what the broker knows of it, is then certain: the request in front of the held one was
//! answered, and the held one has not arrived, or its answer has not. A process that is killed there dies between the two.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The requests of Kafka's protocol that a scenario may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum Api {
    Produce = 0,
    Fetch = 1,
    OffsetCommit = 8,
    InitProducerId = 22,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    TxnOffsetCommit = 28,
}

impl Api {
    /// Finds it by Kafka's name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Produce,
            Self::Fetch,
            Self::OffsetCommit,
            Self::InitProducerId,
            Self::AddPartitionsToTxn,
            Self::AddOffsetsToTxn,
            Self::EndTxn,
            Self::TxnOffsetCommit,
        ];
        all.into_iter().find(|api| format!("{api:?}") == name)
    }
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// To the broker.
    Request,
    /// To the client.
    Response,
}

/// A listening proxy. Connections that it has accepted live until one of their ends closes.
#[derive(Debug)]
pub struct Gate {
    port: u16,
    state: Arc<State>,
}

/// A frame that is to be held, or is.
#[derive(Debug)]
pub struct Hold {
    number: u64,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    upstream: OnceLock<String>,
    rules: Mutex<Rules>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rules {
    made: u64,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    number: u64,
    client: String,
    api: i16,
    side: Side,
    /// How many are let pass before.
    skip: u32,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Holding,
    Over(bool),
}

impl Gate {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is none.
    pub fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        thread::Builder::new().name("gate".into()).spawn(move || accept(&listener, &shared))?;
        Ok(Self { port, state })
    }

    /// The port that a broker has to advertise.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Says where the broker listens; connections wait for that.
    pub fn lead_to(&self, address: &str) {
        let _ = self.state.upstream.set(address.to_owned());
        self.state.changed.notify_all();
    }

    /// Holds the next frame of this kind by a client with this `client.id`, after letting `skip` of them pass.
    pub fn hold(&self, client: &str, api: Api, side: Side, skip: u32) -> Hold {
        let mut rules = self.state.lock();
        rules.made += 1;
        let number = rules.made;
        rules.rules.push(Rule {
            number,
            client: client.to_owned(),
            api: api as i16,
            side,
            skip,
            phase: Phase::Waiting,
        });
        Hold { number, state: Arc::clone(&self.state) }
    }
}

impl Hold {
    /// Waits until it has a frame. Returns whether it got one in time.
    pub fn wait(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut rules = self.state.lock();
        loop {
            if rules.of(self.number) == Some(Phase::Holding) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            rules = self.state.changed.wait_timeout(rules, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the frame go on to where it was sent.
    pub fn pass(self) {
        self.state.end(self.number, true);
    }

    /// Throws the frame away and closes its connection.
    pub fn cut(self) {
        self.state.end(self.number, false);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.state.end(self.number, false);
    }
}

impl Rules {
    fn of(&self, number: u64) -> Option<Phase> {
        self.rules.iter().find(|rule| rule.number == number).map(|rule| rule.phase)
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first call decides.
    fn end(&self, number: u64, passes: bool) {
        let mut rules = self.lock();
        match rules.of(number) {
            Some(Phase::Holding) => {
                for rule in rules.rules.iter_mut().filter(|rule| rule.number == number) {
                    rule.phase = Phase::Over(passes);
                }
            }
            // Nothing waits for it, so nobody would take it away.
            Some(Phase::Waiting) => rules.rules.retain(|rule| rule.number != number),
            Some(Phase::Over(_)) | None => {}
        }
        self.changed.notify_all();
    }

    /// Waits if a rule holds this frame. Returns whether it may go on.
    fn admit(&self, client: &str, api: i16, side: Side) -> bool {
        let mut rules = self.lock();
        let matching = |rule: &&mut Rule| {
            rule.phase == Phase::Waiting && rule.api == api && rule.side == side && rule.client == client
        };
        let Some(rule) = rules.rules.iter_mut().find(matching) else { return true };
        if rule.skip > 0 {
            rule.skip -= 1;
            return true;
        }
        rule.phase = Phase::Holding;
        let number = rule.number;
        self.changed.notify_all();
        loop {
            match rules.of(number) {
                Some(Phase::Over(passes)) => {
                    rules.rules.retain(|rule| rule.number != number);
                    return passes;
                }
                None => return false,
                _ => rules = self.changed.wait(rules).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn upstream(&self) -> String {
        let mut rules = self.lock();
        loop {
            if let Some(address) = self.upstream.get() {
                return address.clone();
            }
            rules = self.changed.wait(rules).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for client in listener.incoming() {
        let Ok(client) = client else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let state = Arc::clone(state);
        let serving = thread::Builder::new().name("gate-up".into()).spawn(move || {
            // A connection that ends, at either side, is nothing to tell.
            let _ = serve(client, &state);
        });
        if serving.is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The requests that wait for an answer: who asked for what, by correlation id.
type Asked = Mutex<HashMap<i32, (i16, String)>>;

fn serve(client: TcpStream, state: &Arc<State>) -> io::Result<()> {
    let broker = TcpStream::connect(state.upstream())?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let asked = Arc::<Asked>::default();
    let (from_broker, to_client) = (broker.try_clone()?, client.try_clone()?);
    let (state_down, asked_down) = (Arc::clone(state), Arc::clone(&asked));
    let down = thread::Builder::new().name("gate-down".into()).spawn(move || {
        let _ = answers(from_broker, to_client, &state_down, &asked_down);
    })?;
    let result = requests(client, broker, state, &asked);
    let _ = down.join();
    result
}

fn requests(mut client: TcpStream, mut broker: TcpStream, state: &State, asked: &Asked) -> io::Result<()> {
    let mut frame = Vec::new();
    let result = loop {
        match read_frame(&mut client, &mut frame) {
            Ok(true) => {}
            other => break other.map(drop),
        }
        if let Some((api, correlation, name)) = header(&frame) {
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(correlation, (api, name.clone()));
            if !state.admit(&name, api, Side::Request) {
                break Ok(());
            }
        }
        if let Err(error) = broker.write_all(&frame) {
            break Err(error);
        }
    };
    close(&client, &broker);
    result
}

fn answers(mut broker: TcpStream, mut client: TcpStream, state: &State, asked: &Asked) -> io::Result<()> {
    let mut frame = Vec::new();
    let result = loop {
        match read_frame(&mut broker, &mut frame) {
            Ok(true) => {}
            other => break other.map(drop),
        }
        let correlation = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation.unwrap_or(-1));
        if asked.is_some_and(|(api, name)| !state.admit(&name, api, Side::Response)) {
            break Ok(());
        }
        if let Err(error) = client.write_all(&frame) {
            break Err(error);
        }
    };
    close(&client, &broker);
    result
}

fn close(client: &TcpStream, broker: &TcpStream) {
    // One of them may be closed already.
    let _ = client.shutdown(Shutdown::Both);
    let _ = broker.shutdown(Shutdown::Both);
}

/// Reads a frame with its length. `false` at the end.
fn read_frame(stream: &mut TcpStream, frame: &mut Vec<u8>) -> io::Result<bool> {
    frame.resize(4, 0);
    if let Err(error) = stream.read_exact(frame) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(false) } else { Err(error) };
    }
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    let read = stream.take(u64::from(length)).read_to_end(frame)?;
    Ok(read == length as usize)
}

/// The kind, the correlation id and the client of a request.
fn header(frame: &[u8]) -> Option<(i16, i32, String)> {
    let short = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let correlation = i32::from_be_bytes(frame.get(8..12)?.try_into().ok()?);
    let length = usize::try_from(short(12)?).unwrap_or(0);
    let name = String::from_utf8_lossy(frame.get(14..14 + length)?).into_owned();
    Some((short(4)?, correlation, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(api: Api, correlation: i32, client: &str) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend((api as i16).to_be_bytes());
        body.extend(3_i16.to_be_bytes());
        body.extend(correlation.to_be_bytes());
        body.extend((client.len() as i16).to_be_bytes());
        body.extend(client.as_bytes());
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend(body);
        frame
    }

    /// Answers each request with its correlation id.
    fn echo(listener: &TcpListener) {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut frame = Vec::new();
                while read_frame(&mut stream, &mut frame).expect("a frame") {
                    let answer = [&4_u32.to_be_bytes(), &frame[8..12]].concat();
                    stream.write_all(&answer).expect("writing");
                }
            });
        }
    }

    fn answer(client: &mut TcpStream) -> Option<i32> {
        let mut frame = Vec::new();
        client.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        read_frame(client, &mut frame).ok()?.then(|| i32::from_be_bytes(frame[4..8].try_into().expect("four bytes")))
    }

    #[test]
    fn one_named_frame_is_held_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        thread::spawn(move || echo(&listener));
        let gate = Gate::listen().expect("a port");
        let connect = || TcpStream::connect(("127.0.0.1", gate.port())).expect("a connection");
        let mut client = connect();
        gate.lead_to(&address);
        let request = gate.hold("me", Api::EndTxn, Side::Request, 1);
        for (number, api, name) in [(1, Api::Produce, "me"), (2, Api::EndTxn, "me"), (3, Api::EndTxn, "you")] {
            client.write_all(&frame(api, number, name)).expect("writing");
            assert_eq!(answer(&mut client), Some(number));
        }
        assert!(!request.wait(Duration::ZERO));
        client.write_all(&frame(Api::EndTxn, 4, "me")).expect("writing");
        assert!(request.wait(Duration::from_secs(5)));
        assert_eq!(answer(&mut client), None);
        request.pass();
        client.set_read_timeout(None).expect("no time-out");
        assert_eq!(answer(&mut client), Some(4));

        let response = gate.hold("me", Api::EndTxn, Side::Response, 0);
        client.write_all(&frame(Api::EndTxn, 5, "me")).expect("writing");
        assert!(response.wait(Duration::from_secs(5)));
        response.cut();
        assert_eq!(answer(&mut client), None, "the connection is closed");
        // Others are not touched, and what was never hit holds nothing any more.
        drop(gate.hold("me", Api::EndTxn, Side::Request, 0));
        let mut other = connect();
        other.write_all(&frame(Api::EndTxn, 6, "me")).expect("writing");
        assert_eq!(answer(&mut other), Some(6));
    }
}
