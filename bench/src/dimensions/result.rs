//! What was measured, as it is written to JSON and read for the page.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cadence::Cadence;
use crate::machine::Machine;
use crate::report::{Measured, grouped};
use crate::shape::{Compression, Shape, Task};

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Dimension {
    /// Bytes of a record's value
    Size,
    /// Partitions of input and output
    Partitions,
    /// How record batches are compressed
    Compression,
}

impl Dimension {
    pub(crate) const ALL: [Self; 3] = [Self::Size, Self::Partitions, Self::Compression];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Size => "Record size",
            Self::Partitions => "Partitions",
            Self::Compression => "Compression",
        }
    }

    /// The points along it, beside the standard one.
    pub(crate) fn shapes(self, standard: Shape) -> Vec<Shape> {
        match self {
            Self::Size => [100, 1_000, 10_000].map(|size| Shape { size, ..standard }).to_vec(),
            Self::Partitions => [1, 64].map(|partitions| Shape { partitions, ..standard }).to_vec(),
            Self::Compression => {
                [Compression::Lz4, Compression::Zstd].map(|compression| Shape { compression, ..standard }).to_vec()
            }
        }
    }

    /// A point's value along it, in words.
    pub(crate) fn value(self, shape: &Shape) -> String {
        match self {
            Self::Size => format!("{} B", grouped(shape.size as f64)),
            Self::Partitions => shape.partitions.to_string(),
            Self::Compression => shape.compression.to_string(),
        }
    }

    fn rank(self, shape: &Shape) -> usize {
        match self {
            Self::Size => shape.size,
            Self::Partitions => shape.partitions as usize,
            Self::Compression => shape.compression as usize,
        }
    }
}

/// The whole result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dimensions {
    pub(crate) machine: Machine,
    /// Peers by name, with their versions.
    pub(crate) versions: BTreeMap<String, String>,
    /// What the bench was started with.
    pub(crate) arguments: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) nodes: usize,
    pub(crate) cadence: Cadence,
    pub(crate) dimensions: Vec<Dimension>,
    /// The standard one first.
    pub(crate) points: Vec<Point>,
    pub(crate) rows: Vec<Measured>,
}

/// What everybody did once more.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) task: Task,
    /// What the input's records take on the broker's disk.
    pub(crate) input_bytes: u64,
}

impl Dimensions {
    /// The points of a dimension, in order, with the standard one among them.
    pub(crate) fn along(&self, dimension: Dimension) -> Vec<&Point> {
        let Some(standard) = self.points.first() else { return Vec::new() };
        let mut shapes = dimension.shapes(standard.task.shape);
        shapes.push(standard.task.shape);
        let mut points: Vec<&Point> = self.points.iter().filter(|point| shapes.contains(&point.task.shape)).collect();
        points.sort_by_key(|point| dimension.rank(&point.task.shape));
        points
    }

    /// What a contestant did at a point.
    pub(crate) fn row(&self, name: &str, point: &Point) -> Option<&Measured> {
        self.rows.iter().find(|row| row.name == name && row.task == point.task)
    }

    /// The contestants' names, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.name.as_str()) {
                names.push(&row.name);
            }
        }
        names
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::child::tests::run;
    use crate::payload::Payload;

    pub(crate) fn document() -> Dimensions {
        let standard = Shape { payload: Payload::Orders, ..Shape::STANDARD };
        let shapes = std::iter::once(standard).chain(Dimension::ALL.iter().flat_map(|one| one.shapes(standard)));
        let point = |shape: Shape| Point {
            task: Task { shape, records: 100_000, processes: 1 },
            input_bytes: if shape.compression == Compression::None { 20_000_000 } else { 8_000_000 },
        };
        let points: Vec<Point> = shapes.map(point).collect();
        let row = |name: &'static str| {
            points.iter().map(move |point| {
                let speed = 1e8 / point.task.shape.size as f64;
                Measured { name: name.to_owned(), task: point.task, runs: vec![run(100_000, speed)], trouble: None }
            })
        };
        let names = ["ksem-alo-10k", "ksem-eos-10k", "java-eos-10k"];
        Dimensions {
            machine: Machine::here(),
            versions: BTreeMap::new(),
            arguments: vec!["dimensions".to_owned()],
            rounds: 1,
            nodes: 1,
            cadence: Cadence::Records(10_000),
            dimensions: Dimension::ALL.to_vec(),
            rows: names.iter().flat_map(|name| row(name)).collect(),
            points: points.clone(),
        }
    }

    #[test]
    fn the_standard_point_is_part_of_every_dimension() {
        let document = document();
        let values = |dimension: Dimension| -> Vec<String> {
            document.along(dimension).iter().map(|point| dimension.value(&point.task.shape)).collect()
        };
        assert_eq!(values(Dimension::Size), ["100 B", "200 B", "1,000 B", "10,000 B"]);
        assert_eq!(values(Dimension::Partitions), ["1", "4", "64"]);
        assert_eq!(values(Dimension::Compression), ["none", "lz4", "zstd"]);
        assert_eq!(document.names().len(), 3);
        let text = serde_json::to_string(&document).expect("JSON");
        let back: Dimensions = serde_json::from_str(&text).expect("its own form");
        assert_eq!(back.along(Dimension::Size).len(), 4);
        assert!(back.row("java-eos-10k", back.along(Dimension::Size)[3]).is_some());
    }
}
