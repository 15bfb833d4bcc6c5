//! What the fuzz targets found once holds in every build.

use std::path::Path;

#[test]
fn every_corpus_still_holds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (target, invariant) in fuzzing::TARGETS {
        assert!(fuzz.join(format!("fuzz_targets/{target}.rs")).is_file(), "`{target}` has no fuzz target");
        let mut n = 0;
        for entry in std::fs::read_dir(fuzz.join("corpus").join(target)).unwrap() {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| invariant(&data));
            assert!(held.is_ok(), "{} does not hold: {}", target, path.display());
            n += 1;
        }
        assert!(n > 0, "the corpus of `{target}` is empty");
    }
}
