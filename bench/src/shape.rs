//! What an input is like, and how much of it there is to copy.

use std::fmt::{self, Display};

use clap::ValueEnum;
use krafka::producer::murmur2;
use serde::{Deserialize, Serialize};

use crate::payload::Payload;

/// How record batches are compressed, in the input and by everybody who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    None,
    Lz4,
    Zstd,
}

impl Compression {
    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Display for Compression {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// What every record of an input has in common, and where the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Input topics. The output is one topic with as many partitions as they have together.
    pub(crate) topics: u32,
    /// Partitions of each.
    pub(crate) partitions: u32,
    /// Bytes of a value.
    pub(crate) size: usize,
    pub(crate) payload: Payload,
    pub(crate) compression: Compression,
    /// Records are in any partition, instead of in that of their key.
    #[serde(default)]
    pub(crate) scattered: bool,
}

impl Shape {
    /// What the targets are about.
    pub(crate) const STANDARD: Self = Self {
        topics: 1,
        partitions: 4,
        size: 200,
        payload: Payload::Filler,
        compression: Compression::None,
        scattered: false,
    };

    /// The names of the input's topics with so many records.
    pub(crate) fn inputs(&self, records: u64) -> Vec<String> {
        let Self { topics, partitions, size, payload, compression, scattered } = self;
        let spread = if *scattered { "scattered" } else { "keyed" };
        let payload = match payload {
            Payload::Filler => "filler",
            Payload::Orders => "orders",
        };
        (0..*topics)
            .map(|topic| {
                format!("bench-input-{records}-{size}-{partitions}-{payload}-{compression}-{spread}-{topics}-{topic}")
            })
            .collect()
    }

    /// The topic and the partition of a record: that of its key, where Kafka's default partitioner puts it.
    pub(crate) fn place(&self, id: u64) -> (usize, i32) {
        let (topic, rest) = (id % u64::from(self.topics), id / u64::from(self.topics));
        let spread = if self.scattered { rest } else { u64::from(murmur2(id.to_string().as_bytes()) & 0x7fff_ffff) };
        (topic as usize, (spread % u64::from(self.partitions)) as i32)
    }

    pub(crate) fn value(&self, id: u64) -> Vec<u8> {
        self.payload.value(id, self.size)
    }

    pub(crate) fn output_partitions(&self) -> i32 {
        (self.topics * self.partitions) as i32
    }
}

/// What a contestant has to do in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) shape: Shape,
    pub(crate) records: u64,
    /// Processes of one group that do it together.
    pub(crate) processes: usize,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn records_are_spread_over_every_partition_of_every_topic() {
        let shape = Shape { topics: 24, partitions: 4, ..Shape::STANDARD };
        let places: BTreeSet<(usize, i32)> = (0..960).map(|id| shape.place(id)).collect();
        assert_eq!(places.len(), 96);
        assert_eq!(shape.output_partitions(), 96);
        assert_eq!(Shape { scattered: true, ..Shape::STANDARD }.place(7), (0, 3));
    }

    #[test]
    fn a_record_is_where_the_java_client_puts_its_key() {
        // Utils.murmur2 of "21" is -973932308 there; without its sign that is 1173551340.
        assert_eq!(Shape { partitions: 1_000, ..Shape::STANDARD }.place(21), (0, 340));
    }

    #[test]
    fn every_input_has_names_of_its_own() {
        let shapes = [
            Shape::STANDARD,
            Shape { topics: 2, ..Shape::STANDARD },
            Shape { partitions: 1, ..Shape::STANDARD },
            Shape { size: 100, ..Shape::STANDARD },
            Shape { payload: Payload::Orders, ..Shape::STANDARD },
            Shape { compression: Compression::Zstd, ..Shape::STANDARD },
            Shape { scattered: true, ..Shape::STANDARD },
        ];
        let names: Vec<String> =
            shapes.iter().flat_map(|shape| shape.inputs(10)).chain(Shape::STANDARD.inputs(20)).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 9, "{names:?}");
    }
}
