//! `driftline replay`: a data file's rows as inference requests.
//!
//! A thread reads the file and makes bodies, `--concurrency` senders take them in order. With `--rps` the schedule is
//! open loop: each request has a time at which it is due, whatever became of those before it.

pub(crate) mod body;
mod feed;
pub(crate) mod pace;
mod protobuf;
mod send;
pub(crate) mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use http::Uri;
use http::uri::PathAndQuery;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::control_commands::block_on;
use crate::data_files::DataArgs;
use crate::http_client::parse_url;
use crate::output::{Exit, Outcome, is_terminal, line, note};
use body::Protocol;
use feed::{Plan, feed};
use pace::parse_rate;
use send::{Senders, Target};
use tally::Tally;

/// Header that names the tenant, as the gateway expects it by default.
const TENANT_HEADER: &str = "x-tenant-id";

/// Lateness that is worth a word.
const BEHIND_WORTH_TELLING: Duration = Duration::from_millis(100);

/// Arguments of `replay`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    /// Data file: CSV, Parquet or JSON lines, .gz and .zst too; a folder or a pattern of them; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to send; a URL without a path gets the protocol's, such as /v2/models/default/infer
    #[arg(long, value_name = "URL")]
    to: String,
    /// Requests per second, whatever the answers take [default: as fast as --concurrency allows]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rps: Option<f64>,
    /// How rows are written
    #[arg(long, value_enum, default_value = "kserve-v2")]
    protocol: Protocol,
    /// Name of the model: part of the protocol's path, or of a gRPC message
    #[arg(long, value_name = "NAME", default_value = "default")]
    model: String,
    /// Begin again at the end of the file, until Ctrl-C
    #[arg(long = "loop")]
    repeat: bool,
    /// Rows per request
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_count)]
    batch: usize,
    /// Requests under way at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = parse_count)]
    concurrency: usize,
    /// Column that names the tenant: goes out as the header x-tenant-id, not in the body
    #[arg(long, value_name = "COL", conflicts_with = "tenant")]
    tenant_column: Option<String>,
    /// Tenant of every request: the header x-tenant-id
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Leave out these columns (comma separated, repeatable)
    #[arg(long, value_delimiter = ',', value_name = "COL")]
    exclude: Vec<String>,
    /// Rows to send, from the beginning of the file [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Header of every request; can be given several times
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    #[command(flatten)]
    data: DataArgs,
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=10_000).contains(&count) => Ok(count),
        _ => Err("expected a whole number from 1 to 10000".to_owned()),
    }
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("expected NAME:VALUE, such as `authorization:Bearer abc`")?;
    let (name, value) = (name.trim(), value.trim());
    http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
    http::HeaderValue::from_str(value)
        .map_err(|_| format!("the value of `{name}` has characters no header may have"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `driftline replay`. Exits 1 when a request failed or was not answered with 2xx.
pub(crate) fn run(args: &ReplayArgs) -> Outcome {
    let target = target(args)?;
    let mut table = args.data.open(&args.file)?;
    let plan = Plan::new(args, table.schema()?)?;
    crate::data_files::notes(&table).into_iter().for_each(note);
    let bar = progress_bar(plan.requests());
    let (out, prepared) = mpsc::channel(2 * args.concurrency);
    let feeder = std::thread::Builder::new().name("rows".to_owned());
    let feeder = feeder.spawn(move || feed(table, &plan, &out)).context("thread `rows` did not start")?;
    let start = Instant::now();
    let tally = block_on(Senders::new(target, start, args.rps, args.concurrency).run(prepared, &bar))?;
    bar.finish_and_clear();
    let infinities = feeder.join().map_err(|_| anyhow::anyhow!("the file's reader ended in a panic"))?;
    line(tally.summary(start.elapsed()))?;
    tell_oddities(args, &tally, infinities.as_ref().copied().unwrap_or(0));
    infinities?;
    Ok(if tally.is_all_fine() { Exit::Fine } else { Exit::Found })
}

/// The URL with the protocol's path when it has none, and the headers of every request.
fn target(args: &ReplayArgs) -> anyhow::Result<Target> {
    let mut url = parse_url(&args.to)?;
    if url.path() == "/" && url.query().is_none() {
        let mut parts = url.into_parts();
        let path = PathAndQuery::try_from(args.protocol.default_path(&args.model));
        parts.path_and_query =
            Some(path.with_context(|| format!("`--model {}` cannot be part of a URL", args.model))?);
        url = Uri::from_parts(parts).with_context(|| format!("`{}` is not a URL", args.to))?;
    }
    let mut headers = args.headers.clone();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), args.protocol.content_type().to_owned()));
    }
    if let Some(tenant) = &args.tenant {
        if http::HeaderValue::from_str(tenant).is_err() {
            bail!("`--tenant {tenant}`: a tenant's name goes out as a header; use visible ASCII characters");
        }
        headers.push((TENANT_HEADER.to_owned(), tenant.clone()));
    }
    let is_grpc = args.protocol == Protocol::KserveV2Grpc;
    if is_grpc {
        headers.push(("te".to_owned(), "trailers".to_owned()));
    }
    Ok(Target { url, headers, is_grpc })
}

