//! The tree against the schema: every value typed by the key it stands under, everything wrong collected.
//!
//! YAML types a bare `1.0`, `no` or `007` by its looks; here the schema decides, so a version may be called `1.0` and a
//! tenant `no`. What is wrong is left out of the result as long as the rest makes sense without it, so that the checks
//! that follow can report their findings in the same run.

use serde_json::{Map, Number, Value};

use crate::schema::{alternatives, schema, type_of, words};
use crate::suggest::did_you_mean_or_list;
use crate::text::{self, Size, Span};
use crate::yaml::{Cursor, Entry, Node, Scalar, Sink, Yaml, shorten};

/// Maps whose entries stand each for itself: one that is wrong does not make the others useless.
const INDEPENDENT: [&str; 1] = ["models"];

/// Types a document by the schema. `None` when it cannot be used at all; `sink` then has the reasons.
pub(crate) fn read(root: &Node, sink: &mut Sink<'_>) -> Option<Value> {
    Reader { sink }.value(root, &alternatives(schema()), &Cursor::root(root))
}

struct Reader<'a, 'b> {
    sink: &'a mut Sink<'b>,
}

impl Reader<'_, '_> {
    /// A value against what it may be.
    fn value<'n>(&mut self, node: &'n Node, allowed: &[Value], at: &Cursor<'n>) -> Option<Value> {
        let of_type =
            |name: &str| allowed.iter().filter(|schema| type_of(schema) == name).collect::<Vec<_>>();
        match &node.value {
            Yaml::Map(entries) => match of_type("object").as_slice() {
                [] => self.mismatch(None, "a map", allowed, at),
                [schema] => self.map(entries, schema, at),
                schemas => self.best_map(entries, schemas, at),
            },
            Yaml::List(items) => match of_type("array").first() {
                None => self.mismatch(None, "a list", allowed, at),
                Some(schema) => self.list(items, schema, at),
            },
            Yaml::Scalar(scalar) => self.scalar(scalar, allowed, at),
        }
    }

    /// Of several kinds of maps the one that knows the first key.
    fn best_map<'n>(&mut self, entries: &'n [Entry], schemas: &[&Value], at: &Cursor<'n>) -> Option<Value> {
        let knows = |schema: &&&Value| {
            entries.first().is_some_and(|entry| {
                schema.pointer("/properties").is_some_and(|p| p.get(&entry.key).is_some())
            })
        };
        let schema = schemas.iter().find(knows).or(schemas.first())?;
        self.map(entries, schema, at)
    }

    fn map<'n>(&mut self, entries: &'n [Entry], schema: &Value, at: &Cursor<'n>) -> Option<Value> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let is_strict = others.is_some() && !INDEPENDENT.contains(&at.path());
        let mut is_whole = self.entry_count(entries.len(), schema, at);
        let mut read = Map::new();
        for entry in entries {
            let below = at.entry(entry);
            let known = properties.and_then(|known| known.get(&entry.key));
            if known.is_none() && others.is_some() {
                is_whole &= self.key(entry, schema, &below) || !is_strict;
            }
            let Some(expected) = known.or(others) else {
                self.unknown_key(entry, properties, &below);
                continue;
            };
            match self.value(&entry.value, &alternatives(expected), &below) {
                Some(value) => drop(read.insert(entry.key.clone(), value)),
                None => is_whole &= !is_strict && !required.contains(&entry.key.as_str()),
            }
        }
        for key in required {
            if !entries.iter().any(|entry| entry.key == key) {
                is_whole = false;
                let below = at.key(key);
                let example = self.example(key);
                self.sink.error_at_key(&below, format!("`{key}` is missing")).maybe_hint(example);
            }
        }
        is_whole.then_some(Value::Object(read))
    }

    fn example(&self, key: &str) -> Option<String> {
        let example = match key {
            "models" => "`models: { NAME: { versions: { v1: http://HOST:PORT }, active: v1 } }`",
            "versions" => "`versions: { v1: http://HOST:PORT }`",
            "active" => "name the version that answers clients: `active: v1`",
            "percent" => "say how much is copied: `percent: 5`",
            _ => return None,
        };
        Some(example.to_owned())
    }

    fn entry_count(&mut self, n: usize, schema: &Value, at: &Cursor<'_>) -> bool {
        let bound =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        if let Some(least) = bound("minProperties").filter(|least| n < *least) {
            self.sink.error_at_key(at, format!("expected at least {least} entry"));
            return false;
        }
        if let Some(most) = bound("maxProperties").filter(|most| n > *most) {
            self.sink.error_at_key(at, format!("expected at most {most} entry, found {n}"));
            return false;
        }
        true
    }

    /// Checks the name of an entry that is not one of the schema's own keys.
    fn key(&mut self, entry: &Entry, schema: &Value, below: &Cursor<'_>) -> bool {
        let kind = schema.pointer("/propertyNames/x-kind").and_then(Value::as_str);
        let refusal = match kind {
            Some(kind) => text::check(kind, &entry.key).err(),
            None if entry.key.is_empty() => Some(text::Refusal::new("expected a name")),
            None => None,
        };
        let Some(refusal) = refusal else { return true };
        let message = format!("{}, found `{}`", refusal.message, shorten(&entry.key));
        self.sink.error_at(entry.key_place, below.path(), message).maybe_hint(refusal.hint);
        false
    }

    fn unknown_key(&mut self, entry: &Entry, known: Option<&Map<String, Value>>, below: &Cursor<'_>) {
        let known = known.into_iter().flat_map(Map::keys).map(String::as_str);
        let hint = did_you_mean_or_list(&entry.key, known);
        let message = format!("unknown key `{}`", shorten(&entry.key));
        self.sink.error_at(entry.key_place, below.path(), message).maybe_hint(hint);
        self.sink.hide(&entry.value);
    }

    fn list(&mut self, items: &[Node], schema: &Value, at: &Cursor<'_>) -> Option<Value> {
        let bound =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        if let Some(least) = bound("minItems").filter(|least| items.len() < *least) {
            self.sink.error_at_key(at, format!("expected a list of at least {least}"));
            return None;
        }
        if let Some(most) = bound("maxItems").filter(|most| items.len() > *most) {
            self.sink.error_at_key(at, format!("expected a list of at most {most}, found {}", items.len()));
            return None;
        }
        let expected = schema.get("items").map(alternatives).unwrap_or_default();
        let read: Vec<Option<Value>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.value(item, &expected, &at.item(index)))
            .collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
    }

    fn scalar(&mut self, scalar: &Scalar, allowed: &[Value], at: &Cursor<'_>) -> Option<Value> {
        let find = |name: &str| allowed.iter().find(|schema| type_of(schema) == name);
        // What a variable holds may be a number though it had to be quoted: `{ percent: "${SHARE}" }`.
        let has_text = find("string").is_some();
        let looks = if scalar.plain || (scalar.unexpanded.is_some() && !has_text) {
            Looks::of(&scalar.text)
        } else {
            Looks::Text
        };
        if let (Looks::Null, true) = (&looks, scalar.plain) {
            let message = match &scalar.unexpanded {
                None => "the key has no value".to_owned(),
                Some(unexpanded) => format!("`{}` is empty", shorten(unexpanded)),
            };
            self.sink.error(at, message).hint("give a value, or take the key out to get the default");
            return None;
        }
        match (&looks, find("boolean"), find("integer"), find("number")) {
            (Looks::Bool(value), Some(schema), _, _) => {
                return self.boolean(*value, schema, scalar, allowed, at);
            }
            (Looks::Integer(value), _, Some(schema), _) | (Looks::Integer(value), _, None, Some(schema)) => {
                return self.number(Number::from(*value), *value as f64, schema, scalar, at);
            }
            (Looks::Float(value), _, _, Some(schema)) => {
                let Some(number) = Number::from_f64(*value) else {
                    return self.mismatch(Some(scalar), "an infinite number or no number", allowed, at);
                };
                return self.number(number, *value, schema, scalar, at);
            }
            _ => {}
        }
        if has_text {
            self.text(scalar, allowed, at)
        } else {
            self.mismatch(Some(scalar), looks.noun(), allowed, at)
        }
    }

    fn boolean(
        &mut self,
        value: bool,
        schema: &Value,
        scalar: &Scalar,
        allowed: &[Value],
        at: &Cursor<'_>,
    ) -> Option<Value> {
        if schema.get("const").and_then(Value::as_bool).is_some_and(|only| only != value) {
            return self.mismatch(Some(scalar), "a boolean", allowed, at);
        }
        Some(Value::Bool(value))
    }

    fn number(
        &mut self,
        number: Number,
        value: f64,
        schema: &Value,
        scalar: &Scalar,
        at: &Cursor<'_>,
    ) -> Option<Value> {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let (least, most, above) = (bound("minimum"), bound("maximum"), bound("exclusiveMinimum"));
        let is_inside = least.is_none_or(|least| value >= least)
            && most.is_none_or(|most| value <= most)
            && above.is_none_or(|above| value > above);
        if !is_inside {
            self.outside(scalar, &number_range(least, most, above), at);
            // The bound stands in, so that what is around it can be checked in the same run.
            let key = if least.is_some_and(|least| value < least) { "minimum" } else { "maximum" };
            return schema.get(key).filter(|bound| bound.is_number()).cloned();
        }
        if schema.get("x-kind").is_some() {
            self.span_or_size(&scalar.text, schema, scalar, at)?;
        }
        Some(Value::Number(number))
    }

    fn text(&mut self, scalar: &Scalar, allowed: &[Value], at: &Cursor<'_>) -> Option<Value> {
        let known: Vec<&str> = allowed.iter().flat_map(words).collect();
        if known.contains(&scalar.text.as_str()) {
            return Some(Value::String(scalar.text.clone()));
        }
        let is_free = |schema: &&Value| type_of(schema) == "string" && words(schema).is_empty();
        let Some(schema) = allowed.iter().find(is_free) else {
            let listed: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            let or_map =
                if allowed.iter().any(|schema| type_of(schema) == "object") { " or a map" } else { "" };
            let message = format!("expected {}{or_map}{}", listed.join(", "), found(Some(scalar)));
            let hint = scalar.shown().and_then(|shown| crate::suggest::did_you_mean(&shown, known));
            self.sink.error(at, message).maybe_hint(hint);
            return None;
        };
        if let Some(kind) = schema.get("x-kind").and_then(Value::as_str) {
            if let Err(refusal) = text::check(kind, &scalar.text) {
                let message = format!("{}{}", refusal.message, found(Some(scalar)));
                self.sink.error(at, message).maybe_hint(refusal.hint);
                return None;
            }
            self.span_or_size(&scalar.text, schema, scalar, at)?;
        }
        Some(Value::String(scalar.text.clone()))
    }

    /// Checks the bounds of durations and sizes; other kinds have none.
    fn span_or_size(&mut self, text: &str, schema: &Value, scalar: &Scalar, at: &Cursor<'_>) -> Option<()> {
        let bound = |key: &str| schema.get(key).and_then(Value::as_str);
        let (least, most) = (bound("x-min"), bound("x-max"));
        let is_inside = match schema.get("x-kind").and_then(Value::as_str) {
            Some("duration") => is_between::<Span>(text, least, most),
            Some("size") => is_between::<Size>(text, least, most),
            _ => true,
        };
        if !is_inside {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from `{least}` to `{most}`"),
                (Some(least), None) => format!("at least `{least}`"),
                (_, most) => format!("at most `{}`", most.unwrap_or_default()),
            };
            self.outside(scalar, &range, at);
            return None;
        }
        Some(())
    }

    fn outside(&mut self, scalar: &Scalar, range: &str, at: &Cursor<'_>) {
        self.sink.error(at, format!("must be {range}{}", found(Some(scalar))));
    }

    fn mismatch(
        &mut self,
        scalar: Option<&Scalar>,
        what: &str,
        allowed: &[Value],
        at: &Cursor<'_>,
    ) -> Option<Value> {
        let mut expected: Vec<String> = Vec::new();
        for noun in allowed.iter().map(noun) {
            if !expected.contains(&noun) {
                expected.push(noun);
            }
        }
        let found = if scalar.is_some() { found(scalar) } else { format!(", found {what}") };
        let message = format!("expected {}{found}", expected.join(" or "));
        let is_quoted_number = scalar.is_some_and(|scalar| {
            !scalar.plain
                && matches!(Looks::of(&scalar.text), Looks::Integer(_) | Looks::Float(_) | Looks::Bool(_))
        });
        let hint = is_quoted_number.then(|| "take the quotes off".to_owned());
        self.sink.error(at, message).maybe_hint(hint);
        None
    }
}

