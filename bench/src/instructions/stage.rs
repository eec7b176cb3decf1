//! The stages of the hot path, and how callgrind finds them.

use super::callgrind::Part;

/// What is done with every record, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Collect,
    Read,
    Columns,
    Forward,
    EnqueueForwarded,
    Send,
    EnqueueSent,
    Deliver,
    Drop,
}

impl Stage {
    pub(super) const ALL: [Self; 9] = [
        Self::Collect,
        Self::Read,
        Self::Columns,
        Self::Forward,
        Self::EnqueueForwarded,
        Self::Send,
        Self::EnqueueSent,
        Self::Deliver,
        Self::Drop,
    ];

    /// Those that a record goes through which is passed on as it is.
    pub(super) const OF_A_COPY: [Self; 5] =
        [Self::Collect, Self::Forward, Self::EnqueueForwarded, Self::Deliver, Self::Drop];

    /// The name in tables and in the file of budgets.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Read => "read",
            Self::Columns => "columns",
            Self::Forward => "forward",
            Self::EnqueueForwarded => "enqueue-forwarded",
            Self::Send => "send",
            Self::EnqueueSent => "enqueue-sent",
            Self::Deliver => "deliver",
            Self::Drop => "drop",
        }
    }

    /// Whether every other batch goes through it, rather than every batch.
    pub(super) fn is_every_other(self) -> bool {
        matches!(self, Self::Forward | Self::EnqueueForwarded | Self::Send | Self::EnqueueSent)
    }
}

/// The functions that are counted. Those that are not the program's own are called through a table of methods, so that
/// the compiler keeps them as functions. None calls another of them.
pub(super) const FUNCTIONS: [(Stage, &str); 8] = [
    (Stage::Collect, "ksem_bench::instructions::program::stage_collect"),
    (Stage::Read, "ksem_bench::instructions::program::stage_read"),
    (Stage::Columns, "ksem_bench::instructions::program::stage_columns"),
    (Stage::Forward, "ksem_bench::instructions::program::stage_forward"),
    (Stage::Send, "ksem_bench::instructions::program::stage_send"),
    (ENQUEUE, "<ksem::kafka::ports::KafkaPorts as ksem::engine::ports::Ports>::enqueue"),
    (Stage::Deliver, "<ksem::kafka::ports::KafkaPorts as ksem::engine::ports::Ports>::flush"),
    (Stage::Drop, "core::ptr::drop_in_place<ksem::kafka::message::Fetched>"),
];

/// Of what the handler before it has sent.
const ENQUEUE: Stage = Stage::EnqueueForwarded;

/// Tells the stages of parts that come in the program's order.
pub(super) fn stages(parts: Vec<Part>) -> Vec<(Stage, Part)> {
    let mut enqueue = ENQUEUE;
    let mut found = Vec::with_capacity(parts.len());
    for part in parts {
        let Some((stage, _)) = FUNCTIONS.iter().find(|(_, name)| part.of == *name) else { continue };
        match stage {
            Stage::Forward => enqueue = Stage::EnqueueForwarded,
            Stage::Send => enqueue = Stage::EnqueueSent,
            _ => {}
        }
        found.push((if *stage == ENQUEUE { enqueue } else { *stage }, part));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_enqueued_is_what_the_handler_has_sent() {
        let part = |stage| {
            let of = FUNCTIONS.iter().find(|(other, _)| *other == stage).map_or("another", |(_, name)| *name);
            Part { of: of.to_owned(), functions: Vec::new() }
        };
        // One stage has no function of its own: that part is nobody's.
        let parts = [Stage::Forward, ENQUEUE, Stage::EnqueueSent, Stage::Send, ENQUEUE, Stage::Drop].map(part);
        let found: Vec<Stage> = stages(parts.into()).into_iter().map(|(stage, _)| stage).collect();
        assert_eq!(found, [Stage::Forward, ENQUEUE, Stage::Send, Stage::EnqueueSent, Stage::Drop]);
    }
}
