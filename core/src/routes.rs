//! The configuration's routes as a handler.

use crate::batch::Batch;
use crate::error::{Code, Error};
use crate::handler::HandlerResult;
use crate::output::Output;
use crate::pipeline::Pipeline;

impl Pipeline {
    /// Sends each record of the batch, unchanged, where the configuration's `[[route]]` tables say:
    /// the handler of callers that have none of their own.
    ///
    /// # Errors
    /// `misuse` if the configuration has no routes.
    pub fn route(&self, batch: &Batch, output: &mut Output) -> HandlerResult {
        let routes = &self.config().routes;
        if routes.is_empty() {
            let text = "there is no handler: give one, or add a `[[route]]` with `from` and `to` to the configuration";
            return Err(Error::new(Code::Misuse, text).into());
        }
        for (index, record) in batch.records().enumerate() {
            for route in routes.iter().filter(|route| route.from == record.topic) {
                route.to.iter().for_each(|topic| output.forward(topic, index));
            }
        }
        Ok(())
    }
}
