//! `ksem-bench report`: a page with tables and plots, from the documents of the measurements.

mod bars;
mod curves;
mod page;
mod plot;
mod throughput;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::de::DeserializeOwned;

use crate::latency::result::Latency;
use crate::machine::Machine;
use page::Page;
use throughput::Throughput;

const EXAMPLES: &str = "\
Example:
  cargo xtask bench --json result.json
  cargo xtask bench latency --json latency.json
  cargo xtask bench report --json result.json --latency latency.json --out docs

Writes benchmarks.md and benchmarks/*.svg into the folder of --out. It describes the machine that it runs on: that
has to be the one that measured.";

/// Arguments of `ksem-bench report`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// What `ksem-bench --json` wrote
    #[arg(long, value_name = "FILE", required_unless_present = "latency")]
    json: Option<PathBuf>,
    /// What `ksem-bench latency --json` wrote; may be repeated, as for the targets
    #[arg(long, value_name = "FILE")]
    latency: Vec<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "docs")]
    out: PathBuf,
}

/// The folder of the plots, beside the page.
const PLOTS: &str = "benchmarks";

pub(crate) fn run(options: &Options) -> Result<()> {
    let throughput: Option<Throughput> = options.json.as_deref().map(read).transpose()?;
    let latency: Vec<Latency> = options.latency.iter().map(|path| read(path)).collect::<Result<_>>()?;
    let machine = Machine::here();
    for measured in &latency {
        ensure!(
            measured.machine.processor == machine.processor && measured.machine.processors == machine.processors,
            "the latency was measured on another machine: {}",
            measured.machine.processor
        );
    }
    let plots = plots(throughput.as_ref(), &latency)?;
    let page = Page { machine: &machine, throughput: throughput.as_ref(), latency: &latency, plots: &plots };
    let folder = options.out.join(PLOTS);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for plot in &plots {
        write(&folder.join(&plot.file), &plot.svg)?;
    }
    write(&options.out.join("benchmarks.md"), &page.text())
}

/// A plot and where it belongs.
struct Plot {
    file: String,
    svg: String,
    of: Subject,
}

/// What a plot shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    /// The throughput of everybody at this cadence.
    Throughput(String),
    /// The latency of this document.
    Latency(usize),
}

fn plots(throughput: Option<&Throughput>, latency: &[Latency]) -> Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for cadence in throughput.iter().flat_map(|throughput| throughput.cadences()) {
        if cadence.systems.iter().any(|system| !system.bars.is_empty()) {
            let (svg, name) = (bars::draw(&cadence)?, cadence.name);
            plots.push(Plot { file: format!("throughput-{name}.svg"), svg, of: Subject::Throughput(name) });
        }
    }
    for (index, measured) in latency.iter().enumerate() {
        let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
        let svg = curves::draw(measured)?;
        plots.push(Plot { file: format!("latency{number}.svg"), svg, of: Subject::Latency(index) });
    }
    Ok(plots)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a document of the bench", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}
