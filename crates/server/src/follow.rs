//! A gateway that follows somebody else's decision: a parameter, a file or an endpoint names the version that clients get.
//!
//! Only a change of what is named moves anything, and what is named at the start. It is journaled like any other decision;
//! a person's hold stops it, and what it names is then taken up when the hold ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actions::Followed;
use control::ControlError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::plane::Plane;

/// How often due looks are looked for.
const TICK: Duration = Duration::from_millis(200);

/// Time for one look.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One model's source.
struct Follower {
    model: Arc<str>,
    followed: Followed,
    every: Duration,
    /// What a version is called there: name there to ours.
    names: HashMap<String, String>,
    due: Instant,
    /// What was taken up last.
    taken: Option<String>,
    /// What was complained about last.
    complaint: Option<String>,
}

/// Follows until `stop` turns true.
pub(crate) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut settings = plane.settings();
    let mut followers = followers(&plane, &[]);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // A sender that is gone means the same.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let current = plane.settings();
        if !Arc::ptr_eq(&settings, &current) {
            settings = current;
            followers = self::followers(&plane, &followers);
        }
        for follower in followers.iter_mut().filter(|follower| follower.due <= Instant::now()) {
            look(&plane, follower).await;
            // A tenth is drawn: gateways that were started together do not ask together.
            follower.due = Instant::now() + follower.every.mul_f64(0.95 + fastrand::f64() / 10.0);
        }
    }
}

fn followers(plane: &Plane, before: &[Follower]) -> Vec<Follower> {
    let mut followers = Vec::new();
    for (model, spec) in &plane.settings().follows {
        match Followed::new(&spec.source, TIMEOUT, now_ms) {
            Err(error) => tracing::error!(%model, %error, "nothing is followed"),
            Ok(followed) => {
                let same =
                    before.iter().find(|one| one.model == *model && one.followed.name() == followed.name());
                followers.push(Follower {
                    model: Arc::clone(model),
                    taken: same.and_then(|one| one.taken.clone()),
                    followed,
                    every: spec.every,
                    names: spec.names.clone(),
                    due: Instant::now(),
                    complaint: None,
                });
            }
        }
    }
    followers
}

async fn look(plane: &Arc<Plane>, follower: &mut Follower) {
    let said = match follower.followed.value().await {
        Err(failure) => Err(format!("{failure}; clients get what they got")),
        Ok(value) if follower.taken.as_ref() == Some(&value) => Ok(()),
        Ok(value) => take(plane, follower, &value).map(|()| follower.taken = Some(value)),
    };
    let complaint = said.err();
    if complaint != follower.complaint {
        if let Some(complaint) = &complaint {
            tracing::warn!(model = %follower.model, source = follower.followed.name(), complaint, "not followed");
        }
        follower.complaint = complaint;
    }
}

fn take(plane: &Arc<Plane>, follower: &Follower, value: &str) -> Result<(), String> {
    let version = follower.names.get(value).map_or(value, String::as_str);
    let mut controller = plane.desk.controller();
    let status = controller.models().into_iter().find(|one| one.model == follower.model);
    let Some(status) = status else { return Err("the model is gone".to_owned()) };
    if status.hold.is_some() {
        return Err(format!("it names `{version}`, and a person holds the model"));
    }
    if status.pending.as_ref().is_some_and(|pending| &*pending.change.to == version) {
        return Ok(());
    }
    if *status.active == *version && status.pending.is_none() {
        return Ok(());
    }
    let (actor, reason) = (follower.followed.name(), format!("it names `{value}`"));
    let decision = if *status.stable == *version {
        controller.rollback(&follower.model, actor, &reason, now_ms())
    } else {
        controller.promote(&follower.model, Some(version), actor, &reason, now_ms())
    };
    drop(controller);
    let decision = decision.map_err(|error: ControlError| error.to_string())?;
    // What comes of it is journaled, logged and told.
    drop(plane.carry_out(&decision));
    Ok(())
}
