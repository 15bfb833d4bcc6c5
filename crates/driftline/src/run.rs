//! `run`.

use std::path::Path;

use config::{Flags, Loaded, Problems};
use server::App;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::RunArgs;
use crate::logging::LogFormat;
use crate::output::{Exit, Outcome, note};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "driftline.yaml";

/// `driftline run`.
pub(crate) fn run(args: &RunArgs, format: LogFormat) -> Outcome {
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(report_problems(&problems)),
    };
    show_warnings(&loaded, format);
    if !loaded.settings.forwards() {
        note("no model has `versions`: there is nothing to forward to");
        note("give a model `versions`, or measure without a gateway: driftline observe -c FILE");
        return Ok(Exit::Usage);
    }
    let app = App::start(loaded.settings)?;
    let traffic =
        app.traffic_addr().map(|address| format!("traffic on http://{address}, ")).unwrap_or_default();
    say(format, &format!("{traffic}metrics and API on http://{}", app.admin_addr()));
    wait_for_the_end(format, std::future::pending())?;
    app.shutdown();
    Ok(Exit::Fine)
}

fn load(args: &RunArgs) -> Result<Loaded, Problems> {
    let env = |name: &str| std::env::var(name).ok();
    let Some(prod) = &args.prod else {
        let file = args.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        return config::load(file, &env);
    };
    let flags = Flags {
        prod: prod.clone(),
        shadow: args.shadow.clone(),
        stable: args.stable.clone(),
        percent: args.percent,
        listen: args.listen.clone(),
        admin: args.admin.clone(),
        baseline: args.baseline.clone(),
        model: None,
    };
    config::from_flags(&flags, &env)
}

/// Shows what is odd about a configuration.
pub(crate) fn show_warnings(loaded: &Loaded, format: LogFormat) {
    match format {
        LogFormat::Text => report_warnings(loaded),
        LogFormat::Json => log_warnings(loaded),
    }
}

/// SIGTERM or Ctrl-C, or `over`; a second signal ends at once.
pub(crate) fn wait_for_the_end(format: LogFormat, over: impl Future<Output = ()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = over => return anyhow::Ok(()),
        }
        say(format, "ending: running requests may finish; once more to end at once");
        anyhow::Ok(())
    })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            end_at_once();
        });
    });
    Ok(())
}

#[expect(clippy::exit, reason = "the user asked twice; the journal is crash-safe")]
fn end_at_once() {
    std::process::exit(130);
}

/// Prints every problem; the exit code is that of a configuration error.
pub(crate) fn report_problems(problems: &Problems) -> Exit {
    note(problems.to_string().trim_end());
    Exit::Usage
}

/// One line for people, or a log line where every line has to be one.
pub(crate) fn say(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => note(text),
        LogFormat::Json => tracing::info!("{text}"),
    }
}

fn log_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!(
            key = warning.path,
            line = warning.line,
            column = warning.column,
            hint = warning.hint,
            "{}",
            warning.message
        );
    }
}

/// Prints every warning.
pub(crate) fn report_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        note(warning.to_string().trim_end());
    }
}
