//! `ksem topic`.
#[derive(clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_: &Args) -> crate::exit::Done { Ok(()) }
