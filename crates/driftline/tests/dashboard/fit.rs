//! Belongs here: a reference that does not fit the traffic, and what is not judged, on the page "Drift".

use serde_json::json;

use super::{Running, look_at};
use crate::support::browser::Browser;
use crate::support::fraud::Pair;
use crate::support::instance::{Folder, Instance};
use crate::support::rows::{self, INFER, ordinary};
use crate::support::{DEADLINE, await_until, run};

#[test]
fn a_profile_of_other_columns_is_said_with_the_names_of_both_sides() {
    let Some(mut browser) = Browser::start() else { return };
    let (models, folder) = (Pair::start(), Folder::new());
    let training: String =
        (0..500).map(|i| format!("{},{},m{}\n", i % 97, ["DE", "FR"][i % 2], i % 7)).collect();
    folder.write("train.csv", &format!("Amount,Country,<b>merchant</b>\n{training}"));
    run(folder.path(), &["baseline", "train.csv", "-o", "other.json"]).expect(0);
    let yaml = models.yaml("", "").replace("{ learn: 1000 }", "other.json");
    let instance = Instance::start(&folder, &yaml);
    rows::send(&mut instance.client(), None, 300, ordinary);
    await_until("it does not fit", DEADLINE, || instance.model()["not_armed"].is_string());
    let running = Running { models, folder, instance };
    look_at(&mut browser, &running.url("?page=drift"), "not-armed", "Not armed, drift is not judged");
    browser.open(&running.url("?page=drift"));
    browser.await_text(".unjudged", "Country (in no request)");
    browser.await_text(".unjudged", "<b>merchant</b> (in no request)");
    browser.await_text("main .notice", "likely renamed: Amount -> amount");
    browser.open(&running.url(""));
    browser.await_text(".verdict", "Not armed, drift is not judged");
    browser.is_clean();
}

#[test]
fn what_is_not_judged_is_listed_with_its_reason() {
    let Some(mut browser) = Browser::start() else { return };
    let running = Running::start("");
    let mut client = running.instance.client();
    for i in 0..1_050 {
        let row = ordinary(i);
        let body = json!({ "inputs": [
            { "name": "amount", "datatype": "FP64", "shape": [1], "data": [row.amount] },
            { "name": "order", "datatype": "BYTES", "shape": [1], "data": [format!("A-{i}")] },
            { "name": "ts", "datatype": "INT64", "shape": [1], "data": [1_764_460_800 + i] },
        ] });
        assert_eq!(client.post(INFER, &body).status(), 200);
    }
    running.instance.await_reference();
    look_at(&mut browser, &running.url("?page=drift"), "not-judged", "Not judged: ");
    browser.await_text(".unjudged", "order (identifier)");
    browser.await_text(".unjudged", "ts (time or counter)");
    browser.is_clean();
}
