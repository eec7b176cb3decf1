//! `ksem broker`: the embedded broker, for anybody's client.

use std::io::Write;
use std::sync::mpsc::channel;

use ksem_broker::{BrokerError, EmbeddedBroker};

use crate::exit::{Done, Failure};
use crate::signals;

/// Arguments of `ksem broker`.
#[derive(clap::Args)]
#[command(
    about = "Serve an embedded Kafka broker for development and tests",
    after_help = "Example:\n  ksem broker --listen 127.0.0.1:9092 --topic orders:4 --topic invoices:4\n\n\
    Everything is in memory and gone when it stops. A consumer group has one member at a time, and\n\
    transactions do not time out: what needs either runs on real Kafka."
)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    listen: String,
    /// A topic to create, with its number of partitions (1 if left out); may be repeated
    #[arg(long, value_name = "NAME[:PARTITIONS]", value_parser = topic)]
    topic: Vec<(String, i32)>,
    /// Print one JSON object with the address instead of a sentence
    #[arg(long)]
    json: bool,
}

fn topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.rsplit_once(':').unwrap_or((text, "1"));
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 249 || !name.chars().all(valid) {
        return Err(format!("`{name}` is no topic name: letters, digits, `.`, `_` and `-`, at most 249"));
    }
    match partitions.parse() {
        Ok(partitions @ 1..=10_000) => Ok((name.to_owned(), partitions)),
        _ => Err(format!("`{partitions}` is no number of partitions from 1 to 10000")),
    }
}

pub(crate) fn run(args: &Args) -> Done {
    let mut builder = EmbeddedBroker::builder().listen(&args.listen);
    for (name, partitions) in &args.topic {
        builder = builder.topic(name, *partitions);
    }
    let broker = builder.start().map_err(|error| refused(&error))?;
    let (stop, stopped) = channel();
    signals::on_stop(move || {
        // The receiver lives until the process ends.
        let _ = stop.send(());
    })?;
    if args.json {
        println!("{}", serde_json::json!({ "bootstrap": broker.bootstrap() }));
    } else {
        println!("ksem broker on {} (bootstrap.servers); Ctrl-C stops it", broker.bootstrap());
    }
    std::io::stdout().flush()?;
    let _ = stopped.recv();
    broker.stop();
    Ok(())
}

fn refused(error: &BrokerError) -> Failure {
    Failure::from(ksem::Error::new(
        ksem::error::Code::ListenDenied,
        format!("{error}; choose another address with --listen"),
    ))
}
