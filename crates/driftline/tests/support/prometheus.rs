//! A reader for Prometheus' text format, strict enough for tests.

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    /// In the order of the text.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn matches(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name && labels.iter().all(|(key, value)| self.label(key) == Some(value))
    }
}

/// A page of metrics.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) samples: Vec<Sample>,
    /// Name and kind of every family.
    pub(crate) types: Vec<(String, String)>,
}

impl Page {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self { samples: Vec::new(), types: Vec::new() };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                page.types.push((name.to_owned(), kind.to_owned()));
            } else if !line.starts_with('#') && !line.is_empty() {
                page.samples.push(sample(line));
            }
        }
        page
    }

    /// The samples of a name that have these labels.
    pub(crate) fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.matches(name, labels))
    }

    /// The value of the only sample that fits.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, labels);
        let first = found.next().map(|sample| sample.value);
        assert!(found.next().is_none(), "several samples of `{name}` have {labels:?}");
        first
    }

    /// The sum of all samples that fit.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.all(name, labels).map(|sample| sample.value).sum()
    }

    pub(crate) fn kind(&self, name: &str) -> Option<&str> {
        self.types.iter().find(|(known, _)| known == name).map(|(_, kind)| kind.as_str())
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: `{line}`"));
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => {
            (name, parse_labels(rest.strip_suffix('}').unwrap_or_else(|| panic!("`{line}`"))))
        }
        None => (series, Vec::new()),
    };
    let value = value.replace("+Inf", "inf").parse().unwrap_or_else(|_| panic!("`{value}` in `{line}`"));
    Sample { name: name.to_owned(), labels, value }
}

fn parse_labels(text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    let mut rest = text;
    while let Some((name, tail)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut letters = tail.char_indices();
        let end = loop {
            match letters.next().unwrap_or_else(|| panic!("no closing quote: `{text}`")) {
                (at, '"') => break at,
                (_, '\\') => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, letter)) => value.push(letter),
                    None => panic!("ends in a backslash: `{text}`"),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.push((name.trim_start_matches(',').to_owned(), value));
        rest = &tail[end + 1..];
    }
    labels
}

#[test]
fn labels_with_quotes_and_commas_are_read() {
    let page = Page::parse("# TYPE a gauge\na{x=\"1,\\\"2\\\"\",y=\"\"} 3\nb +Inf\n");
    assert_eq!(page.value("a", &[("x", "1,\"2\""), ("y", "")]), Some(3.0));
    assert_eq!(page.value("b", &[]), Some(f64::INFINITY));
    assert_eq!(page.kind("a"), Some("gauge"));
}