/// The end of a message: what was there instead, unless it must not be shown.
fn found(scalar: Option<&Scalar>) -> String {
    match scalar.and_then(Scalar::shown) {
        Some(shown) => format!(", found `{shown}`"),
        None => String::new(),
    }
}

/// What a schema expects, for messages.
pub(crate) fn noun(schema: &Value) -> String {
    let listed = words(schema);
    if !listed.is_empty() {
        return listed.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(only) = schema.get("const") {
        return format!("`{only}`");
    }
    match type_of(schema) {
        "object" => "a map".to_owned(),
        "array" => "a list".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "integer" if schema.get("x-kind").is_none() => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "string" | "integer" => match schema.get("x-kind").and_then(Value::as_str) {
            Some(kind) => {
                let noun = text::noun(kind);
                let article = if noun.starts_with(['a', 'H']) { "an" } else { "a" };
                format!("{article} {noun}")
            }
            None => "a text".to_owned(),
        },
        _ => "something else".to_owned(),
    }
}

fn number_range(least: Option<f64>, most: Option<f64>, above: Option<f64>) -> String {
    match (least, most, above) {
        (_, Some(most), Some(above)) => format!("above {above} and at most {most}"),
        (_, None, Some(above)) => format!("above {above}"),
        (Some(least), Some(most), None) => format!("from {least} to {most}"),
        (Some(least), None, None) => format!("at least {least}"),
        (None, most, None) => format!("at most {}", most.unwrap_or(f64::INFINITY)),
    }
}

fn is_between<T: std::str::FromStr + PartialOrd>(
    text: &str,
    least: Option<&str>,
    most: Option<&str>,
) -> bool {
    let parse = |text: &str| text.parse::<T>().ok();
    let Some(value) = parse(text) else { return false };
    least.and_then(parse).is_none_or(|least| value >= least)
        && most.and_then(parse).is_none_or(|most| value <= most)
}

/// What a bare YAML value looks like (core schema of YAML 1.2).
enum Looks {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl Looks {
    fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" => return Self::Bool(true),
            "false" | "False" | "FALSE" => return Self::Bool(false),
            ".nan" | ".NaN" | ".NAN" => return Self::Float(f64::NAN),
            _ => {}
        }
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
            return Self::Float(f64::INFINITY);
        }
        if let Some(integer) = integer(text) {
            return Self::Integer(integer);
        }
        // Rust also reads `inf`, `nan` and `infinity`, which YAML does not.
        let is_numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
        match text.parse() {
            Ok(float) if is_numeric => Self::Float(float),
            _ => Self::Text,
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text => "a text",
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-']));
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok().filter(|_| !octal.starts_with(['+', '-']));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_values_look_like_yaml_1_2() {
        assert!(matches!(Looks::of("0x1F"), Looks::Integer(31)));
        assert!(matches!(Looks::of("-5"), Looks::Integer(-5)));
        assert!(matches!(Looks::of("1e3"), Looks::Float(x) if x == 1000.0));
        assert!(matches!(Looks::of(".5"), Looks::Float(_)));
        assert!(matches!(Looks::of("99999999999999999999"), Looks::Float(_)));
        for text in ["no", "on", "inf", "nan", "1.2.3", "0x", "0x-1", "-", ".", "e5", "12:30"] {
            assert!(matches!(Looks::of(text), Looks::Text), "{text}");
        }
    }
}
