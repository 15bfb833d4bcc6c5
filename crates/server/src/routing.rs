//! From the configuration and each model's present state to the gateway's route table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control::{Actuator, ActuatorError, ActuatorFuture, Change, Patience, RehearsalFuture};
use gateway::{Gateway, GatewayError, ModelRoute, RouteTable};

/// Where one model's traffic goes at present, beside what the configuration says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    /// The version that clients get.
    pub(crate) active: Arc<str>,
    /// Whether that is the configured one, so that a configured split applies.
    pub(crate) as_configured: bool,
    /// Share of copies when it was changed while running, percent.
    pub(crate) shadow_percent: Option<f64>,
}

/// The routes as configured and the standing of each model; every change makes a new table and swaps it in.
#[derive(Debug)]
pub(crate) struct Routing {
    gateway: Arc<Gateway>,
    state: Mutex<RoutingState>,
}

#[derive(Debug)]
struct RoutingState {
    configured: Vec<ModelRoute>,
    standings: HashMap<Arc<str>, Standing>,
    generation: u64,
}

impl RoutingState {
    fn table(&self) -> RouteTable {
        let models = self
            .configured
            .iter()
            // A model without versions is only measured.
            .filter(|route| !route.versions.is_empty())
            .map(|route| Arc::new(standing_route(route, self.standings.get(&route.name))))
            .collect();
        RouteTable { models, generation: self.generation }
    }
}

impl Routing {
    /// Takes over from the table that the gateway was started with.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        configured: Vec<ModelRoute>,
        standings: HashMap<Arc<str>, Standing>,
    ) -> Self {
        let state = RoutingState { configured, standings, generation: gateway.routes().generation };
        Self { gateway, state: Mutex::new(state) }
    }

    /// The table for a configuration and standings, before there is a gateway.
    pub(crate) fn first_table(
        configured: &[ModelRoute],
        standings: &HashMap<Arc<str>, Standing>,
    ) -> RouteTable {
        RoutingState { configured: configured.to_vec(), standings: standings.clone(), generation: 0 }.table()
    }

    /// Replaces the configuration and the standings as a whole. On an error nothing has changed.
    pub(crate) fn configure(
        &self,
        configured: Vec<ModelRoute>,
        standings: HashMap<Arc<str>, Standing>,
    ) -> Result<(), GatewayError> {
        self.change(|state| {
            state.configured = configured;
            state.standings = standings;
        })
    }

    /// Sets one model's standing. On an error nothing has changed.
    pub(crate) fn stand(
        &self,
        model: &Arc<str>,
        change: impl FnOnce(&mut Standing),
    ) -> Result<(), GatewayError> {
        self.change(|state| {
            if let Some(standing) = state.standings.get_mut(model) {
                change(standing);
            }
        })
    }

    /// One model's standing.
    pub(crate) fn standing(&self, model: &str) -> Option<Standing> {
        self.lock().standings.get(model).cloned()
    }

    /// Whether requests for a model are forwarded from here.
    pub(crate) fn forwards(&self, model: &str) -> bool {
        let configured = &self.lock().configured;
        self.gateway.local_addr().is_some()
            && configured.iter().any(|route| *route.name == *model && !route.versions.is_empty())
    }

    fn change(&self, change: impl FnOnce(&mut RoutingState)) -> Result<(), GatewayError> {
        let mut state = self.lock();
        let mut next = RoutingState {
            configured: state.configured.clone(),
            standings: state.standings.clone(),
            generation: state.generation + 1,
        };
        change(&mut next);
        self.gateway.set_routes(next.table())?;
        *state = next;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, RoutingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The route as it stands: all traffic to the active version unless the configured split applies, no copies to the
/// version that already answers everything but those that measure its noise.
fn standing_route(configured: &ModelRoute, standing: Option<&Standing>) -> ModelRoute {
    let mut route = configured.clone();
    let Some(standing) = standing else { return route };
    let active = route.versions.iter().position(|version| version.name == standing.active);
    if let Some(active) = active
        && !standing.as_configured
    {
        route.split = vec![(active, 1)];
    }
    if let Some(percent) = standing.shadow_percent {
        for shadow in &mut route.shadows {
            // The share of the noise is its own, but no copies means none.
            if !shadow.noise || percent == 0.0 {
                shadow.percent = percent;
            }
        }
    }
    if let Some(active) = active {
        // Whichever version answers is the one whose noise counts.
        route
            .shadows
            .iter_mut()
            .filter(|shadow| shadow.noise)
            .for_each(|shadow| shadow.version = Some(active));
    }
    if let [(only, _)] = *route.split.as_slice() {
        route.shadows.retain(|shadow| shadow.noise || shadow.version != Some(only));
    }
    route
}

/// The first actuator: our own gateway.
#[derive(Debug)]
pub(crate) struct OwnGateway {
    routing: Arc<Routing>,
}

impl OwnGateway {
    pub(crate) fn new(routing: Arc<Routing>) -> Self {
        Self { routing }
    }

    fn error(&self, change: &Change, reason: String) -> ActuatorError {
        ActuatorError {
            actuator: self.name().to_owned(),
            model: change.model.to_string(),
            to: change.to.to_string(),
            reason,
            retry: true,
            after: None,
        }
    }
}

impl Actuator for OwnGateway {
    fn name(&self) -> &str {
        "gateway"
    }

    fn patience(&self) -> Patience {
        let ms = Duration::from_millis;
        Patience { first: ms(100), longest: ms(1_000), within: ms(5_000) }
    }

    fn rehearse<'a>(&'a self, change: &'a Change) -> RehearsalFuture<'a> {
        Box::pin(async move {
            Ok(match self.routing.standing(&change.model) {
                Some(standing) if standing.active == change.to => {
                    format!("do nothing: every client gets `{}` already", change.to)
                }
                _ => format!("send every client to `{}`", change.to),
            })
        })
    }

    fn apply<'a>(&'a self, change: &'a Change) -> ActuatorFuture<'a> {
        Box::pin(async move {
            let stand = |standing: &mut Standing| {
                standing.active = Arc::clone(&change.to);
                standing.as_configured = change.restores_configuration;
            };
            self.routing.stand(&change.model, stand).map_err(|error| self.error(change, error.to_string()))
        })
    }

    fn verify<'a>(&'a self, change: &'a Change) -> ActuatorFuture<'a> {
        Box::pin(async move {
            let table = self.routing.gateway.routes();
            let route = table.models.iter().find(|route| route.name == change.model);
            let moved = route.is_some_and(|route| {
                change.restores_configuration
                    || matches!(*route.split.as_slice(), [(only, _)]
                        if route.versions.get(only).is_some_and(|version| version.name == change.to))
            });
            if moved {
                Ok(())
            } else {
                Err(self.error(change, "the route table does not show the change".to_owned()))
            }
        })
    }
}
