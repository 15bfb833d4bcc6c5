//! A process that is killed in the middle of its writes: what it said it had done is there.
//!
//! The test runs itself once more as a child, which moves traffic to and fro and says so; the parent kills it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::controller::Controller;
use crate::store::Store;
use crate::testing::{drift, latency, policy};

/// Names the folder to the child.
const FOLDER: &str = "DRIFTLINE_TEST_KILLED_FOLDER";
const CHILD: &str = "controller::tests::killed::child";
const ROUNDS: usize = 12;

/// What the child does until it is killed; nothing without a parent.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut now = 1;
    let store = Store::open(Path::new(&folder)).expect("opens");
    let (mut controller, resume) = Controller::open(store, policy(), now).expect("opens");
    for decision in resume {
        controller.confirmed(decision.id, now).expect("is pending");
    }
    loop {
        now += 5_000;
        let active = controller.models()[0].active.to_string();
        let decision = match &*active {
            "v1" => controller.promote("fraud", Some("v2"), "ada", "to", now),
            _ => controller.rollback("fraud", "ada", "fro", now),
        };
        let id = decision.expect("is decided").id;
        println!("\nack intended {id}");
        controller.applied(id, now).expect("is pending");
        println!("\nack applied {id}");
        controller.step(now, &drift(now, "v2", 0.4), &[latency("v2", Some(9.0))]);
        controller.store_mut().record_readings(&drift(now, "v2", 0.4), &[], &[]).expect("is written");
        controller.confirmed(id, now).expect("is pending");
        println!("\nack confirmed {id}");
    }
}

/// Lets a child run until it has acknowledged `acks` times, and kills it: the last acknowledgement.
fn run_and_kill(folder: &Path, acks: usize) -> (String, i64) {
    let mut child = Command::new(std::env::current_exe().expect("is known"))
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let output = BufReader::new(child.stdout.take().expect("is piped"));
    let last = output
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("ack ").map(str::to_owned))
        .nth(acks)
        .expect("the child acknowledges");
    child.kill().expect("is killed");
    child.wait().expect("is gone");
    let (state, id) = last.split_once(' ').expect("two words");
    (state.to_owned(), id.parse().expect("is a number"))
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for round in 0..ROUNDS {
        let (state, id) = run_and_kill(folder.path(), round);
        let store = Store::open(folder.path()).expect("opens after a kill");
        let found = |sql: &str, id: i64| -> String {
            store.read("check", |conn| conn.query_row(sql, [id], |row| row.get(0))).expect("is there")
        };
        assert_eq!(found("SELECT integrity_check FROM pragma_integrity_check WHERE ?1 > 0", 1), "ok");
        let stored = found("SELECT state FROM decisions WHERE id = ?1", id);
        let order = ["intended", "applied", "confirmed"];
        let rank = |state: &str| order.iter().position(|one| *one == state);
        assert!(rank(&stored) >= rank(&state), "{id} is {stored}, said {state}");
        let (controller, resume) = Controller::open(store, policy(), 1).expect("opens");
        assert!(resume.len() <= 1);
        assert_eq!(controller.models()[0].pending, resume.first().cloned());
    }
}
