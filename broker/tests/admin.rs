//! Topic administration with librdkafka's admin client.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use common::{WAIT, broker, client, producer};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::Producer;
use rdkafka::types::RDKafkaErrorCode;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The admin client is asynchronous; nothing else here is.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn topics_are_created_listed_and_deleted() {
    let broker = broker(&[("old", 2)]);
    let admin: AdminClient<DefaultClientContext> = client(&broker).create().expect("an admin client");
    let options = AdminOptions::new().request_timeout(Some(WAIT));
    let topic = NewTopic::new("new", 3, TopicReplication::Fixed(1));
    let created = wait(admin.create_topics([&topic], &options)).expect("create");
    assert_eq!(created, [Ok("new".to_owned())]);
    let again = wait(admin.create_topics([&topic], &options)).expect("create");
    assert_eq!(again, [Err(("new".to_owned(), RDKafkaErrorCode::TopicAlreadyExists))]);

    let producer = producer(&broker);
    let topics = || {
        let metadata = producer.client().fetch_metadata(None, WAIT).expect("metadata");
        let mut topics: Vec<_> =
            metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len())).collect();
        topics.sort();
        topics
    };
    assert_eq!(topics(), [("new".to_owned(), 3), ("old".to_owned(), 2)]);

    let deleted = wait(admin.delete_topics(&["old"], &options)).expect("delete");
    assert_eq!(deleted, [Ok("old".to_owned())]);
    assert_eq!(topics(), [("new".to_owned(), 3)]);
}
