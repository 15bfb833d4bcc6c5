//! Human labels of ordered bins: short numbers, unless shortening would make two edges look the same.

/// Labels of the bins between `edges` (ascending): `< e_1`, `[e_1, e_2)`, ..., `>= e_k`; of a constant `c`:
/// `< c`, `= c`, `> c`.
pub(super) fn ordered(edges: &[f64], constant: bool) -> Vec<String> {
    let names = edge_names(edges);
    let (Some(first), Some(last)) = (names.first(), names.last()) else {
        return vec!["all".to_owned()];
    };
    if constant {
        return vec![format!("< {first}"), format!("= {first}"), format!("> {first}")];
    }
    let mut labels = Vec::with_capacity(names.len() + 1);
    labels.push(format!("< {first}"));
    labels.extend(names.windows(2).map(|pair| format!("[{}, {})", pair[0], pair[1])));
    labels.push(format!(">= {last}"));
    labels
}

/// Six significant digits; all digits if two edges would otherwise read alike.
fn edge_names(edges: &[f64]) -> Vec<String> {
    let short: Vec<f64> = edges.iter().map(|edge| rounded(*edge)).collect();
    let distinct = short.windows(2).all(|pair| pair[0] < pair[1]);
    let shown = if distinct { &short } else { edges };
    shown.iter().map(|edge| number(*edge)).collect()
}

fn rounded(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// The shortest text that reads back as `x`, with an exponent where the number is very large or small.
fn number(x: f64) -> String {
    let text = format!("{:?}", x + 0.0); // -0.0 reads 0
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_but_never_alike() {
        assert_eq!(ordered(&[0.1 + 0.2, 1.0, 2.5], false), ["< 0.3", "[0.3, 1)", "[1, 2.5)", ">= 2.5"]);
        assert_eq!(ordered(&[1.0, 1.0_f64.next_up()], false)[1], "[1, 1.0000000000000002)");
        assert_eq!(ordered(&[-1e300, 1e300], false)[1], "[-1e300, 1e300)");
        assert_eq!(ordered(&[7.0, 7.0_f64.next_up()], true), ["< 7", "= 7", "> 7"]);
        assert_eq!(ordered(&[-0.0], false), ["< 0", ">= 0"]);
    }
}
