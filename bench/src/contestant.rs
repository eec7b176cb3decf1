//! Who runs: every contestant with its name and settings.

use ksem::Guarantee;
use serde::{Deserialize, Serialize};

/// What a contestant is made of. Each kind has its program in [`crate::programs`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "system", rename_all = "kebab-case")]
pub(crate) enum System {
    /// ksem's pipeline.
    Ksem {
        /// `transactions.lanes`; `None` is ksem's own choice.
        lanes: Option<usize>,
        /// More of `[kafka]`, to try a property out.
        kafka: Vec<(String, String)>,
    },
    /// The loop that a user writes with the `rdkafka` crate.
    RdkafkaPlain {
        /// With the three settings that cost librdkafka most at their defaults.
        tuned: bool,
    },
}

/// One row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contestant {
    #[serde(flatten)]
    pub(crate) system: System,
    #[serde(with = "guarantee_name")]
    pub(crate) guarantee: Guarantee,
    /// Records in a commit.
    pub(crate) batch: usize,
}

impl Contestant {
    /// The name in tables and for `--only`, as in `ksem-eos-10k`.
    pub(crate) fn name(&self) -> String {
        let guarantee = short(self.guarantee);
        let batch = batch_name(self.batch);
        match self.system {
            System::Ksem { lanes: None, .. } => format!("ksem-{guarantee}-{batch}"),
            System::Ksem { lanes: Some(lanes), .. } => format!("ksem-{guarantee}-{batch}-lanes{lanes}"),
            System::RdkafkaPlain { tuned: false } => format!("rdkafka-plain-{guarantee}-{batch}"),
            System::RdkafkaPlain { tuned: true } => format!("rdkafka-plain-{guarantee}-{batch}-tuned"),
        }
    }
}

/// Every contestant for these batch sizes. `lanes` adds ksem with so many lanes to ksem as it is; `kafka` is set for
/// ksem everywhere.
pub(crate) fn all(batches: &[usize], lanes: &[usize], kafka: &[(String, String)]) -> Vec<Contestant> {
    let mut contestants = Vec::new();
    for &batch in batches {
        for guarantee in Guarantee::ALL {
            for lanes in std::iter::once(None).chain(lanes.iter().copied().map(Some)) {
                let system = System::Ksem { lanes, kafka: kafka.to_vec() };
                contestants.push(Contestant { system, guarantee, batch });
            }
        }
        for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
            for tuned in [false, true] {
                contestants.push(Contestant { system: System::RdkafkaPlain { tuned }, guarantee, batch });
            }
        }
    }
    contestants
}

fn short(guarantee: Guarantee) -> &'static str {
    match guarantee {
        Guarantee::AtMostOnce => "amo",
        Guarantee::AtLeastOnce => "alo",
        Guarantee::ExactlyOnce => "eos",
    }
}

fn batch_name(batch: usize) -> String {
    if batch >= 1000 && batch.is_multiple_of(1000) { format!("{}k", batch / 1000) } else { batch.to_string() }
}

/// A guarantee is written by its name.
mod guarantee_name {
    use ksem::Guarantee;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(guarantee: &Guarantee, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(guarantee.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Guarantee, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_survive_the_way_to_the_child() {
        let contestants = all(&[500, 1_000, 10_000], &[1, 2], &[("linger.ms".to_owned(), "1".to_owned())]);
        let mut names: Vec<String> = contestants.iter().map(Contestant::name).collect();
        for contestant in &contestants {
            let text = serde_json::to_string(contestant).expect("it has a form in JSON");
            let back: Contestant = serde_json::from_str(&text).expect("its own form");
            assert_eq!(back.name(), contestant.name());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), contestants.len());
        assert!(names.contains(&"ksem-eos-10k".to_owned()));
        assert!(names.contains(&"rdkafka-plain-alo-500-tuned".to_owned()));
    }
}
