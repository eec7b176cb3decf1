//! `ksem-bench report`: a page with tables and plots, from the documents of the measurements.

/// A line of the page. Writing to a string can't fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _ = writeln!($text, $($arg)*); };
}

mod bars;
mod curves;
mod delay;
mod dimensions;
mod growth;
mod lines;
mod page;
mod plot;
mod speed;
mod throughput;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dimensions::result::Dimensions;
use crate::growth::result::Growth;
use crate::latency::result::Latency;
use crate::machine::Machine;
use page::Page;
use throughput::Throughput;

const EXAMPLES: &str = "\
Example:
  cargo xtask bench --cadence 10k --json 10k.json
  cargo xtask bench --cadence 1k,100 --json small.json
  cargo xtask bench latency --json latency.json
  cargo xtask bench report --json 10k.json --json small.json --json latency.json --out docs

Writes benchmarks.md and benchmarks/*.svg into the folder of --out. Every document has to be of the same machine.";

/// Arguments of `ksem-bench report`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// What a run of the bench wrote with its own --json; may be repeated, in the order of the page
    #[arg(long, value_name = "FILE", required_unless_present = "latency")]
    json: Vec<PathBuf>,
    /// The same as --json
    #[arg(long, value_name = "FILE", hide = true)]
    latency: Vec<PathBuf>,
    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = "docs")]
    out: PathBuf,
}

/// The folder of the plots, beside the page.
const PLOTS: &str = "benchmarks";

pub(crate) fn run(options: &Options) -> Result<()> {
    let documents = Documents::read(options.json.iter().chain(&options.latency))?;
    let page = Page::of(&documents)?;
    let folder = options.out.join(PLOTS);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for (file, svg) in &page.plots {
        write(&folder.join(file), svg)?;
    }
    write(&options.out.join("benchmarks.md"), &page.text)
}

/// The documents of separate runs, by what they measured, each with the name of its file.
#[derive(Default)]
struct Documents {
    throughput: Vec<(String, Throughput)>,
    latency: Vec<(String, Latency)>,
    dimensions: Vec<(String, Dimensions)>,
    growth: Vec<(String, Growth)>,
}

impl Documents {
    fn read<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Self> {
        let mut documents = Self::default();
        for path in paths {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            documents.add(file, &text).with_context(|| format!("{} is not a document of the bench", path.display()))?;
        }
        Ok(documents)
    }

    /// A document says what it is by what it has.
    fn add(&mut self, file: String, text: &str) -> Result<()> {
        let document: Value = serde_json::from_str(text)?;
        if document.get("contestants").is_some() {
            self.throughput.push((file, parsed(document)?));
        } else if document.get("dimensions").is_some() {
            self.dimensions.push((file, parsed(document)?));
        } else if document.get("parts").is_some() {
            self.growth.push((file, parsed(document)?));
        } else {
            self.latency.push((file, parsed(document)?));
        }
        Ok(())
    }

    /// Where everything was measured; one page is about one machine.
    fn machine(&self) -> Result<Machine> {
        let throughput = self.throughput.iter().filter_map(|(file, document)| Some((file, document.machine.as_ref()?)));
        let latency = self.latency.iter().map(|(file, document)| (file, &document.machine));
        let dimensions = self.dimensions.iter().map(|(file, document)| (file, &document.machine));
        let growth = self.growth.iter().map(|(file, document)| (file, &document.machine));
        let mut all = throughput.chain(dimensions).chain(growth).chain(latency);
        let Some((first, machine)) = all.next() else { return Ok(Machine::here()) };
        for (file, other) in all {
            ensure!(
                other.processor == machine.processor && other.processors == machine.processors,
                "{file} was measured on another machine than {first}: {} × {}",
                other.processors,
                other.processor
            );
        }
        Ok(machine.clone())
    }

    /// Everything that has a version.
    fn versions(&self, machine: &Machine) -> Vec<(String, String)> {
        let mut versions = machine.versions.clone();
        let throughput = self.throughput.iter().flat_map(|(_, document)| &document.versions);
        let dimensions = self.dimensions.iter().flat_map(|(_, document)| &document.versions);
        for (name, version) in throughput.chain(dimensions) {
            if !versions.iter().any(|(known, _)| known == name) {
                versions.push((name.clone(), version.clone()));
            }
        }
        versions
    }

    /// File and arguments of each run, in the order of the page.
    fn commands(&self) -> Vec<(&str, String)> {
        let throughput = self.throughput.iter().map(|(file, document)| (file.as_str(), document.arguments()));
        let latency = self
            .latency
            .iter()
            .map(|(file, document)| (file.as_str(), format!("latency {}", delay::arguments(document))));
        let dimensions = self.dimensions.iter().map(|(file, document)| (file.as_str(), document.arguments.join(" ")));
        let growth = self.growth.iter().map(|(file, document)| (file.as_str(), document.arguments.join(" ")));
        throughput.chain(dimensions).chain(growth).chain(latency).collect()
    }
}

fn parsed<T: DeserializeOwned>(document: Value) -> Result<T> {
    Ok(serde_json::from_value(document)?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_about_one_machine() {
        let mut documents = Documents::default();
        documents.throughput.push(("a.json".to_owned(), throughput::tests::another()));
        documents.latency.push(("b.json".to_owned(), curves::tests::document()));
        assert_eq!(documents.machine().expect("one machine"), Machine::here());
        documents.latency[0].1.machine.processors += 1;
        let error = documents.machine().expect_err("two machines").to_string();
        assert!(error.starts_with("b.json was measured on another machine than a.json"), "{error}");
    }

    #[test]
    fn a_document_is_known_by_what_it_has() {
        let mut documents = Documents::default();
        let latency = serde_json::to_string(&curves::tests::document()).expect("JSON");
        documents.add("latency.json".to_owned(), &latency).expect("latency");
        let work = r#"{ "records": null, "size": 200, "partitions": 4, "rounds": 3 }"#;
        let throughput = format!(r#"{{ "work": {work}, "contestants": [] }}"#);
        documents.add("result.json".to_owned(), &throughput).expect("throughput");
        assert_eq!((documents.throughput.len(), documents.latency.len()), (1, 1));
        assert!(documents.add("other.json".to_owned(), "{}").is_err());
    }
}
