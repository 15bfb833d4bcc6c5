//! Belongs here: `replay` of a data file against a model server.

use crate::support::instance::Folder;
use crate::support::model::Model;
use crate::support::run;

const FILE: &str = "tenant,amount,country,label\na,1.5,DE,0\nb,2.5,FR,1\na,,US,0\na,4.0,,1\n";

#[test]
fn rows_become_requests() {
    let (model, folder) = (Model::start("model"), Folder::new());
    folder.write("rows.csv", FILE);
    let args = [
        "replay",
        "rows.csv",
        "--to",
        &model.url(),
        "--tenant-column",
        "tenant",
        "--exclude",
        "label",
        "--concurrency",
        "1",
    ];
    let outcome = run(folder.path(), &args).expect(0);
    assert!(outcome.stdout.starts_with("sent 4, 2xx 4, failed 0, p50 "), "{}", outcome.stdout);
    assert!(!outcome.stderr.contains('\x1b'), "a progress bar only on a terminal");
    let seen = model.seen();
    assert_eq!(seen.len(), 4);
    let tenants: Vec<_> = seen.iter().map(|request| request.header("x-tenant-id").unwrap()).collect();
    assert_eq!(tenants, ["a", "b", "a", "a"]);
    assert_eq!((seen[0].method(), seen[0].path()), ("POST", "/v2/models/default/infer"));
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
    let first = seen[0].json();
    let inputs = first["inputs"].as_array().unwrap();
    let names: Vec<_> = inputs.iter().map(|input| input["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["amount", "country"]);
    assert_eq!((&inputs[0]["data"][0], &inputs[1]["data"][0]), (&1.5.into(), &"DE".into()));
    assert_eq!(inputs[0]["shape"][0], 1);
}

#[test]
fn batches_limits_and_headers() {
    let (model, folder) = (Model::start("model"), Folder::new());
    folder.write(
        "rows.jsonl",
        &(0..10).map(|n| format!("{{\"amount\":{n},\"country\":\"DE\"}}\n")).collect::<String>(),
    );
    let to = format!("{}/own/path", model.url());
    let args = [
        "replay",
        "rows.jsonl",
        "--to",
        &to,
        "--batch",
        "3",
        "--limit",
        "8",
        "--header",
        "x-key: 17",
        "--rps",
        "200",
    ];
    let outcome = run(folder.path(), &args).expect(0);
    assert!(outcome.stdout.starts_with("sent 3, 2xx 3, failed 0"), "{}", outcome.stdout);
    let seen = model.seen();
    let mut rows: Vec<_> =
        seen.iter().map(|request| request.json()["inputs"][0]["shape"][0].as_u64().unwrap()).collect();
    rows.sort_unstable();
    assert_eq!(rows, [2, 3, 3]);
    assert!(
        seen.iter().all(|request| request.path() == "/own/path" && request.header("x-key") == Some("17"))
    );
}

#[test]
fn what_fails_is_counted() {
    let (model, folder) = (Model::start("model"), Folder::new());
    folder.write("rows.csv", FILE);
    model.set(|behaviour| behaviour.status = 503);
    let refused = run(folder.path(), &["replay", "rows.csv", "--to", &model.url()]).expect(1);
    assert!(refused.stdout.starts_with("sent 4, 2xx 0, 503 4, failed 0"), "{}", refused.stdout);
    let dead = run(folder.path(), &["replay", "rows.csv", "--to", "http://127.0.0.1:1"]).expect(1);
    assert!(dead.stdout.starts_with("sent 4, 2xx 0, failed 4"), "{}", dead.stdout);
    assert!(dead.stderr.contains("127.0.0.1:1"), "{}", dead.stderr);
    run(folder.path(), &["replay", "nowhere.csv", "--to", &model.url()]).expect(2);
    run(folder.path(), &["replay", "rows.csv", "--to", "not a url"]).expect(2);
    run(folder.path(), &["replay", "rows.csv", "--to", &model.url(), "--rps", "0"]).expect(2);
}
