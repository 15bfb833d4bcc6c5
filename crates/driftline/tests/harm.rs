//! Belongs here: the matrix of harm. Every way in which production is known to die, and its right outcome: the alert, its words, how many
//! requests it takes, and whether traffic moves. `docs/guide/what-happens-when.md` is made of the same table.

mod clients;
mod flights;
mod page;
mod table;
mod trial;

use table::row;

use crate::support::repository;

/// Runs one row of the table.
fn check(failure: &str) {
    trial::run(row(failure));
}

#[test]
fn a_dead_model() {
    check("dead model");
}

#[test]
fn one_answer_of_twenty_is_a_500() {
    check("5 % of answers are 500");
}

#[test]
fn every_answer_is_a_500() {
    check("100 % of answers are 500");
}

#[test]
fn a_slow_model() {
    check("slow model");
}

#[test]
fn a_hanging_model() {
    check("hanging model");
}

#[test]
fn requests_that_the_model_refuses() {
    check("422 to every request");
}

#[test]
fn a_feature_that_is_null() {
    check("null feature");
}

#[test]
fn a_feature_of_another_type() {
    check("type change");
}

#[test]
fn a_feature_with_another_name() {
    check("renamed feature");
}

#[test]
fn a_feature_that_vanished() {
    check("vanished feature");
}

#[test]
fn predictions_that_are_all_the_same() {
    check("constant predictions");
}

#[test]
fn one_tenant_sends_garbage() {
    check("garbage from one tenant");
}

#[test]
fn clients_that_retry() {
    check("duplicated retries");
}

#[test]
fn a_label_in_the_training_data() {
    check("label in the profile");
}

#[test]
fn the_profile_of_another_model() {
    check("profile of another model");
}

#[test]
fn the_page_is_made_of_the_table() {
    let file = repository().join("docs/guide/what-happens-when.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, page::text()).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stored == page::text(),
        "`docs/guide/what-happens-when.md` is stale: UPDATE_DOCS=1 cargo test -p driftline --test integration harm::the_page"
    );
}
