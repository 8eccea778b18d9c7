//! Why a deployment, or one module of it, cannot be applied.

use wasm_edge_images::reference::ReferenceError;
use wasm_edge_images::source::ImageError;
use wasm_edge_model::error::chain;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_router::table::RouteTableError;
use wasm_edge_store::database::DatabaseError;

use super::memory::MemoryFault;
use crate::code::CodeStoreError;
use crate::images::SupplyError;
use crate::upstream::UpstreamError;

/// Why a deployment was not applied. Nothing was touched then.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Some images cannot be had or cannot run.
    #[error("{} of the modules cannot be run", .0.len())]
    Images(Vec<(ModuleId, ModuleError)>),
    /// Too many routes.
    #[error(transparent)]
    Routes(#[from] RouteTableError),
    /// There is not enough memory for the modules.
    #[error("there is not enough memory for the modules")]
    Memory(Vec<MemoryFault>),
    /// An identity could not be made at the hub.
    #[error("cannot make the identity of module `{module}`")]
    Identity {
        /// The module.
        module: ModuleId,
        /// Why.
        source: UpstreamError,
    },
    /// The device's store failed.
    #[error("cannot use the device's store")]
    Store(#[from] DatabaseError),
    /// The deployment cannot be stored.
    #[error("cannot store the deployment")]
    File(#[from] std::io::Error),
}

/// Why one module cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Its image cannot be had.
    #[error("cannot load its image")]
    Image(#[from] ImageError),
    /// Its image is in no registry that can be named.
    #[error("cannot load its image")]
    Reference(#[from] ReferenceError),
    /// Its image cannot be had of a registry.
    #[error("cannot load its image")]
    Supply(#[from] SupplyError),
    /// There is no code for it.
    #[error("cannot use its image")]
    Code(#[from] CodeStoreError),
}

impl ModuleError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Image(err) => Some(err.hint().to_owned()),
            Self::Supply(err) => err.hint(),
            Self::Reference(_) | Self::Code(_) => None,
        }
    }

    /// Whether the same may work later.
    fn is_passing(&self) -> bool {
        matches!(self, Self::Supply(err) if err.is_passing())
    }
}

impl DeployError {
    /// Each reason as a line, with its causes.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Images(modules) => modules
                .iter()
                .map(|(module, err)| format!("module `{module}`: {}", chain(err)))
                .collect(),
            Self::Memory(faults) => faults.iter().map(ToString::to_string).collect(),
            err => vec![chain(err)],
        }
    }

    /// Whether the same may work later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Identity { source, .. } => matches!(source, UpstreamError::Unreachable { .. }),
            // One that cannot be had at all is not worth asking for the others again.
            Self::Images(modules) => modules.iter().all(|(_, err)| err.is_passing()),
            Self::File(err) => err.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}
