//! YAML text in, plain valid settings out; or every problem at once, with its place and what to do about it.
//!
//! The only crate that knows how a configuration is written. The way through it:
//!
//! 1. The text becomes a tree whose nodes know where they stand. Bounds (size, depth, nodes) hold while it is read.
//! 2. `${VAR}` is expanded in the tree's values, never in the text.
//! 3. The tree is typed against the JSON schema, which is made from the types in `raw`: unknown keys, wrong values, bounds.
//! 4. serde fills those types.
//! 5. What takes more than one key, or a file, is checked and resolved: `resolve`.
//!
//! Each step goes on after a problem as far as it makes sense, so that one run shows everything. Values of secrets, of
//! variables and of keys nobody knows never get into a message. No clock, no network; files are read, nothing is written.

mod flags;
mod problem;
mod raw;
mod resolve;
mod schema;
mod settings;
mod suggest;
mod text;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use flags::{Flags, from_flags};
pub use problem::{Problem, Problems, Severity};
pub use schema::{json_schema, reference_markdown};
pub use settings::{
    AdminSettings, BudgetSettings, DrillSettings, EmbeddingCacheSettings, FollowSettings, Loaded,
    ModelSettings, ObserveSettings, Secret, Settings, ShadowSettings, StoreSettings,
};

use resolve::Context;
use yaml::{Cursor, Node, Sink, Source};

/// Largest configuration.
const BYTES_MAX: usize = 1024 * 1024;

/// Reads a configuration file. Files that it names are looked for from its folder.
///
/// # Errors
///
/// Every problem of the file, by line.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    let (name, text, base_dir) = read(path)?;
    let mut loaded = parse(&text, &name, base_dir, env)?;
    loaded.settings.file = Some(path.to_path_buf());
    Ok(loaded)
}

/// Reads the privacy rules of a configuration file. What is wrong elsewhere with what is meant, such as a profile that is
/// not there yet, does not matter.
///
/// # Errors
///
/// Every problem of the file, when its rules cannot be had.
pub fn load_privacy(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<record::Privacy>, Problems> {
    let (name, text, base_dir) = read(path)?;
    let (settings, problems) = parse_parts(&text, &name, base_dir, env)?;
    let is_about_it = |problem: &Problem| {
        problem.severity == Severity::Error && problem.path.split('.').next() == Some("privacy")
    };
    let model = settings.as_ref().and_then(|settings| settings.monitor.first());
    match model {
        Some(model) if !problems.iter().any(is_about_it) => Ok(Arc::clone(&model.decoder.privacy)),
        _ => Err(Problems::new(problems)),
    }
}

/// The name, text and folder of a configuration file.
fn read(path: &Path) -> Result<(String, String, &Path), Problems> {
    let name = path.display().to_string();
    let refuse = |line: usize, column: usize, message: String, hint: Option<&str>| {
        let source = Source::new(&name, "");
        let mut problem = source.problem(Severity::Error, yaml::Place::default(), String::new(), message);
        (problem.line, problem.column, problem.hint) = (line, column, hint.map(str::to_owned));
        Problems::new(vec![problem])
    };
    let content = resolve::read_regular(path, BYTES_MAX as u64).map_err(|problem| {
        refuse(1, 1, problem, Some("name a file with `-c`; docs/configuration.md shows the smallest one"))
    })?;
    let text = std::str::from_utf8(&content).map_err(|error| {
        let before = content.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
        refuse(line, column, "the file is not UTF-8 text".to_owned(), Some("save it as UTF-8"))
    })?;
    Ok((name, text.to_owned(), path.parent().unwrap_or(Path::new(""))))
}

/// Reads a configuration from a text. `name` stands for the file in messages; files that the text names are looked for
/// from `base_dir`; `env` gives the variables.
///
/// # Errors
///
/// Every problem of the text, by line.
pub fn parse(
    text: &str,
    name: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let (settings, mut problems) = parse_parts(text, name, base_dir, env)?;
    match settings {
        Some(settings) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            problem::sort(&mut problems);
            Ok(Loaded { settings, warnings: problems })
        }
        _ => Err(Problems::new(problems)),
    }
}

/// What could be made of a text, and what is wrong with it.
fn parse_parts(
    text: &str,
    name: &str,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Option<Settings>, Vec<Problem>), Problems> {
    if text.len() > BYTES_MAX {
        let source = Source::new(name, "");
        let message = format!("the configuration is larger than {BYTES_MAX} bytes");
        return Err(Problems::new(vec![source.problem(
            Severity::Error,
            source.place(1, 1),
            String::new(),
            message,
        )]));
    }
    // As long as there is no tree, what is a secret can only be guessed: more is masked than need be.
    let mut guessed = Source::new(name, text);
    yaml::mask_text(&mut guessed);
    let mut root = yaml::read_tree(text, &guessed).map_err(Problems::new)?;
    let mut source = Source::new(name, text);
    yaml::mask_tree(&mut root, &mut source);
    Ok(check(root, source, base_dir, env))
}

/// Steps 2 to 5.
fn check(
    mut root: Node,
    mut source: Source,
    base_dir: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<Settings>, Vec<Problem>) {
    let mut sink = Sink::new(&source);
    yaml::expand(&mut root, env, &mut sink);
    let unexpanded = sink.into_problems();
    let mut sink = Sink::new(&source);
    let value = schema::read(&root, &mut sink);
    let (written_wrong, hidden) = sink.into_parts();
    let mut sink = Sink::new(&source);
    let cursor = Cursor::root(&root);
    let settings = value.and_then(|value| {
        let file: raw::File = serde_json::from_value(value)
            .map_err(|_| sink.error(&cursor, "the schema accepts what the types refuse: please report this"))
            .ok()?;
        Some(resolve::resolve(&file, &cursor, &mut Context { base_dir, sink: &mut sink }))
    });
    let is_whole = unexpanded.is_empty() && written_wrong.is_empty();
    let meant_wrong = sink.into_problems();
    // A part that could not be read is missing from what was checked: a warning may then be about nothing.
    // What stands in for a wrong value is not to be judged once more.
    let is_said = |problem: &Problem| {
        written_wrong.iter().any(|first| (first.line, first.column) == (problem.line, problem.column))
    };
    let meant_wrong: Vec<Problem> = meant_wrong
        .into_iter()
        .filter(|problem| is_whole || (problem.severity == Severity::Error && !is_said(problem)))
        .collect();
    // Whatever else is said about a value that could not be expanded is noise.
    let is_noise = |problem: &Problem| {
        unexpanded.iter().any(|first| (first.line, first.column) == (problem.line, problem.column))
    };
    let mut problems: Vec<Problem> =
        written_wrong.into_iter().chain(meant_wrong).filter(|problem| !is_noise(problem)).collect();
    problems.extend(unexpanded);
    hidden.iter().for_each(|place| source.mask(place.start, place.end));
    problems.iter_mut().for_each(|problem| source.quote(problem));
    (settings, problems)
}

/// The policy of an empty configuration: the default rules, thresholds and links, and no model. For exports without a file.
pub fn default_policy() -> control::Policy {
    resolve::policy_without_models()
}
