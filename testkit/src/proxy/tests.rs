//! The proxy between a client and a broker that are both the test's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::frame::read_frame;
use super::*;

const SOON: Duration = Duration::from_secs(5);

fn request(api: Api, correlation: i32, client: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend((api as i16).to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    body.extend(correlation.to_be_bytes());
    body.extend((client.len() as i16).to_be_bytes());
    body.extend(client.as_bytes());
    // A transactional id, and something behind it.
    body.extend(b"\x00\x03t-1\x07");
    [&(body.len() as u32).to_be_bytes(), &body[..]].concat()
}

/// A broker that answers each request with its correlation id and `body`, and tells what it got.
fn broker() -> (String, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let (tell, got) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.expect("a connection"), tell.clone());
            thread::spawn(move || {
                let mut frame = Vec::new();
                while let Ok(true) = read_frame(&mut stream, &mut frame) {
                    let answer = [&8_u32.to_be_bytes(), &frame[8..12], b"body"].concat();
                    let _ = tell.send(frame.clone());
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, got)
}

struct Scene {
    proxy: Proxy,
    got: Receiver<Vec<u8>>,
}

impl Scene {
    fn new() -> Self {
        let (address, got) = broker();
        let proxy = Proxy::listen(1).expect("a port");
        proxy.lead_to(&[address]);
        Self { proxy, got }
    }

    fn connect(&self) -> Client {
        Client(TcpStream::connect(("127.0.0.1", self.proxy.ports()[0])).expect("a connection"))
    }
}

struct Client(TcpStream);

impl Client {
    fn ask(&mut self, api: Api, correlation: i32, name: &str) {
        self.0.write_all(&request(api, correlation, name)).expect("writing");
    }

    /// The correlation id and the body of the next answer; `None` if there is none soon.
    fn answer(&mut self) -> Option<(i32, Vec<u8>)> {
        let mut frame = Vec::new();
        self.0.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        let is_whole = read_frame(&mut self.0, &mut frame).ok()?;
        is_whole.then(|| (i32::from_be_bytes(frame[4..8].try_into().expect("four bytes")), frame[8..].to_vec()))
    }

    fn number(&mut self) -> Option<i32> {
        self.answer().map(|(number, _)| number)
    }

    fn is_closed(&mut self) -> bool {
        self.0.set_read_timeout(Some(SOON)).expect("a time-out");
        matches!(self.0.read(&mut [0; 64]), Ok(0))
    }
}

#[test]
fn one_named_frame_is_held_and_nothing_else() {
    let scene = Scene::new();
    let mut client = scene.connect();
    let held = scene.proxy.hold(Frames::of(Api::EndTxn, Side::Request).client("me").skip(1));
    for (number, api, name) in [(1, Api::Produce, "me"), (2, Api::EndTxn, "me"), (3, Api::EndTxn, "you")] {
        client.ask(api, number, name);
        assert_eq!(client.number(), Some(number));
    }
    assert!(!held.wait(Duration::ZERO));
    client.ask(Api::EndTxn, 4, "me");
    assert!(held.wait(SOON));
    assert_eq!(client.number(), None);
    held.pass();
    assert_eq!(client.number(), Some(4));

    let response = scene.proxy.hold(Frames::of(Api::EndTxn, Side::Response).client("me"));
    client.ask(Api::EndTxn, 5, "me");
    assert!(response.wait(SOON));
    response.cut();
    assert!(client.is_closed());
    // Others are not touched, and what was never hit holds nothing any more.
    drop(scene.proxy.hold(Frames::of(Api::EndTxn, Side::Request).client("me")));
    let mut other = scene.connect();
    other.ask(Api::EndTxn, 6, "me");
    assert_eq!(other.number(), Some(6));
}

#[test]
fn a_held_request_outlives_its_client_and_its_answer_is_known() {
    let scene = Scene::new();
    let mut client = scene.connect();
    let late = scene.proxy.hold(Frames::of(Api::EndTxn, Side::Request).transactional_id("t-1"));
    client.ask(Api::EndTxn, 1, "me");
    assert!(late.wait(SOON));
    late.orphan();
    assert!(client.is_closed());
    assert!(scene.got.try_recv().is_err(), "the broker has it already");
    let mut again = scene.connect();
    again.ask(Api::EndTxn, 2, "me");
    assert_eq!(again.number(), Some(2), "one frame is held, not two");
    scene.got.recv_timeout(SOON).expect("the second request");
    drop(client);
    late.release();
    let frame = scene.got.recv_timeout(SOON).expect("the late request");
    assert_eq!(frame, request(Api::EndTxn, 1, "me"));
    assert_eq!(late.answer(SOON).expect("an answer")[4..], *b"\x00\x00\x00\x01body");
}

#[test]
fn frames_are_delayed_lost_doubled_and_cut() {
    let scene = Scene::new();
    let mut client = scene.connect();
    let fault = |action| scene.proxy.inject(Frames::of(Api::Produce, Side::Request), action);

    let delayed = fault(Action::Delay(Duration::from_millis(100)));
    let started = Instant::now();
    client.ask(Api::Produce, 1, "me");
    assert_eq!(client.number(), Some(1));
    assert!(started.elapsed() >= Duration::from_millis(100) && delayed.hits() == 1);

    let lost = fault(Action::Drop);
    client.ask(Api::Produce, 2, "me");
    client.ask(Api::Produce, 3, "me");
    assert_eq!(client.number(), Some(3));
    assert_eq!(lost.hits(), 1);

    let doubled = fault(Action::Duplicate);
    client.ask(Api::Produce, 4, "me");
    client.ask(Api::Produce, 5, "me");
    assert_eq!((client.number(), client.number(), client.number()), (Some(4), Some(5), None));
    assert_eq!(doubled.hits(), 1);
    let got: Vec<u8> = scene.got.try_iter().map(|frame| frame[11]).collect();
    assert_eq!(got, [1, 3, 4, 4, 5]);

    let cut = fault(Action::Cut);
    client.ask(Api::Produce, 6, "me");
    assert!(client.is_closed() && cut.hits() == 1);
    assert!(scene.got.try_recv().is_err());
}

#[test]
fn frames_are_torn_slowed_down_and_damaged() {
    let scene = Scene::new();
    let mut client = scene.connect();
    let fault = |action| scene.proxy.inject(Frames::of(Api::Fetch, Side::Response), action);

    let slow = fault(Action::Throttle { bytes: 1, pause: Duration::from_millis(10) });
    let started = Instant::now();
    client.ask(Api::Fetch, 1, "me");
    assert_eq!(client.answer(), Some((1, b"body".to_vec())));
    assert!(started.elapsed() >= Duration::from_millis(100) && slow.hits() == 1);

    let damaged = fault(Action::Corrupt { from_end: 3 });
    client.ask(Api::Fetch, 2, "me");
    assert_eq!(client.answer(), Some((2, b"cody".to_vec())));
    assert_eq!(damaged.hits(), 1);

    let overwritten = fault(Action::Overwrite { from_end: 4, bytes: b"ha".to_vec() });
    client.ask(Api::Fetch, 3, "me");
    assert_eq!(client.answer(), Some((3, b"hady".to_vec())));
    assert_eq!(overwritten.hits(), 1);

    let torn = fault(Action::Truncate(6));
    client.ask(Api::Fetch, 4, "me");
    let mut rest = Vec::new();
    client.0.set_read_timeout(Some(SOON)).expect("a time-out");
    client.0.read_to_end(&mut rest).expect("the end");
    assert_eq!((rest.len(), torn.hits()), (6, 1));
}

#[test]
fn one_of_so_many_is_hit_as_often_as_asked_and_watchers_see_all() {
    let scene = Scene::new();
    let mut client = scene.connect();
    let every = Frames::of(Api::Heartbeat, Side::Request).every(3).times(2);
    let lost = scene.proxy.inject(every, Action::Drop);
    let watched = scene.proxy.inject(Frames::any(Side::Request).always(), Action::Watch);
    for number in 0..10 {
        client.ask(Api::Heartbeat, number, "me");
    }
    let answers: Vec<i32> = std::iter::from_fn(|| client.number()).collect();
    assert_eq!(answers, [1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!((lost.hits(), watched.hits()), (2, 10));
    assert!(watched.wait_for_hits(10, Duration::ZERO) && !watched.wait_for_hits(11, Duration::ZERO));
}

#[test]
fn connections_of_a_node_are_ended_at_once() {
    let scene = Scene::new();
    let mut clients = [scene.connect(), scene.connect()];
    for client in &mut clients {
        client.ask(Api::Metadata, 1, "me");
        assert_eq!(client.number(), Some(1));
    }
    assert_eq!(scene.proxy.disconnect(Some(1)), 0);
    assert_eq!(scene.proxy.disconnect(Some(0)), 2);
    assert!(clients.iter_mut().all(Client::is_closed));
}

#[test]
#[should_panic(expected = "EndTxn Request of nobody")]
fn a_fault_that_hit_nothing_is_told() {
    let proxy = Proxy::listen(1).expect("a port");
    drop(proxy.hold(Frames::of(Api::EndTxn, Side::Request).client("nobody")));
    proxy.assert_every_fault_hit();
}
