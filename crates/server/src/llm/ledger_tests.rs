use config::ShadowSettings;
use record::{Body, Lane};

use super::*;

const NOON: i64 = 20_000 * DAY_MS + DAY_MS / 2;

fn budget(tokens: Option<u64>, usd: Option<f64>) -> BudgetSettings {
    BudgetSettings {
        tokens_per_day: tokens,
        usd_per_day: usd,
        usd_per_million_prompt_tokens: 2.0,
        usd_per_million_completion_tokens: 10.0,
    }
}

fn models(budget: BudgetSettings) -> Vec<ModelSettings> {
    let shadow =
        ShadowSettings { version: Some("v1".into()), noise: false, percent: 5.0, budget: Some(budget) };
    vec![ModelSettings {
        name: "m".into(),
        versions: vec!["v2".into(), "v1".into()],
        active: "v2".into(),
        stable: "v2".into(),
        split: vec![(0, 1)],
        shadows: vec![shadow],
        auto_rollback: false,
        protocol: record::Protocol::Openai,
    }]
}

/// An answer of 30 + 20 tokens.
fn answer(version: &str) -> Exchange {
    let answer = r#"{"choices":[{"text":"a"}],"usage":{"prompt_tokens":30,"completion_tokens":20}}"#;
    Exchange {
        at_ms: 0,
        model: "m".into(),
        version: version.into(),
        lane: Lane::Shadow,
        tenant: None,
        request_id: Default::default(),
        status: 200,
        latency_ms: 1.0,
        first_byte_ms: None,
        headers: Vec::new(),
        path: "/v1/completions".into(),
        request: Body::complete(r#"{"prompt":"x"}"#),
        response: Body::complete(answer),
        pairing: record::Pairing::Unknown,
    }
}

#[test]
fn a_day_has_so_many_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), &models(budget(Some(100), None)));
    for _ in 0..2 {
        assert!(ledger.admits_at("m", "v1", NOON));
        ledger.count(&answer("v1"), NOON);
    }
    assert!(!ledger.admits_at("m", "v1", NOON));
    // Others are not concerned.
    ledger.count(&answer("v2"), NOON);
    assert!(ledger.admits_at("m", "v2", NOON) && ledger.admits_at("x", "v1", NOON));
    let [(_, account)] = ledger.accounts(NOON)[..] else { panic!("one account") };
    assert_eq!((account.today.prompt_tokens, account.today.completion_tokens), (60, 40));
    assert!((account.today.usd - (60.0 * 2.0 + 40.0 * 10.0) / 1e6).abs() < 1e-12);
    assert_eq!(account.total, [60, 40, 0, 0]);
    // The next day begins at nothing; a clock that goes back does not give it back twice.
    assert!(ledger.admits_at("m", "v1", NOON + DAY_MS));
    ledger.count(&answer("v1"), NOON + DAY_MS);
    assert!(ledger.admits_at("m", "v1", NOON));
    let [(_, account)] = ledger.accounts(NOON)[..] else { panic!("one account") };
    assert_eq!((account.today.tokens(), account.total), (50, [90, 60, 0, 0]));
}

#[test]
fn a_day_has_so_many_dollars() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path(), &models(budget(None, Some(0.0005))));
    ledger.count(&answer("v1"), NOON);
    assert!(ledger.admits_at("m", "v1", NOON));
    ledger.count(&answer("v1"), NOON);
    assert!(!ledger.admits_at("m", "v1", NOON));
    // A reload changes the bound, not what was spent.
    ledger.configure(&models(budget(None, Some(0.001))));
    assert!(ledger.admits_at("m", "v1", NOON));
    // A shadow that went away and came back has spent what it had.
    ledger.configure(&[]);
    assert!(ledger.accounts(NOON).is_empty());
    ledger.configure(&models(budget(None, Some(0.0005))));
    assert!(!ledger.admits_at("m", "v1", NOON));
}

#[test]
fn a_restart_forgets_nothing_and_a_broken_file_everything() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Ledger::open(folder.path(), &models(budget(Some(50), None)));
    let ledger = open();
    ledger.save();
    assert!(!ledger.path.exists(), "nothing spent, nothing written");
    ledger.count(&answer("v1"), NOON);
    ledger.save();
    assert!(!open().admits_at("m", "v1", NOON));
    assert!(open().admits_at("m", "v1", NOON + DAY_MS));
    std::fs::write(folder.path().join(FILE_NAME), b"{").unwrap();
    assert!(open().admits_at("m", "v1", NOON));
}