/// On a terminal only.
fn progress_bar(requests: Option<u64>) -> ProgressBar {
    if !is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match requests {
        Some(total) => (ProgressBar::new(total), "{bar:30} {human_pos}/{human_len}  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos}  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn tell_oddities(args: &ReplayArgs, tally: &Tally, infinities: u64) {
    if let Some(problem) = &tally.first_problem {
        note(format!("first problem: {problem}"));
    }
    if let Some(rps) = args.rps
        && tally.behind_max >= BEHIND_WORTH_TELLING
    {
        note(format!(
            "requests went out up to {:.1} s after they were due: {} senders do not keep up {rps}/s with these answers; \
             raise `--concurrency` or lower `--rps`",
            tally.behind_max.as_secs_f64(),
            args.concurrency
        ));
    }
    if infinities > 0 {
        note(format!(
            "{infinities} infinite numbers were sent as the texts \"Infinity\" and \"-Infinity\": JSON has no infinity"
        ));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tabular::Table;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn args(more: &[&str]) -> Result<ReplayArgs, clap::Error> {
        let line = ["replay", "rows.csv", "--to", "http://127.0.0.1:8080"];
        Line::try_parse_from(line.iter().chain(more)).map(|line| line.args)
    }

    fn plan(more: &[&str]) -> anyhow::Result<Plan> {
        let mut table = Table::from_reader("rows.csv", &mut "id,x,who\n1,2,a\n2,3,b\n3,4,b\n".as_bytes())?;
        Plan::new(&args(more)?, table.schema()?)
    }

    #[test]
    fn a_url_without_a_path_gets_the_protocols() {
        for (protocol, to, expected) in [
            ("kserve-v2", "http://h", "http://h/v2/models/default/infer"),
            ("kserve-v1", "http://h:1/", "http://h:1/v1/models/default:predict"),
            ("json", "http://h", "http://h/"),
            ("kserve-v2-grpc", "http://h", "http://h/inference.GRPCInferenceService/ModelInfer"),
            ("sagemaker-csv", "http://h", "http://h/invocations"),
            (
                "vertex",
                "http://h",
                "http://h/v1/projects/default/locations/default/endpoints/default:predict",
            ),
            ("kserve-v2", "http://h/v2/models/x/infer", "http://h/v2/models/x/infer"),
            ("kserve-v2", "http://h/?a=b", "http://h/?a=b"),
        ] {
            let mut args = args(&["--protocol", protocol]).unwrap();
            to.clone_into(&mut args.to);
            assert_eq!(target(&args).unwrap().url.to_string(), expected);
        }
    }

    #[test]
    fn headers_are_read_and_checked() {
        let args = args(&["--header", "Authorization: Bearer a:b", "--tenant", "acme"]).unwrap();
        let headers = target(&args).unwrap().headers;
        assert_eq!(headers[0], ("Authorization".to_owned(), "Bearer a:b".to_owned()));
        assert_eq!(headers[2], ("x-tenant-id".to_owned(), "acme".to_owned()));
    }

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for bad in [
            &["--rps", "0"][..],
            &["--batch", "0"],
            &["--concurrency", "0"],
            &["--limit", "0"],
            &["--header", "no colon"],
            &["--header", "na me: x"],
            &["--protocol", "grpc"],
            &["--tenant", "a", "--tenant-column", "who"],
        ] {
            assert!(args(bad).is_err(), "{bad:?}");
        }
        for bad in [&["--tenant", "a\nb"][..], &["--tenant", "a\r"], &["--model", "a b"]] {
            assert!(target(&args(bad).unwrap()).is_err(), "{bad:?}");
        }
        let mut https = args(&[]).unwrap();
        https.to = "https://h/".to_owned();
        assert!(target(&https).is_err());
    }

    #[test]
    fn arguments_must_fit_the_file() {
        let error = |more| plan(more).unwrap_err().to_string();
        assert_eq!(error(&["--exclude", "y"]), "`rows.csv` has no column `y`; it has: id, x, who");
        assert_eq!(error(&["--tenant-column", "y"]), "`rows.csv` has no column `y`; it has: id, x, who");
        assert!(error(&["--protocol", "json", "--batch", "2"]).contains("one row per request"));
        assert!(error(&["--protocol", "kserve-v2-grpc", "--batch", "2"]).contains("one row per request"));
        assert!(
            error(&["--exclude", "id", "--exclude", "x", "--exclude", "who"]).contains("no column is left")
        );
    }

    #[test]
    fn the_number_of_requests_is_known_where_it_can_be() {
        assert_eq!(plan(&[]).unwrap().requests(), Some(3));
        assert_eq!(plan(&["--batch", "2"]).unwrap().requests(), Some(2));
        assert_eq!(plan(&["--limit", "2"]).unwrap().requests(), Some(2));
        assert_eq!(plan(&["--loop"]).unwrap().requests(), None);
        assert_eq!(plan(&["--batch", "2", "--tenant-column", "who"]).unwrap().requests(), None);
    }

    #[test]
    fn a_batch_ends_where_another_tenant_begins() {
        let mut table =
            Table::from_reader("rows.csv", &mut "x,who\n1,a\n2,b\n3,b\n4,b\n5,\n".as_bytes()).unwrap();
        let args = args(&["--batch", "2", "--tenant-column", "who", "--protocol", "kserve-v1"]).unwrap();
        let plan = Plan::new(&args, table.schema().unwrap()).unwrap();
        let (out, mut prepared) = mpsc::channel(10);
        feed(table, &plan, &out).unwrap();
        drop(out);
        let mut sent = Vec::new();
        while let Some(one) = prepared.blocking_recv() {
            sent.push(format!(
                "{} {}",
                one.tenant.as_deref().unwrap_or("-"),
                String::from_utf8_lossy(&one.body)
            ));
        }
        insta::assert_snapshot!(sent.join("\n"), @r#"
        a {"instances":[{"x":1}]}
        b {"instances":[{"x":2},{"x":3}]}
        b {"instances":[{"x":4}]}
        - {"instances":[{"x":5}]}
        "#);
    }
}
