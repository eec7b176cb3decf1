//! The conformance runner is not fooled: a driver that lies, hangs, dies or loses a record fails its cell.

use std::path::PathBuf;
use std::process::Command;

use ksem_tests::Steps;
use ksem_tests::conformance::{BrokerKind, Scenario, Stage, Suite, Verdict, folder, load, play, run};

const DRIVER: &str = env!("CARGO_BIN_EXE_ksem-driver-rust");
const LIAR: &str = env!("CARGO_BIN_EXE_ksem-test-liar");

fn scenario(id: &str) -> Scenario {
    let all = load(&folder()).expect("the scenarios");
    all.into_iter().find(|scenario| scenario.id == id).unwrap_or_else(|| panic!("no scenario {id}"))
}

fn liar(way: &str) -> Vec<String> {
    [LIAR, way, DRIVER].map(str::to_owned).to_vec()
}

#[test]
fn a_driver_that_does_something_wrong_fails_its_cell() {
    let stage = Stage::start(BrokerKind::Embedded).expect("a broker");
    let mut steps = Steps::new();
    let mut number = 0;
    let mut fails = |way: &str, id: &str, why: &str| {
        number += 1;
        steps.step(&format!("{way}: {id}"), || {
            let scenario = scenario(id);
            let error = play(&stage, &scenario, "rust", &liar(way), number).expect_err("it has to fail");
            let error = format!("{error:#}");
            assert!(error.contains(why), "it failed for another reason than {why:?}: {error}");
            // The same scenario passes when nobody lies.
            if let Err(error) = play(&stage, &scenario, "rust", &[DRIVER.to_owned()], number + 1000) {
                panic!("without the lie: {error:#}");
            }
        });
    };
    let fail = "handler/attempts_are_used_up";
    let once = "lifecycle/poll_and_process/exactly_once";
    fails("loses", "exactly_once/kill_after_commit", "`outputs`");
    fails("loses", "lifecycle/mixed_guarantees", "300 missing");
    fails("repeats", "lifecycle/mixed_guarantees", "300 repeated");
    fails("repeats", "lifecycle/stop_during_a_batch/exactly_once", "repeated");
    fails("dies", once, "it ended with");
    fails("hangs", "records/one_record/exactly_once", "the driver hangs");
    fails("babbles", "records/one_record/exactly_once", "no JSON");
    fails("says_it_twice", "records/one_record/exactly_once", "a second reply");
    fails("lies", once, "is committed");
    fails("denies", "lifecycle/mixed_guarantees", "`applied`");
    fails("misnumbers", fail, "`number`");
    fails("swallows", fail, "did not come back");
    fails("drops_a_header", "records/every_kind", "other headers");
    fails("nulls_a_key", "records/every_kind", "another key");
    fails("weakens", "exactly_once/kill_after_produce", "the proxy never had it");
    fails("pretends", "exactly_once/kill_after_commit", "is committed");
    steps.conclude();
}

#[test]
fn a_language_without_a_driver_fails_the_suite_and_a_reason_does_not() {
    let suite = |id: &str, drivers: Vec<(String, Result<Vec<String>, String>)>| {
        let scenarios = vec![scenario(id), scenario("errors/table")];
        run(&Suite { scenarios, drivers, brokers: vec![BrokerKind::Embedded], jobs: 2 }).expect("a table")
    };
    let rust = || ("rust".to_owned(), Ok(vec![DRIVER.to_owned()]));
    let table = suite("lifecycle/reopen", vec![rust()]);
    assert_eq!(table.failure(), None, "{table}");

    let table = suite("lifecycle/reopen", vec![rust(), ("cobol".into(), Err("nobody wrote it".into()))]);
    assert!(table.failure().is_some_and(|why| why.contains("2 cells have no driver")), "{table}");
    assert!(table.to_string().contains("NO DRIVER for cobol: nobody wrote it"), "{table}");

    let table = suite("lifecycle/batch_used_twice", vec![rust()]);
    let verdict = table.verdict("lifecycle/batch_used_twice", "rust", BrokerKind::Embedded);
    assert!(matches!(verdict, Some(Verdict::Reason(why)) if why.contains("moved")), "{table}");
    assert_eq!(table.failure(), None, "{table}");

    // A driver of another language, or of another version, is not what the column says.
    let table = suite("lifecycle/reopen", vec![("python".into(), Ok(vec![DRIVER.to_owned()]))]);
    assert!(table.failure().is_some_and(|why| why.contains("2 cells failed")), "{table}");
    let nowhere = vec!["/nowhere/driver".to_owned()];
    let table = suite("lifecycle/reopen", vec![("rust".into(), Ok(nowhere))]);
    assert!(table.to_string().contains("starting the driver /nowhere/driver"), "{table}");
}

#[test]
fn the_command_says_with_its_status_whether_all_passed() {
    let runner = PathBuf::from(env!("CARGO_BIN_EXE_ksem-conformance"));
    let status = |args: &[&str]| {
        let driver = format!("rust=[{DRIVER:?}]");
        let output = Command::new(&runner).args(["--driver", &driver, "--broker", "embedded"]).args(args).output();
        let output = output.expect("running the runner");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, table) = status(&["--scenario", "errors/table"]);
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("1 cells: 1 passed, 0 failed"), "{table}");
    let (code, table) = status(&["--scenario", "errors/table", "--missing", "c=not yet"]);
    assert_eq!(code, Some(1), "{table}");
    let (code, _) = status(&["--scenario", "no such scenario"]);
    assert_eq!(code, Some(1));
}
