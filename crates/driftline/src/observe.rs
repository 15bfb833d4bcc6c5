//! `observe`: everything but the gateway.

use server::{App, SourceSummary};

use crate::cli::ObserveArgs;
use crate::logging::LogFormat;
use crate::output::{Exit, Outcome, note};
use crate::run;

/// `driftline observe`. Ends when it is told to, or when every source has read all there was.
pub(crate) fn run(args: &ObserveArgs, format: LogFormat) -> Outcome {
    let loaded = match config::load(&args.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(run::report_problems(&problems)),
    };
    run::show_warnings(&loaded, format);
    let app = App::start(loaded.settings.without_traffic())?;
    run::say(format, &format!("observing; metrics and API on http://{}", app.admin_addr()));
    run::wait_for_the_end(format, app.sources_ended())?;
    let sources = app.sources();
    app.shutdown();
    sources.iter().for_each(|source| tell(source, format));
    Ok(if sources.iter().any(|source| source.failed) { Exit::Found } else { Exit::Fine })
}

fn tell(source: &SourceSummary, format: LogFormat) {
    let SourceSummary { name, accepted, rejected, failed } = source;
    let end = if *failed { "; it gave up, see above" } else { "" };
    match format {
        LogFormat::Text => note(format!("source `{name}`: {accepted} counted, {rejected} not{end}")),
        LogFormat::Json => tracing::info!(source = name, accepted, rejected, failed, "source summary"),
    }
}
