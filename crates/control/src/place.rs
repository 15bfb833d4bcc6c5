//! Links that lead to what a message is about.
//!
//! An address with `{model}`, `{version}`, `{feature}` or `{tenant}` in it is filled in, whatever dashboard it belongs to.
//! One that is nothing but a host is taken for our own dashboard, which is always served at the root; its pages are named
//! in the query. Any other address stays as it is.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a query.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What our own dashboard shows by a link: enough to see what was before an alert, also an hour later.
const RANGE: &str = "6h";

/// What a link leads to. What is empty is not part of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// A page of our own dashboard: `overview`, `drift`, `tenants`, `lanes` or `control`.
    pub page: &'a str,
    /// The model.
    pub model: &'a str,
    /// The version.
    pub version: &'a str,
    /// The feature.
    pub feature: &'a str,
    /// The tenant.
    pub tenant: &'a str,
}

impl Place<'_> {
    /// The link, from the address of a dashboard.
    pub fn link(&self, base: &str) -> String {
        self.link_with(base, |text| utf8_percent_encode(text, KEPT).to_string())
    }

    /// The same where the values are templates that something else fills in.
    pub(crate) fn link_with(&self, base: &str, encode: impl Fn(&str) -> String) -> String {
        let parts = [
            ("model", "{model}", self.model),
            ("feature", "{feature}", self.feature),
            ("tenant", "{tenant}", self.tenant),
            ("version", "{version}", self.version),
        ];
        if parts.iter().any(|(_, placeholder, _)| base.contains(placeholder)) {
            return filled(base, |name| {
                parts.iter().find(|(known, ..)| *known == name).map(|(_, _, value)| encode(value))
            });
        }
        if !is_root(base) {
            return base.to_owned();
        }
        let mut link = format!("{}/?page={}", base.trim_end_matches('/'), self.page);
        for (name, _, value) in parts.iter().filter(|(.., value)| !value.is_empty()) {
            link.push_str(&format!("&{name}={}", encode(value)));
        }
        link.push_str("&range=");
        link.push_str(RANGE);
        link
    }
}

/// Whether an address is nothing but scheme and host.
fn is_root(base: &str) -> bool {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split_once('/').is_none_or(|(_, path)| path.is_empty()) && !rest.contains(['?', '#'])
}

/// A text with its `{name}`s filled in, in one pass: what is filled in is not looked at again.
fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = after.split_once('}').and_then(|(name, after)| Some((value(name)?, after)));
        if let Some((value, after)) = known {
            out.push_str(&value);
            rest = after;
        } else {
            out.push('{');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> =
        Place { page: "drift", model: "fraud", version: "v2", feature: "a&b = <ü>", tenant: "" };

    #[test]
    fn a_host_alone_is_our_own_dashboard() {
        let expected = "https://d.example/?page=drift&model=fraud&feature=a%26b%20%3D%20%3C%C3%BC%3E&version=v2&range=6h";
        assert_eq!(PLACE.link("https://d.example/"), expected);
        assert_eq!(PLACE.link("https://d.example"), expected);
    }

    #[test]
    fn placeholders_are_filled_in_once_and_other_addresses_kept() {
        let grafana = "http://g:3000/d/driftline?var-model={model}&var-tenant={tenant}&x={y}";
        assert_eq!(PLACE.link(grafana), "http://g:3000/d/driftline?var-model=fraud&var-tenant=&x={y}");
        let odd = Place { model: "{feature}", ..PLACE };
        assert_eq!(odd.link_with("http://g/?m={model}", str::to_owned), "http://g/?m={feature}");
        for kept in ["http://g:3000/d/driftline", "https://d.example/?page=control", "https://d.example/x/"] {
            assert_eq!(PLACE.link(kept), kept);
        }
    }
}
