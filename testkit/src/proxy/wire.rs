//! Connections: one thread a direction.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::fault::Action;
use super::frame::{Head, Side, correlation, read_frame};
use super::script::Script;

/// How long the answer to a late request is waited for when its client is gone.
const LINGER: Duration = Duration::from_secs(5);

pub(super) fn accept(listener: &TcpListener, node: usize, script: &Arc<Script>) {
    for client in listener.incoming() {
        let Ok(client) = client else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        let script = Arc::clone(script);
        let serving = thread::Builder::new().name("proxy-up".into()).spawn(move || {
            // A connection that ends, at either side, is nothing to tell.
            let _ = serve(client, node, &script);
        });
        if serving.is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The requests that wait for an answer, by correlation id.
#[derive(Default)]
struct Asked(Mutex<HashMap<i32, Question>>);

struct Question {
    head: Head,
    /// The fault that hit it.
    fault: Option<usize>,
    /// How many more answers there are than the client may see.
    doubles: u32,
}

impl Asked {
    fn ask(&self, question: Question) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(question.head.correlation, question);
    }

    /// The question of an answer, and whether the client may see the answer.
    fn answered(&self, correlation: i32) -> Option<(Question, bool)> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let question = asked.get_mut(&correlation)?;
        if question.doubles > 0 {
            question.doubles -= 1;
            let Question { head, fault, .. } = question;
            return Some((Question { head: head.clone(), fault: *fault, doubles: 0 }, false));
        }
        asked.remove(&correlation).map(|question| (question, true))
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

fn serve(client: TcpStream, node: usize, script: &Arc<Script>) -> io::Result<()> {
    let Some(address) = script.upstream(node) else { return Ok(()) };
    let broker = TcpStream::connect(address)?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let number = script.connected(node, &client, &broker)?;
    let asked = Arc::<Asked>::default();
    let mut down = Pipe { from: broker.try_clone()?, to: client.try_clone()?, node, script: Arc::clone(script) };
    let asked_down = Arc::clone(&asked);
    let answers = thread::Builder::new().name("proxy-down".into()).spawn(move || {
        let _ = down.answers(&asked_down);
        close(&down.from, &down.to);
    })?;
    let mut up = Pipe { from: client, to: broker, node, script: Arc::clone(script) };
    let result = up.requests(&asked);
    close(&up.from, &up.to);
    let _ = answers.join();
    script.closed(number);
    result
}

fn close(client: &TcpStream, broker: &TcpStream) {
    // One of them may be closed already.
    let _ = client.shutdown(Shutdown::Both);
    let _ = broker.shutdown(Shutdown::Both);
}

/// One direction of a connection.
struct Pipe {
    from: TcpStream,
    to: TcpStream,
    node: usize,
    script: Arc<Script>,
}

/// What becomes of a frame.
enum Fate {
    Goes,
    GoesTwice,
    IsLost,
    /// And with it the connection.
    Ends,
}

impl Pipe {
    fn requests(&mut self, asked: &Asked) -> io::Result<()> {
        let (mut frame, mut was_late) = (Vec::new(), false);
        while read_frame(&mut self.from, &mut frame)? {
            let Some(head) = Head::of_request(&frame) else {
                self.to.write_all(&frame)?;
                continue;
            };
            let verdict = self.script.judge(self.node, &head, Side::Request);
            let fault = verdict.as_ref().map(|verdict| verdict.number);
            let fate = match verdict {
                None => Fate::Goes,
                Some(verdict) => {
                    was_late |= matches!(verdict.action, Action::Hold | Action::Delay(_));
                    let client = &self.from;
                    let orphan = || drop(client.shutdown(Shutdown::Both));
                    self.suffer(verdict.number, verdict.action, &mut frame, orphan)?
                }
            };
            let times = match fate {
                Fate::Goes => 1,
                Fate::GoesTwice => 2,
                Fate::IsLost => continue,
                Fate::Ends => return Ok(()),
            };
            if head.is_answered {
                asked.ask(Question { head, fault, doubles: times - 1 });
            }
            for _ in 0..times {
                self.to.write_all(&frame)?;
            }
        }
        if was_late {
            // Closing now could keep the broker from reading what has just been let go.
            let until = Instant::now() + LINGER;
            while !asked.is_empty() && Instant::now() < until {
                thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn answers(&mut self, asked: &Asked) -> io::Result<()> {
        let mut frame = Vec::new();
        while read_frame(&mut self.from, &mut frame)? {
            let Some((question, is_seen)) = correlation(&frame).and_then(|id| asked.answered(id)) else {
                self.forward(&frame);
                continue;
            };
            if let Some(fault) = question.fault {
                self.script.answered(fault, &frame);
            }
            if !is_seen {
                continue;
            }
            let fate = match self.script.judge(self.node, &question.head, Side::Response) {
                None => Fate::Goes,
                Some(verdict) => {
                    let client = &self.to;
                    let orphan = || drop(client.shutdown(Shutdown::Both));
                    self.suffer(verdict.number, verdict.action, &mut frame, orphan)?
                }
            };
            match fate {
                Fate::Goes => self.forward(&frame),
                Fate::GoesTwice => {
                    self.forward(&frame);
                    self.forward(&frame);
                }
                Fate::IsLost => {}
                Fate::Ends => break,
            }
        }
        Ok(())
    }

    /// To a client. When it is gone the other direction sees that, which may have a request to bring to its end first.
    fn forward(&mut self, frame: &[u8]) {
        if self.to.write_all(frame).is_err() {
            let _ = self.to.shutdown(Shutdown::Both);
        }
    }

    fn suffer(&self, number: usize, action: Action, frame: &mut Vec<u8>, orphan: impl Fn()) -> io::Result<Fate> {
        let mut to = &self.to;
        Ok(match action {
            Action::Watch => Fate::Goes,
            Action::Hold => {
                if self.script.hold(number, orphan) {
                    Fate::Goes
                } else {
                    Fate::Ends
                }
            }
            Action::Delay(time) => {
                thread::sleep(time);
                Fate::Goes
            }
            Action::Drop => Fate::IsLost,
            Action::Duplicate => Fate::GoesTwice,
            Action::Cut => Fate::Ends,
            Action::Truncate(bytes) => {
                to.write_all(&frame[..bytes.min(frame.len())])?;
                Fate::Ends
            }
            Action::Throttle { bytes, pause } => {
                let (pieces, rest) = frame.split_at(frame.len() - 1);
                for piece in pieces.chunks(bytes.max(1)) {
                    to.write_all(piece)?;
                    thread::sleep(pause);
                }
                // The last byte goes the way of a whole frame, behind the note of what was asked.
                *frame = rest.to_vec();
                Fate::Goes
            }
            Action::Corrupt { from_end } => {
                if let Some(at) = frame.len().checked_sub(from_end + 1).filter(|at| *at >= 8) {
                    frame[at] ^= 1;
                }
                Fate::Goes
            }
            Action::Overwrite { from_end, bytes } => {
                let start = frame.len().checked_sub(from_end).filter(|start| *start >= 8);
                if let Some(target) = start.and_then(|start| frame.get_mut(start..start + bytes.len())) {
                    target.copy_from_slice(&bytes);
                }
                Fate::Goes
            }
        })
    }
}
