//! The port that clients connect to.
//!
//! Every connection has one of its own to the broker behind it, and requests go through it one after the other, as on
//! a Kafka broker. The front answers `Fetch` itself, rewrites `EndTxn`, keeps back the reply to a produce request that
//! wants none, and otherwise passes frames on.

mod end_txn;
mod fetch;
mod offset_fetch;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use krafka::testing::FakeBroker;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

pub(crate) use fetch::first_batch_after;
use wire::{Header, Malformed, Reader};

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const OFFSET_FETCH: i16 = 9;
const INIT_PRODUCER_ID: i16 = 22;
const END_TXN: i16 = 26;

/// Kafka's own limit on a request is 100 MB.
const MOST_FRAME_BYTES: u32 = 100 << 20;
/// The broker behind notes every request and counts through its notes on each one, so they must stay few.
const FORGET_EVERY: u64 = 64;

/// What the front, the housekeeping and the owner's handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) broker: FakeBroker,
    inner: SocketAddr,
    /// Wakes held fetches: records or markers may have been appended.
    pub(crate) appended: Notify,
    /// When each transactional id last ended a transaction. The one that is open now is younger than that.
    pub(crate) ended: Mutex<HashMap<String, Instant>>,
    requests: AtomicU64,
}

impl Shared {
    pub(crate) fn new(broker: FakeBroker, inner: SocketAddr) -> Self {
        Self { broker, inner, appended: Notify::new(), ended: Mutex::default(), requests: AtomicU64::new(0) }
    }
}

/// The listening port.
#[derive(Debug)]
pub(crate) struct Front {
    listener: TcpListener,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

impl Front {
    pub(crate) fn new(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            shared,
            places: Arc::new(Semaphore::new(most_connections())),
        })
    }

    /// Accepts connections until the runtime ends.
    pub(crate) async fn run(self) {
        loop {
            // Waiting for a place before accepting leaves further clients in the system's queue.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((client, peer)) => {
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        if let Err(error) = serve(client, &shared).await {
                            tracing::debug!(%peer, %error, "connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // A client that gave up in the queue, or no file descriptor left: both pass.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// How many clients may be connected at once. Each needs three file descriptors here, and the broker behind would
/// stop accepting for good if it ran out of them; a quarter of them all is kept for the rest of the process.
fn most_connections() -> usize {
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let open_files = open_files.and_then(|n| usize::try_from(n).ok()).unwrap_or(1 << 16);
    (open_files / 4).clamp(8, 1 << 14)
}

async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let upstream = TcpStream::connect(shared.inner).await?;
    upstream.set_nodelay(true)?;
    let mut client = BufReader::with_capacity(32 << 10, client);
    let mut upstream = BufReader::new(upstream);
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    while read_frame(&mut client, &mut request).await? {
        if answer(&request, shared, &mut upstream, &mut reply).await? {
            client.write_all(&reply).await?;
        }
        // A buffer that once held a large batch need not be kept by an idle connection.
        request.shrink_to(1 << 20);
        reply.shrink_to(1 << 20);
    }
    Ok(())
}

/// Puts the reply's frame into `reply`; `false` if the client expects none.
async fn answer(
    request: &[u8],
    shared: &Shared,
    upstream: &mut BufReader<TcpStream>,
    reply: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut body = Reader::new(&request[4..]);
    let header = Header::read(&mut body).map_err(invalid)?;
    match (header.api_key, header.api_version) {
        (FETCH, fetch::VERSION) => {
            *reply = fetch::answer(shared, &header, body).await.map_err(invalid)?;
            return Ok(true);
        }
        (OFFSET_FETCH, offset_fetch::VERSION) => {
            let refusal = shared.broker.with_state(|state| offset_fetch::refusal(state, &header, body));
            if let Some(refusal) = refusal.map_err(invalid)? {
                *reply = refusal;
                return Ok(true);
            }
            exchange(shared, upstream, request, reply).await?;
        }
        (END_TXN, version) => {
            let id = end_txn::transactional_id(&header, body).map_err(invalid)?;
            match end_txn::upgrade(&header, body).map_err(invalid)? {
                Some(upgraded) => {
                    exchange(shared, upstream, &upgraded, reply).await?;
                    *reply = end_txn::downgrade(version, reply).map_err(invalid)?;
                }
                None => exchange(shared, upstream, request, reply).await?,
            }
            let mut ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.insert(id.to_owned(), Instant::now());
        }
        (PRODUCE, _) => {
            exchange(shared, upstream, request, reply).await?;
            shared.appended.notify_waiters();
            return Ok(acks(body).map_err(invalid)? != 0);
        }
        _ => exchange(shared, upstream, request, reply).await?,
    }
    if matches!(header.api_key, END_TXN | INIT_PRODUCER_ID) {
        shared.appended.notify_waiters();
    }
    Ok(true)
}

/// The acknowledgements that a produce request asks for, of any version that the broker serves (all are flexible).
fn acks(mut body: Reader<'_>) -> Result<i16, Malformed> {
    body.skip_tagged_fields()?;
    let _transactional_id = body.compact_nullable_string()?;
    body.i16()
}

async fn exchange(
    shared: &Shared,
    upstream: &mut BufReader<TcpStream>,
    request: &[u8],
    reply: &mut Vec<u8>,
) -> io::Result<()> {
    if shared.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
        shared.broker.clear_requests();
    }
    upstream.write_all(request).await?;
    if read_frame(upstream, reply).await? {
        Ok(())
    } else {
        // It closes on requests that it does not know.
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// Reads one frame with its length. `false` at a clean end.
async fn read_frame(stream: &mut BufReader<TcpStream>, frame: &mut Vec<u8>) -> io::Result<bool> {
    frame.clear();
    // `take` instead of a buffer of the declared size: memory follows what was really sent.
    if (&mut *stream).take(4).read_to_end(frame).await? == 0 {
        return Ok(false);
    }
    let length = frame.as_slice().try_into().map(u32::from_be_bytes).map_err(|_| io::ErrorKind::UnexpectedEof)?;
    if length > MOST_FRAME_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let read = stream.take(u64::from(length)).read_to_end(frame).await?;
    if read < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}

fn invalid(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
