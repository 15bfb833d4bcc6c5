//! Decisions that must come out the same everywhere: sampling by a key, and the sticky choice of a version.
//!
//! The hash is fixed (FNV-1a, 64 bit, with the finaliser of SplitMix64), not seeded: two gateways, or one before and
//! after a restart, decide alike for the same key. A client that chooses its own key can therefore choose its own lane;
//! that is no secret worth keeping.

/// What a hash is for. Different purposes must not correlate: a client that sticks to the canary is not copied more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Choosing a version of the split.
    Split,
    /// Choosing who is copied.
    Copy,
}

/// 64 well mixed bits of `key`.
pub(crate) fn hash(purpose: Purpose, key: &[u8]) -> u64 {
    let start = match purpose {
        Purpose::Split => 0xcbf2_9ce4_8422_2325,
        Purpose::Copy => 0x8422_2325_cbf2_9ce4_u64,
    };
    let mut h = key.iter().fold(start, |h: u64, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// Whether a share of `percent` (0..=100) takes this one: by `key`, or drawn anew without one.
pub(crate) fn takes(percent: f64, key: Option<&[u8]>) -> bool {
    if percent <= 0.0 {
        return false;
    }
    let draw = match key {
        // 53 bits: every value is exact in f64, and the draw is below 1.
        Some(key) => (hash(Purpose::Copy, key) >> 11) as f64 / (1u64 << 53) as f64,
        None => fastrand::f64(),
    };
    draw * 100.0 < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(percent: f64, keyed: bool) -> f64 {
        let n = 100_000u32;
        let taken = (0..n).filter(|i| takes(percent, keyed.then_some(i.to_string().as_bytes()))).count();
        taken as f64 / f64::from(n) * 100.0
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        for keyed in [true, false] {
            assert_eq!(share(0.0, keyed), 0.0);
            assert_eq!(share(100.0, keyed), 100.0);
        }
    }

    #[test]
    fn a_share_is_met_within_five_standard_errors() {
        for percent in [0.3, 5.0, 50.0] {
            let bound = 5.0 * f64::sqrt(percent * (100.0 - percent) / 100_000.0);
            for keyed in [true, false] {
                let got = share(percent, keyed);
                assert!((got - percent).abs() < bound, "{percent} % keyed {keyed}: {got}");
            }
        }
    }

    #[test]
    fn a_smaller_share_is_part_of_a_larger_one() {
        for i in 0..10_000u32 {
            let key = i.to_string();
            assert!(!takes(5.0, Some(key.as_bytes())) || takes(20.0, Some(key.as_bytes())), "{key}");
        }
    }

    #[test]
    fn the_hash_never_changes() {
        // Fixed values: another release must keep clients where they are.
        assert_eq!(hash(Purpose::Split, b""), 0xf52a_15e9_a9b5_e89b);
        assert_ne!(hash(Purpose::Split, b"a"), hash(Purpose::Copy, b"a"));
    }
}
