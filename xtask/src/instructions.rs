//! Instructions of the hot path, counted under valgrind and compared with `bench/instructions.toml`.

use std::process::Command;

use anyhow::Result;

use crate::needs::{self, FOR_INSTRUCTIONS};
use crate::parts::succeed;
use crate::test::{built, cargo_on_all};

/// A part of `cargo xtask test`: the program is built already.
pub(crate) fn check() -> Result<()> {
    count(&[])
}

/// `cargo xtask instructions`: arguments go to ksem-bench.
pub(crate) fn run(args: &[String]) -> Result<()> {
    needs::provide(&needs::TO_BUILD)?;
    cargo_on_all("build", &["--bins"])?;
    count(args)
}

fn count(args: &[String]) -> Result<()> {
    needs::provide(&FOR_INSTRUCTIONS)?;
    succeed(Command::new(built("ksem-bench")?).arg("instructions").args(args))
}
