//! What can go wrong.

use std::path::PathBuf;

/// Why a request to the controller was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The state could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy has no such model.
    #[error("no model `{model}`: known are {known}")]
    UnknownModel {
        /// What was asked for.
        model: String,
        /// The models there are, in backticks.
        known: String,
    },
    /// The model has no such version.
    #[error("model `{model}` has no version `{version}`: known are {known}")]
    UnknownVersion {
        /// The model.
        model: String,
        /// What was asked for.
        version: String,
        /// The versions there are, in backticks.
        known: String,
    },
    /// The state of the model does not allow it now.
    #[error("`{model}`: {reason}")]
    Conflict {
        /// The model.
        model: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// It is so already: nothing was done, and nothing is wrong.
    #[error("{reason}")]
    Unchanged {
        /// The model.
        model: String,
        /// What is so already.
        reason: String,
    },
    /// The stable version is measurably bad itself.
    #[error(
        "no rollback of `{model}` to {version}: {why}. To switch all the same, force it (`--force`, or `\"force\": true`)"
    )]
    TargetUnhealthy {
        /// The model.
        model: String,
        /// The stable version.
        version: String,
        /// What speaks against it.
        why: String,
    },
    /// Not a share.
    #[error("shadow percent `{percent}` is not a number from 0 to 100")]
    InvalidPercent {
        /// What was asked for.
        percent: f64,
    },
    /// Not a notification this program understands.
    #[error("the Alertmanager notification is not usable: {reason}")]
    Webhook {
        /// What is wrong with it.
        reason: String,
    },
    /// The policy contradicts itself.
    #[error("the policy is not usable: {reason}")]
    Policy {
        /// What is wrong with it.
        reason: String,
    },
    /// No decision of that number is being carried out.
    #[error("decision {id} is not being carried out: it is done, abandoned or was never made")]
    NotPending {
        /// The journal id.
        id: i64,
    },
}

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process works in the folder.
    #[error(
        "`{folder}` is in use by process {pid}: stop it, or give this instance a folder of its own (`store`)",
        folder = folder.display()
    )]
    Locked {
        /// The state folder.
        folder: PathBuf,
        /// The holder's process id, or `unknown`.
        pid: String,
    },
    /// The folder or a file in it could not be used.
    #[error("`{path}`: {what}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("the database could not {what}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The database was written by a later version of this program.
    #[error("`{path}` has schema {found}, this program knows {known}: run the version that wrote it, or move it away", path = path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// Ours.
        known: i64,
    },
}
