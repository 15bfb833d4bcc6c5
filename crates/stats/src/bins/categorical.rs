//! Bins of a categorical feature: kept categories, and `other` for all the rest.
//!
//! The table is built once from the reference; live traffic only looks up. Outside input therefore cannot grow it,
//! nor make its chains longer, which is why a plain fast hash is enough.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::BinsError;

/// Frozen bins of a categorical feature.
#[derive(Clone, Debug)]
pub struct CategoricalBins {
    categories: Vec<String>,
    index: HashMap<String, usize, BuildHasherDefault<Fnv>>,
}

// === impl CategoricalBins ===

impl CategoricalBins {
    /// Bins of the given categories, in this order, and `other`. An empty list leaves only `other` (a reference in
    /// which every value is missing).
    ///
    /// # Errors
    ///
    /// [`BinsError::DuplicateCategory`].
    pub fn new(categories: Vec<String>) -> Result<Self, BinsError> {
        let mut index = HashMap::with_capacity_and_hasher(categories.len(), BuildHasherDefault::default());
        for (at, category) in categories.iter().enumerate() {
            if index.insert(category.clone(), at).is_some() {
                return Err(BinsError::DuplicateCategory { category: category.clone() });
            }
        }
        Ok(Self { categories, index })
    }

    /// Keeps the `max_categories` most frequent categories of the reference (ties: the smaller bytes first), in
    /// the order of their bytes; the rest belongs to `other`. Counts of a category given twice are added, categories
    /// without a count are not kept.
    ///
    /// # Errors
    ///
    /// [`BinsError::NoCategories`] if `max_categories` is 0.
    pub fn fit<'a>(
        counts: impl IntoIterator<Item = (&'a str, u64)>,
        max_categories: usize,
    ) -> Result<Self, BinsError> {
        if max_categories == 0 {
            return Err(BinsError::NoCategories);
        }
        let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
        for (category, count) in counts {
            let total = totals.entry(category).or_default();
            *total = total.saturating_add(count);
        }
        let mut kept: Vec<(&str, u64)> = totals.into_iter().filter(|(_, count)| *count > 0).collect();
        kept.sort_by_key(|(_, count)| std::cmp::Reverse(*count)); // stable: ties stay in the order of their bytes
        kept.truncate(max_categories);
        kept.sort_unstable();
        Self::new(kept.into_iter().map(|(category, _)| category.to_owned()).collect())
    }

    /// The bin of a category: its place in [`Self::categories`], or [`Self::other`]. Does not allocate.
    #[must_use]
    #[inline]
    pub fn index(&self, category: &str) -> usize {
        self.index.get(category).copied().unwrap_or(self.categories.len())
    }

    /// The kept categories, in the order of their bins.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// The bin of every category that is not kept.
    #[must_use]
    pub fn other(&self) -> usize {
        self.categories.len()
    }

    /// Number of bins: categories and `other`, without `missing`.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "`other` is always there")]
    pub fn len(&self) -> usize {
        self.categories.len() + 1
    }

    /// The categories, then `other`.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        self.categories.iter().cloned().chain(std::iter::once("other".to_owned())).collect()
    }
}

impl PartialEq for CategoricalBins {
    fn eq(&self, other: &Self) -> bool {
        self.categories == other.categories
    }
}

// === impl Fnv ===

/// FNV-1a, 64 bits: categories are short, and this is one multiplication a byte.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(categories: &[&str]) -> Vec<String> {
        categories.iter().map(|category| (*category).to_owned()).collect()
    }

    #[test]
    fn every_category_has_a_bin() {
        let bins = CategoricalBins::new(owned(&["b", "", "Zürich"])).unwrap();
        assert_eq!(["b", "", "Zürich", "zürich", "other"].map(|c| bins.index(c)), [0, 1, 2, 3, 3]);
        assert_eq!((bins.other(), bins.len()), (3, 4));
        assert_eq!(bins.labels(), ["b", "", "Zürich", "other"]);
    }

    #[test]
    fn a_reference_of_missing_values_leaves_only_other() {
        let bins = CategoricalBins::new(Vec::new()).unwrap();
        assert_eq!((bins.index("x"), bins.other(), bins.len()), (0, 0, 1));
    }

    #[test]
    fn duplicates_are_refused_by_name() {
        let error = CategoricalBins::new(owned(&["a", "b", "a"])).unwrap_err();
        assert_eq!(error, BinsError::DuplicateCategory { category: "a".to_owned() });
    }

    #[test]
    fn fit_keeps_the_most_frequent_in_order_of_bytes() {
        let counts = [("rare", 1), ("b", 5), ("c", 9), ("a", 5), ("none", 0), ("rare", 1)];
        let kept = |max| CategoricalBins::fit(counts, max).unwrap().categories().to_vec();
        assert_eq!(kept(2), owned(&["a", "c"]), "the tie of a and b goes to the smaller bytes");
        assert_eq!(kept(100), owned(&["a", "b", "c", "rare"]));
        assert_eq!(CategoricalBins::fit(counts, 0).unwrap_err(), BinsError::NoCategories);
    }
}
