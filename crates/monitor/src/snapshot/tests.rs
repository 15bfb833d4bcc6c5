use std::sync::Arc;

use proptest::prelude::*;
use record::{Lane, Record};

use super::*;
use crate::spec::{ModelSpec, ReferenceSpec, TenantSpec};
use crate::testing::*;

fn fed(spec: ModelSpec, rows: usize) -> Engine {
    let mut engine = Engine::new(vec![spec]);
    engine.set_active("m", "v1");
    for i in 0..rows {
        let lane = if i % 5 == 4 { Lane::Shadow } else { Lane::Prod };
        let version = Some(if lane == Lane::Shadow { "v2" } else { "v1" }.to_owned());
        let tenant = Some(format!("t{}", i % 3)).filter(|_| i % 7 > 0);
        engine.observe_record(&Record { lane, version, tenant, ..usual(i) }).unwrap();
    }
    engine
}

fn restored(spec: ModelSpec, bytes: &[u8]) -> Engine {
    let mut engine = Engine::new(vec![spec]);
    engine.set_active("m", "v1");
    let report = engine.restore(bytes).unwrap();
    assert_eq!(report, RestoreReport { restored: vec!["m".to_owned()], skipped: Vec::new() });
    engine
}

/// Windows as text: readings have NaN, which is not equal to itself.
fn shown(engine: &mut Engine) -> String {
    let readings = engine.readings(0);
    let mut windows: Vec<String> = readings.models[0].windows.iter().map(|w| format!("{w:?}")).collect();
    windows.sort();
    format!("{:?} {windows:#?}", readings.models[0].reference)
}

/// The bytes with a checksum that is right again.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let content = bytes.len() - CHECKSUM;
    let checksum: [u8; CHECKSUM] = Sha256::digest(&bytes[..content]).into();
    bytes[content..].copy_from_slice(&checksum);
    bytes
}

#[test]
fn a_restored_engine_goes_on_as_if_nothing_had_happened() {
    let specs = [
        profiled(),
        spec(ReferenceSpec::Learn { rows: 150 }),
        spec(ReferenceSpec::Learn { rows: 10_000 }),
        spec(ReferenceSpec::PreviousWindow),
        ModelSpec { window: 2_000, ..spec(ReferenceSpec::PreviousWindow) },
    ];
    for spec in specs {
        for rows in [0, 90, 700] {
            let mut engine = fed(spec.clone(), rows);
            let mut copy = restored(spec.clone(), &engine.snapshot());
            assert_eq!(shown(&mut copy), shown(&mut engine));
            for i in 0..500 {
                engine.observe_record(&usual(i * i)).unwrap();
                copy.observe_record(&usual(i * i)).unwrap();
            }
            assert_eq!(shown(&mut copy), shown(&mut engine));
            assert_eq!(copy.snapshot(), engine.snapshot());
        }
    }
}

#[test]
fn a_newly_pinned_tenant_does_not_get_anothers_windows() {
    let mut engine = fed(profiled(), 100);
    let pinned = TenantSpec { limit: 10, pinned: vec!["new".to_owned(), "t1".to_owned()] };
    let mut copy = restored(ModelSpec { tenants: pinned, ..profiled() }, &engine.snapshot());
    let of_t1 = |engine: &mut Engine| format!("{:?}", engine.window("v1", Lane::Prod, "t1").unwrap());
    assert_eq!(of_t1(&mut copy), of_t1(&mut engine));
    assert!(copy.window("v1", Lane::Prod, "new").is_none());
}

#[test]
fn other_settings_start_anew_and_say_so() {
    let bytes = fed(profiled(), 100).snapshot();
    let mut engine = Engine::new(vec![ModelSpec { window: 50, ..profiled() }]);
    let report = engine.restore(&bytes).unwrap();
    assert_eq!((report.restored.len(), report.skipped[0].0.as_str()), (0, "m"));
    assert!(engine.readings(0).models[0].windows.is_empty());
    assert_eq!(Engine::new(Vec::new()).restore(&bytes).unwrap().skipped.len(), 1);

    let learn = || spec(ReferenceSpec::Learn { rows: 100 });
    let bytes = fed(learn(), 300).snapshot();
    let mut other = Engine::new(vec![learn()]);
    for i in 0..200 {
        other.observe_record(&record([("x", number(i as f64))])).unwrap();
    }
    let before = shown(&mut other);
    assert_eq!(other.restore(&bytes).unwrap().skipped.len(), 1, "it has learned other bins");
    assert_eq!(shown(&mut other), before);
}

