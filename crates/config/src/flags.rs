//! A configuration from command line flags.
//!
//! The flags become the text of the file one could have written instead, each value on a line that names its flag. So
//! there is one set of checks, and a message shows both the flag and the key it stands for.

use std::path::{Path, PathBuf};

use crate::problem::{Problems, Severity};
use crate::settings::Loaded;
use crate::yaml::Source;

/// Name of the text in messages.
const NAME: &str = "command line";

/// Share that is copied when `--shadow` comes without `--percent`.
const PERCENT: f64 = 5.0;

/// What the command line says about a single model.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// URL of the version that answers clients: version `prod`.
    pub prod: String,
    /// URL of the version that gets copies: version `shadow`.
    pub shadow: Option<String>,
    /// URL of the version that a rollback goes to: version `stable`. `prod` without it: a rollback has nowhere to go.
    pub stable: Option<String>,
    /// Share of the requests that is copied, 0 to 100. Default 5.
    pub percent: Option<f64>,
    /// Address that takes traffic.
    pub listen: Option<String>,
    /// Address of metrics, API and dashboard.
    pub admin: Option<String>,
    /// A reference profile.
    pub baseline: Option<PathBuf>,
    /// The model's name. Default `default`.
    pub model: Option<String>,
}

/// Makes settings from flags. `DRIFTLINE_TOKEN` in `env`, if set, is the admin side's token.
///
/// # Errors
///
/// Every problem, each with the flag it comes from.
pub fn from_flags(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    let text = text(flags, env("DRIFTLINE_TOKEN").is_some_and(|token| !token.is_empty()));
    if flags.percent.is_some() && flags.shadow.is_none() {
        let source = Source::new(NAME, "--percent");
        let message = "`--percent` needs a version to copy to".to_owned();
        let mut problem = source.problem(Severity::Error, source.place(1, 1), String::new(), message);
        problem.hint = Some("add `--shadow URL`".to_owned());
        return Err(Problems::new(vec![problem]));
    }
    crate::parse(&text, NAME, Path::new("."), env)
}

/// The file that says the same.
fn text(flags: &Flags, has_token: bool) -> String {
    let mut out = String::new();
    let mut line = |indent: usize, key: &str, value: &str, flag: &str| {
        let comment = if flag.is_empty() { String::new() } else { format!("  # --{flag}") };
        let space = if value.is_empty() { "" } else { " " };
        out.push_str(&format!("{}{key}:{space}{value}{comment}\n", "  ".repeat(indent)));
    };
    if let Some(listen) = &flags.listen {
        line(0, "listen", &quoted(listen), "listen");
    }
    if let Some(admin) = &flags.admin {
        line(0, "admin", &quoted(admin), "admin");
    }
    if has_token {
        line(0, "auth", "", "");
        line(1, "token", "${DRIFTLINE_TOKEN}", "");
    }
    line(0, "models", "", "");
    line(
        1,
        &json(flags.model.as_deref().unwrap_or("default")),
        "",
        if flags.model.is_some() { "model" } else { "" },
    );
    line(2, "versions", "", "");
    line(3, "prod", &quoted(&flags.prod), "prod");
    for (name, url) in [("shadow", &flags.shadow), ("stable", &flags.stable)] {
        if let Some(url) = url {
            line(3, name, &quoted(url), name);
        }
    }
    line(2, "active", "prod", "");
    if flags.stable.is_some() {
        line(2, "stable", "stable", "");
    }
    if flags.shadow.is_some() {
        line(2, "shadow", "", "");
        line(3, "version", "shadow", "");
        line(3, "percent", &flags.percent.unwrap_or(PERCENT).to_string(), "percent");
    }
    if let Some(file) = &flags.baseline {
        line(2, "baseline", &quoted(&file.to_string_lossy()), "baseline");
    }
    out
}

/// A value in quotes whose `$` stay as they are: the shell has expanded what was to be expanded.
fn quoted(text: &str) -> String {
    json(&text.replace('$', "$$"))
}

/// A JSON text is a YAML text.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
