//! Belongs here: the first thing a newcomer runs.

use crate::support::instance::Folder;
use crate::support::run;

/// Everything is in the program: no file, no network, and a rollback at the end.
#[test]
fn it_drifts_rolls_back_and_ends() {
    let folder = Folder::new();
    let outcome = run(folder.path(), &["demo", "--speed", "12", "--exit-after-rollback"]).expect(0);
    let told = outcome.stdout.clone() + &outcome.stderr;
    for feature in ["temp", "dewp", "humid"] {
        assert!(told.contains(feature), "`{feature}` is not in:\n{told}");
    }
    assert!(told.to_lowercase().contains("rollback") || told.contains("rolled back"), "{told}");
    assert!(told.contains("http://127.0.0.1:"), "the dashboard's address is not in:\n{told}");
    assert!(!outcome.stdout.contains('\x1b'), "colour only on a terminal");
    assert!(!folder.path().join("driftline-data").exists(), "a demo leaves nothing behind");
}