/// What the version before wrote: without how far references have grown.
fn of_version_5(engine: &Engine) -> Vec<u8> {
    let mut bytes = engine.snapshot();
    let mut growth = codec::Writer::default();
    growth::write(&mut growth, &engine.models[0].state);
    bytes.drain(bytes.len() - CHECKSUM - growth.0.len()..bytes.len() - CHECKSUM);
    bytes[8] = 5;
    let payload = (bytes.len() - HEADER - CHECKSUM) as u64;
    bytes[12..20].copy_from_slice(&payload.to_le_bytes());
    // One model, `m`, with its signature and its active version, `v1`.
    let at = HEADER + 4 + 5 + 32 + 6;
    let model = (bytes.len() - CHECKSUM - at - 8) as u64;
    bytes[at..at + 8].copy_from_slice(&model.to_le_bytes());
    resealed(bytes)
}

#[test]
fn what_the_version_before_wrote_is_read_and_learned_references_grow_from_there() {
    let learned = || spec(ReferenceSpec::Learn { rows: 150 });
    for (spec, grows) in [(learned(), true), (profiled(), true), (spec(ReferenceSpec::PreviousWindow), false)]
    {
        let mut engine = fed(spec.clone(), 700);
        let old = of_version_5(&engine);
        let mut copy = restored(spec, &old);
        let windows = |engine: &mut Engine| format!("{:?}", engine.readings(0).models[0].windows);
        assert_eq!(windows(&mut copy), windows(&mut engine));
        let of = |name: &str| {
            let features = &copy.models[0].state.features;
            features.iter().find(|feature| *feature.name == *name).unwrap().is_learned()
        };
        let is_profile = matches!(copy.models[0].spec.reference, ReferenceSpec::Profile { .. });
        assert_eq!((of("x"), of("prediction")), (grows && !is_profile, grows));
    }
}

#[test]
fn damage_is_named() {
    let mut engine = fed(profiled(), 100);
    let before = shown(&mut engine);
    let bytes = engine.snapshot();
    let mut refused = |bytes: &[u8]| engine.restore(bytes).unwrap_err();
    assert_eq!(refused(b""), RestoreError::NotASnapshot);
    assert_eq!(refused(b"something else"), RestoreError::NotASnapshot);
    assert!(matches!(refused(&bytes[..bytes.len() - 1]), RestoreError::Torn { .. }));
    assert!(matches!(refused(&bytes[..10]), RestoreError::Torn { .. }));
    let mut version = bytes.clone();
    version[8] = 9;
    assert_eq!(refused(&version), RestoreError::Version { found: 9 });
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    assert_eq!(refused(&flipped), RestoreError::Checksum);
    assert_eq!(shown(&mut engine), before);
}

#[test]
fn every_single_byte_may_be_wrong() {
    // Small, so that all of it can be tried: one learning feature, one frozen, two tenants.
    for mut spec in [profiled(), spec(ReferenceSpec::PreviousWindow)] {
        spec.window = 8;
        let bytes = fed(spec.clone(), 12).snapshot();
        let mut engine = Engine::new(vec![spec]);
        for at in HEADER..bytes.len() - CHECKSUM {
            for bits in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bits;
                if engine.restore(&resealed(damaged)).is_ok() {
                    engine.readings(0);
                    engine.observe_record(&usual(at)).ok();
                    engine.readings(0);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        cut in 0usize..2_000,
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        seal in any::<bool>(),
    ) {
        let spec = ModelSpec { window: 20, ..spec(ReferenceSpec::Learn { rows: 30 }) };
        let mut bytes = fed(spec.clone(), 60).snapshot();
        bytes.truncate(bytes.len() - cut.saturating_sub(1_000).min(bytes.len() - HEADER - CHECKSUM));
        for (at, byte) in noise {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if seal {
            let payload = (bytes.len() - HEADER - CHECKSUM) as u64;
            bytes[12..20].copy_from_slice(&payload.to_le_bytes());
            bytes = resealed(bytes);
        }
        let mut engine = Engine::new(vec![spec]);
        let empty = shown(&mut engine);
        match engine.restore(&bytes) {
            Ok(_) => drop(engine.readings(1)),
            Err(_) => prop_assert_eq!(shown(&mut engine), empty),
        }
        let tenant: Arc<str> = "t".into();
        engine.observe_record(&Record { tenant: Some(tenant.to_string()), ..usual(1) }).ok();
    }
}
