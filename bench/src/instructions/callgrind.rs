//! Callgrind's profiles: one part for each call of a function that is counted.

use std::collections::HashMap;

use anyhow::{Context, Result};

/// Whose instructions they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// ksem's, with the Rust crates and the standard library that it calls.
    Ksem,
    /// librdkafka's.
    Librdkafka,
    /// The system's: allocation, copying, locks.
    System,
}

/// What one call of a function that is counted took.
#[derive(Debug)]
pub(super) struct Part {
    /// The function's name.
    pub(super) of: String,
    /// Every function that ran in it, with the instructions of its own.
    pub(super) functions: Vec<Function>,
}

/// A function and the instructions of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) instructions: u64,
}

impl Part {
    pub(super) fn all(&self) -> u64 {
        self.functions.iter().map(|function| function.instructions).sum()
    }

    pub(super) fn of_owner(&self, owner: Owner) -> u64 {
        let own = self.functions.iter().filter(|function| function.owner == owner);
        own.map(|function| function.instructions).sum()
    }
}

/// Where the lines that follow belong to.
#[derive(Default)]
struct At<'a> {
    object: &'a str,
    file: &'a str,
    function: &'a str,
}

/// Reads a profile that was written without compression. Parts that no function's end has caused are left out.
///
/// The format is described in Callgrind's manual, "Callgrind Format Specification".
pub(super) fn parts(profile: &str, program: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    // The first piece is what stands in front of the first part.
    for text in profile.split("\npart: ").skip(1) {
        let trigger = text.lines().find_map(|line| line.strip_prefix("desc: Trigger: "));
        if let Some(of) = trigger.and_then(|trigger| trigger.strip_prefix("--dump-after=")) {
            let functions = functions(text, program).with_context(|| format!("the part of {of}"))?;
            parts.push(Part { of: of.to_owned(), functions });
        }
    }
    Ok(parts)
}

fn functions(part: &str, program: &str) -> Result<Vec<Function>> {
    let mut totals: HashMap<&str, (Owner, u64)> = HashMap::new();
    let mut at = At::default();
    let mut is_call = false;
    // The first line is the part's number.
    for line in part.lines().skip(1) {
        if let Some((key, value)) = line.split_once('=') {
            match key {
                "ob" => at.object = value,
                "fl" => at.file = value,
                "fn" => at.function = value,
                "calls" => is_call = true,
                // Inlined code counts for the function that it is inlined in; the others tell who is called.
                _ => {}
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            // What a call cost is a part of the callee's own lines.
            if !std::mem::take(&mut is_call) {
                let cost = line.split_whitespace().nth(1).unwrap_or("0");
                let cost: u64 = cost.parse().with_context(|| format!("a line of a profile: {line}"))?;
                totals.entry(at.function).or_insert_with(|| (owner(&at, program), 0)).1 += cost;
            }
        }
    }
    let function =
        |(name, (owner, instructions)): (&str, (Owner, u64))| Function { name: name.to_owned(), owner, instructions };
    let mut functions: Vec<Function> = totals.into_iter().map(function).collect();
    functions.sort_by(|a, b| b.instructions.cmp(&a.instructions).then_with(|| a.name.cmp(&b.name)));
    Ok(functions)
}

/// librdkafka is a part of the program, and written in another language.
fn owner(at: &At<'_>, program: &str) -> Owner {
    if at.object != program {
        Owner::System
    } else if at.function.contains("::") {
        Owner::Ksem
    } else {
        Owner::Librdkafka
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1

part: 1
desc: Trigger: --dump-after=a::stage

positions: line
events: Ir
summary: 40

ob=/bin/program
fl=/src/a.rs
fn=a::stage
10 3
fi=/src/inlined.rs
99 4
fe=/src/a.rs
cob=/lib/libc.so.6
cfi=???
cfn=memcpy
calls=2 0
11 30
12 1

fl=/src/rdkafka.c
fn=rd_kafka_thing
5 2

ob=/lib/libc.so.6
fl=???
fn=memcpy
0 30

totals: 40

part: 2
desc: Trigger: Program termination

events: Ir
fn=main
1 5
";

    #[test]
    fn each_function_has_its_own_instructions_once() {
        let parts = parts(PROFILE, "/bin/program").expect("a profile");
        assert_eq!(parts.len(), 1, "the end of the program is no stage");
        assert_eq!(parts[0].of, "a::stage");
        let function = |name: &str, owner, instructions| Function { name: name.to_owned(), owner, instructions };
        assert_eq!(
            parts[0].functions,
            [
                function("memcpy", Owner::System, 30),
                function("a::stage", Owner::Ksem, 8),
                function("rd_kafka_thing", Owner::Librdkafka, 2)
            ]
        );
        assert_eq!((parts[0].all(), parts[0].of_owner(Owner::System)), (40, 30));
    }

    #[test]
    fn a_line_without_a_number_is_an_error() {
        assert!(parts("\npart: 1\ndesc: Trigger: --dump-after=f\nfn=f\n1 x\n", "").is_err());
    }
}
