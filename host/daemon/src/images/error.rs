//! Why an image was not had, what to do about it, and whether another try may end differently.

use wasm_edge_images::reference::Reference;
use wasm_edge_images::registry::error::RegistryError;
use wasm_edge_images::store::error::StoreError;

/// Why an image was not had. [`SupplyError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {
    /// The registry did not give it.
    #[error("cannot pull the image `{reference}`")]
    Registry {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// The store did not take it, or has it no more.
    #[error("cannot keep the image `{reference}`")]
    Store {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
    /// It is not here, and its pull policy is `never`.
    #[error("the image `{reference}` is not in the image store, and its pull policy is `never`")]
    NotStored {
        /// The image.
        reference: String,
    },
}

impl SupplyError {
    /// What to do about it, where something can be done: a sentence without a final period.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry { source, .. } => Some(source.hint()),
            Self::Store { source, .. } => source.hint().map(str::to_owned),
            Self::NotStored { .. } => Some(
                "bring it there with `wasm-edge image pull` or `wasm-edge image load`".to_owned(),
            ),
        }
    }

    /// Whether it may end differently another time: the registry is out of reach, or cannot answer now.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.is_passing(),
            Self::Store { source, .. } => matches!(
                **source,
                StoreError::Busy { .. } | StoreError::DiskFull { .. } | StoreError::Io { .. }
            ),
            Self::NotStored { .. } => false,
        }
    }

    pub(super) fn registry(reference: &Reference) -> impl Fn(RegistryError) -> Self {
        move |source| Self::Registry {
            reference: reference.to_string(),
            source: Box::new(source),
        }
    }

    pub(super) fn store(reference: &Reference) -> impl Fn(StoreError) -> Self {
        move |source| Self::Store {
            reference: reference.to_string(),
            source: Box::new(source),
        }
    }

    /// Whether the registry did not answer at all, or not now.
    pub(super) fn is_out_of_reach(&self) -> bool {
        // What a registry says counts, whatever became of its mirrors.
        matches!(self, Self::Registry { source, .. } if source.own().is_passing())
    }

    /// Whether it leaves open which image is meant: nobody who knows could be asked, or may be.
    pub(crate) fn leaves_open(&self) -> bool {
        self.is_out_of_reach() || matches!(self, Self::NotStored { .. })
    }

    /// Whether the configuration of the device stands in the way: no time mends that.
    pub fn is_configured(&self) -> bool {
        let Self::Registry { source, .. } = self else {
            return false;
        };
        let stands_in_the_way = matches!(
            source.own(),
            RegistryError::NotAllowed { .. }
                | RegistryError::Trust { .. }
                | RegistryError::PasswordFile { .. }
        );
        // A mirror may do without it another time.
        stands_in_the_way && !self.is_passing()
    }

    /// Whether the registry says, or the store, that there is no such image.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Registry { source, .. } => source.is_missing(),
            Self::Store { source, .. } => matches!(**source, StoreError::Missing { .. }),
            Self::NotStored { .. } => true,
        }
    }
}
