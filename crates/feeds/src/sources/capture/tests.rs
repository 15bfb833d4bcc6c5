//! A folder as SageMaker fills a bucket: new objects, growing ones, replaced ones, restarts.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::Observation;
use crate::sources::testing::Bench;

const HOUR: &str = "fraud-endpoint/AllTraffic/1970/01/01/00";

struct Field {
    bench: Bench,
    folder: tempfile::TempDir,
    spec: CaptureSpec,
}

impl Field {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = CaptureSpec {
            place: CapturePlace::Folder(folder.path().canonicalize().unwrap()),
            versions: vec![("Blue".to_owned(), Arc::from("v2"))],
            shadow: vec!["Blue".to_owned()],
            tenant_attribute: "tenant".to_owned(),
            since: None,
            poll: Duration::from_millis(1),
            follow: false,
        };
        Self { bench: Bench::new("fraud"), folder, spec }
    }

    fn write(&self, key: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A process that reads what there is.
    async fn read(&self) -> Result<(), SourceError> {
        run(&self.spec, &self.bench.context()).await
    }

    fn seen(&self) -> Vec<record::Exchange> {
        let exchange = |one: Observation| match one {
            Observation::Exchange(exchange) => *exchange,
            Observation::Record(record) => panic!("{record:?}"),
        };
        self.bench.seen().into_iter().map(exchange).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.seen().iter().map(|one| String::from_utf8(one.request_id.to_vec()).unwrap()).collect()
    }
}

fn line(id: usize) -> String {
    let line = json!({
        "captureData": { "endpointInput": { "observedContentType": "text/csv", "data": "1,2", "encoding": "CSV" } },
        "eventMetadata": { "eventId": id.to_string() },
    });
    format!("{line}\n")
}

fn lines(ids: std::ops::Range<usize>) -> String {
    ids.map(line).collect()
}

fn names(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| id.to_string()).collect()
}

#[tokio::test]
async fn objects_are_read_once_in_the_order_of_time() {
    let field = Field::new();
    field.write(&format!("{HOUR}/10-00-000-b.jsonl"), &lines(600..700));
    field.write(&format!("{HOUR}/09-00-000-z.jsonl"), &lines(0..600));
    field.write(&format!("{HOUR}/notes.txt"), "not one of them");
    field.read().await.unwrap();
    assert_eq!(field.ids(), names(0..700));
    field.write(&format!("{HOUR}/11-00-000-a.jsonl"), &lines(700..701));
    // Came in late.
    field.write(&format!("{HOUR}/08-00-000-a.jsonl"), &lines(701..702));
    field.read().await.unwrap();
    assert_eq!(field.ids(), [names(0..700), names(701..702), names(700..701)].concat());
    assert_eq!(field.bench.context().counters.status().accepted, 702);
}

#[tokio::test]
async fn one_that_grows_is_read_on_and_one_that_is_replaced_anew() {
    let field = Field::new();
    let key = format!("{HOUR}/10-00-000-a.jsonl");
    field.write(&key, &lines(0..3));
    field.read().await.unwrap();
    field.write(&key, &lines(0..5));
    field.read().await.unwrap();
    assert_eq!(field.ids(), names(0..5));
    field.write(&key, &lines(100..108));
    field.read().await.unwrap();
    assert_eq!(field.ids()[5..], names(100..108));
}

#[tokio::test]
async fn half_a_line_of_a_file_that_grows_waits() {
    let mut field = Field::new();
    field.spec.follow = true;
    let key = format!("{HOUR}/10-00-000-a.jsonl");
    let text = lines(0..2);
    field.write(&key, &text[..text.len() - 9]);
    let context = field.bench.context();
    let mut capture = Capture::open(&field.spec, &context).unwrap();
    capture.pass().await.unwrap();
    assert_eq!(field.ids(), names(0..1));
    field.write(&key, &text);
    capture.pass().await.unwrap();
    assert_eq!(field.ids(), names(0..2));
    assert!(context.counters.status().rejected.iter().all(|(_, count)| *count == 0));
}

#[tokio::test]
async fn a_line_in_the_middle_that_is_broken_costs_only_itself() {
    let field = Field::new();
    let text = format!("{}{{\"captureData\":\nmore\n{}", line(0), line(1).trim_end());
    field.write(&format!("{HOUR}/10-00-000-a.jsonl"), &text);
    field.read().await.unwrap();
    assert_eq!(field.ids(), names(0..2));
    assert!(field.bench.context().counters.status().rejected.contains(&("malformed", 2)));
}

#[tokio::test]
async fn variants_are_versions_and_may_be_shadows() {
    let field = Field::new();
    field.write("fraud-endpoint/Green/2026/01/01/00/a.jsonl", &line(0));
    field.write("fraud-endpoint/Blue/2026/01/01/00/a.jsonl", &line(1));
    field.read().await.unwrap();
    let mut seen: Vec<_> = field.seen().iter().map(|one| (one.version.to_string(), one.lane)).collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(seen, [("Green".to_owned(), record::Lane::Prod), ("v2".to_owned(), record::Lane::Shadow)]);
}

#[tokio::test]
async fn the_folder_may_be_any_above_the_years() {
    for below in ["", "fraud-endpoint", "fraud-endpoint/AllTraffic"] {
        let mut field = Field::new();
        field.write(&format!("{HOUR}/a.jsonl"), &line(0));
        field.spec.place = CapturePlace::Folder(field.folder.path().canonicalize().unwrap().join(below));
        field.read().await.unwrap();
        assert_eq!(field.seen()[0].version.as_ref(), "AllTraffic", "{below}");
    }
}

#[tokio::test]
async fn looking_back_ends_where_it_is_said() {
    let mut field = Field::new();
    field.spec.since = Some(Duration::from_secs(3600));
    field.write("e/v/1969/12/31/22/a.jsonl", &line(0));
    field.write("e/v/1969/12/31/23/a.jsonl", &line(1));
    field.write("e/v/1970/01/01/00/a.jsonl", &line(2));
    field.read().await.unwrap();
    assert_eq!(field.ids(), names(1..3));
}

#[tokio::test]
async fn a_folder_without_captured_data_is_told() {
    let field = Field::new();
    let context = field.bench.context();
    let mut capture = Capture::open(&field.spec, &context).unwrap();
    let Err(Halt::Store(message)) = capture.pass().await else { panic!("it was read") };
    assert!(message.contains("nothing of the form"), "{message}");
}

#[test]
fn causes_are_told_without_what_was_answered() {
    let told = |text: &str| {
        let source = Box::<dyn std::error::Error + Send + Sync>::from(text.to_owned());
        store::cause(&object_store::Error::Generic { store: "S3", source })
    };
    let denied =
        "403: <Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";
    assert_eq!(told(denied), "the credentials are refused (SignatureDoesNotMatch)");
    assert_eq!(told("404 <Code>NoSuchBucket</Code>"), "there is no such bucket (NoSuchBucket)");
    assert_eq!(told("Connection refused (os error 111)"), "Connection refused (os error 111)");
    assert_eq!(told("answered <html>AKIASECRET"), "answered ");
}
