//! `ksem-test-liar WAY DRIVER…`: a driver between the runner and a real one that does something wrong, for the runner's
//! own tests. It must fail every cell that it plays.

use std::io::{self, BufRead, Write};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, way, program, rest @ ..] = &args[..] else { return ExitCode::from(64) };
    let child = Command::new(program).args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return ExitCode::from(64) };
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return ExitCode::from(64) };
    let way_back = way.clone();
    let answers = thread::spawn(move || {
        for line in io::BufReader::new(from).lines().map_while(Result::ok) {
            for line in answer(&way_back, &line) {
                println!("{line}");
            }
        }
    });
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Some(line) = request(way, &line) else { return ExitCode::from(3) };
        if writeln!(to, "{line}").and_then(|()| to.flush()).is_err() {
            break;
        }
    }
    drop(to);
    let _ = answers.join();
    let _ = child.wait();
    ExitCode::SUCCESS
}

/// What the real driver is told; `None` ends the liar.
fn request(way: &str, line: &str) -> Option<String> {
    let Ok(mut request) = serde_json::from_str::<Value>(line) else { return Some(line.to_owned()) };
    let verb = request["do"].as_str().unwrap_or_default().to_owned();
    match (way, verb.as_str()) {
        ("dies", "process") => return None,
        // One record of the batch never gets out, and another one twice.
        ("loses", "process") => request["handler"] = json!([]),
        ("repeats", "process" | "run") => {
            let steps = request["handler"].as_array_mut()?;
            let again = steps.clone();
            steps.extend(again);
        }
        ("weakens", "process") => request["guarantee"] = json!("at_most_once"),
        // Says that it is done, and does nothing.
        ("pretends", "process") => request["do"] = json!("drop"),
        _ => {}
    }
    Some(request.to_string())
}

/// What the runner hears instead of a line of the real driver's.
fn answer(way: &str, line: &str) -> Vec<String> {
    let Ok(mut answer) = serde_json::from_str::<Value>(line) else { return vec![line.to_owned()] };
    let is_report = answer["ok"].get("applied").is_some();
    match way {
        "hangs" if is_report => return Vec::new(),
        "babbles" if is_report => return vec![line.to_owned(), "and that was that".to_owned()],
        "says_it_twice" if is_report => return vec![line.to_owned(), line.to_owned()],
        "lies" if is_report => answer["ok"]["offsets"][0][2] = json!(1_000_000),
        "denies" if is_report => answer["ok"]["applied"] = json!("redelivered"),
        "misnumbers" if answer["error"].is_object() => answer["error"]["number"] = json!(4242),
        "swallows" if answer["error"].is_object() => answer["error"]["thrown"] = Value::Null,
        "weakens" if is_report => answer["ok"]["guarantee"] = json!("exactly_once"),
        "pretends" if answer["ok"] == json!({}) => {
            answer["ok"] = json!({
                "applied": "applied", "guarantee": "exactly_once", "records": 100, "outputs": 100, "attempts": 1,
                "offsets": [["in", 0, 100]], "cause": null,
            });
        }
        "drops_a_header" if answer["ok"]["headers"].is_array() => answer["ok"]["headers"][0] = json!([]),
        "nulls_a_key" if answer["ok"]["keys"].is_array() => answer["ok"]["keys"][0] = Value::Null,
        _ => {}
    }
    vec![answer.to_string()]
}
