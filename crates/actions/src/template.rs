//! Texts with placeholders: bodies, values, arguments, configuration files.

use std::sync::Arc;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

/// Longest template.
const BYTES_MAX: usize = 256 * 1024;

/// Steps that a template may take.
const FUEL: u64 = 1_000_000;

/// A text with placeholders such as `{{ model }}`, in the language of Jinja. A name that does not exist is an error when
/// the text is filled in, never an empty text.
#[derive(Clone)]
pub struct Template {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
}

/// Why a template is no good, or could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl Template {
    /// A text as it is.
    ///
    /// # Errors
    /// It is no template: what is wrong, and in which line.
    pub fn text(source: &str) -> Result<Self, TemplateError> {
        Self::with(source, AutoEscape::None)
    }

    /// A JSON text: every value is filled in as JSON, texts with their quotes, so that no value can break out of its
    /// place.
    ///
    /// # Errors
    /// It is no template: what is wrong, and in which line.
    pub fn json(source: &str) -> Result<Self, TemplateError> {
        Self::with(source, AutoEscape::Json)
    }

    fn with(source: &str, escape: AutoEscape) -> Result<Self, TemplateError> {
        if source.len() > BYTES_MAX {
            return Err(TemplateError(format!("the template is longer than {BYTES_MAX} bytes")));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(move |_| escape);
        environment.set_fuel(Some(FUEL));
        environment.set_keep_trailing_newline(true);
        environment.add_template_owned("template", source.to_owned()).map_err(|error| told(&error))?;
        Ok(Self { environment: Arc::new(environment), source: source.into() })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// A name that does not exist, or too much work.
    pub fn fill(&self, values: &impl Serialize) -> Result<String, TemplateError> {
        let template = self.environment.get_template("template").map_err(|error| told(&error))?;
        template.render(values).map_err(|error| told(&error))
    }

    /// The names it uses.
    pub fn names(&self) -> Vec<String> {
        let template = self.environment.get_template("template");
        let mut names: Vec<String> = template
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it holds may be a secret.
        write!(f, "Template({} bytes)", self.source.len())
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

fn told(error: &minijinja::Error) -> TemplateError {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    TemplateError(error.line().map_or_else(|| what.clone(), |line| format!("line {line}: {what}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_filled_in_as_json() {
        let template = Template::json(r#"{"to": {{ to }}, "n": {{ n }}, "all": {{ all }}}"#).unwrap();
        let filled = template.fill(&json!({ "to": "v1\"}, \"x\": {\"", "n": 3, "all": ["a", 1] })).unwrap();
        let back: serde_json::Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(back, json!({ "to": "v1\"}, \"x\": {\"", "n": 3, "all": ["a", 1] }));
        assert_eq!(template.names(), ["all", "n", "to"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |source: &str| Template::text(source).unwrap_err().to_string();
        assert!(said("a\n{{ to").starts_with("line 2: syntax error"), "{}", said("a\n{{ to"));
        let missing = Template::text("{{ nobody }}").unwrap().fill(&json!({})).unwrap_err().to_string();
        assert!(missing.contains("undefined"), "{missing}");
        let endless = Template::text(
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        );
        let stopped = endless.unwrap().fill(&json!({})).unwrap_err().to_string();
        assert!(stopped.contains("fuel"), "{stopped}");
        assert_eq!(Template::text("{{ to }}\n").unwrap().fill(&json!({ "to": "v1" })).unwrap(), "v1\n");
    }
}
