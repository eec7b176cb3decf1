//! Orders become invoices and analytics, under a guarantee from the command line:
//!
//! ```console
//! $ cargo run --release --example orders -- localhost:9092 exactly_once
//! ```

use std::process::ExitCode;

use ksem::error::Retry;
use ksem::{Batch, Config, HandlerResult, Output, Pipeline, Until};

fn bill(orders: &Batch, out: &mut Output) -> HandlerResult {
    for (index, order) in orders.records().enumerate() {
        let value = order.value.ok_or("an order without a value")?;
        out.send("invoices", order.key, Some(&[b"invoice for ", value].concat()));
        out.forward("analytics", index); // unchanged, with headers and timestamp
    }
    Ok(())
}

fn run(bootstrap: &str, guarantee: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let config = format!(
        "group = 'orders-rust-{guarantee}'\ninputs = ['orders']\nguarantee = '{guarantee}'\n\
         [kafka]\n'bootstrap.servers' = '{bootstrap}'\n"
    );
    let pipeline = Pipeline::open(Config::from_toml_str(&config, "orders")?)?;
    pipeline.run_until(Until::CaughtUp, bill)?;
    pipeline.close()?;
    Ok(pipeline.metrics().records_in)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, guarantee] = arguments.as_slice() else {
        eprintln!("usage: orders BOOTSTRAP at_most_once|at_least_once|exactly_once");
        return ExitCode::from(2);
    };
    match run(bootstrap, guarantee) {
        Ok(orders) => {
            println!("{guarantee}: {orders} orders");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            let retry = error.downcast_ref::<ksem::Error>().map_or(Retry::Never, ksem::Error::retry);
            ExitCode::from(if retry == Retry::Never { 1 } else { 75 })
        }
    }
}
