//! Reading and changing the documents of identities by compare-and-set.
//!
//! Owns what there is under an id, and that a change is made again when another came first. Leaves what is changed to
//! the operations. Used by all files of the hub.

use bytes::Bytes;
use wasm_edge_model::identity::TwinOwner;

use super::Hub;
use crate::error::HubError;
use crate::identity::IdentityStatus;
use crate::record::Record;
use crate::store::{Collection, Document, DocumentKey, Expected, Revision, Swap};

/// How often a change is tried again because another came first. Each round one of those who try
/// succeeds, so that this many at once on one document are served.
pub(crate) const SWAP_TRIES_MAX: usize = 256;

impl Hub {
    /// Reads what there is under the id of `owner`.
    pub(crate) async fn slot(&self, owner: &TwinOwner) -> Result<Slot, HubError> {
        let TwinOwner::Module(module) = owner else {
            return Ok(match self.read(owner).await? {
                Some(found) => Slot::Present(Box::new(found)),
                None => Slot::Absent {
                    leftover: None,
                    device: None,
                },
            });
        };
        let device = TwinOwner::Device(module.device.clone());
        let Some(device) = self.read(&device).await? else {
            return Err(HubError::NotFound { owner: device });
        };
        let device = device.record;
        match self.read(owner).await? {
            Some(mut found)
                if found.record.device_generation_id == device.identity.generation_id =>
            {
                found.record.identity.status = device.identity.status;
                found.device_etag_counter = device.identity.etag_counter;
                Ok(Slot::Present(Box::new(found)))
            }
            found => Ok(Slot::Absent {
                leftover: found.map(|found| found.revision),
                device: Some(Box::new(device)),
            }),
        }
    }

    /// Reads the identity and twin of `owner`; a system module that a crash left unmade is made.
    pub(crate) async fn load(&self, owner: &TwinOwner) -> Result<Found, HubError> {
        match self.slot(owner).await? {
            Slot::Present(found) => Ok(*found),
            Slot::Absent {
                device: Some(device),
                ..
            } if device.identity.edge && is_system_module(owner) => {
                self.make_module(owner).await?;
                match self.slot(owner).await? {
                    Slot::Present(found) => Ok(*found),
                    Slot::Absent { .. } => Err(HubError::NotFound {
                        owner: owner.clone(),
                    }),
                }
            }
            Slot::Absent { .. } => Err(HubError::NotFound {
                owner: owner.clone(),
            }),
        }
    }

    /// As [`Hub::load`], for somebody who wants to connect.
    pub(crate) async fn load_enabled(&self, owner: &TwinOwner) -> Result<Found, HubError> {
        let found = self.load(owner).await?;
        match found.record.identity.status {
            IdentityStatus::Enabled => Ok(found),
            IdentityStatus::Disabled => Err(HubError::Disabled {
                device: owner.device().clone(),
            }),
        }
    }

    /// Changes the record of `owner` by compare-and-set, again when another came first.
    ///
    /// `change` says what to answer and whether there is anything to write.
    pub(crate) async fn change<T>(
        &self,
        owner: &TwinOwner,
        mut change: impl FnMut(&mut Record) -> Result<(T, Write), HubError>,
    ) -> Result<T, HubError> {
        for _ in 0..SWAP_TRIES_MAX {
            let mut found = self.load(owner).await?;
            let (answer, write) = change(&mut found.record)?;
            if write == Write::Nothing {
                return Ok(answer);
            }
            let expected = Expected::Revision(found.revision);
            if self.write(owner, expected, Some(&found.record)).await? {
                return Ok(answer);
            }
        }
        Err(HubError::Contended {
            owner: owner.clone(),
        })
    }

    /// Writes or deletes a document; `false` when another came first.
    pub(crate) async fn write(
        &self,
        owner: &TwinOwner,
        expected: Expected,
        record: Option<&Record>,
    ) -> Result<bool, HubError> {
        let content = record.map(Record::encode);
        let written = self.swap(&DocumentKey::of(owner), expected, content).await;
        // Also after an error, which leaves the outcome open.
        self.work().device(owner.device());
        written
    }

    /// Writes or deletes any document; `false` when another came first.
    pub(crate) async fn swap(
        &self,
        key: &DocumentKey,
        expected: Expected,
        content: Option<Bytes>,
    ) -> Result<bool, HubError> {
        let swap = self.0.store.compare_and_set(key, expected, content).await?;
        Ok(swap != Swap::Conflict)
    }

    /// Removes the documents of `collection` that `chosen` names, reading `page` of them at a time.
    pub(crate) async fn remove_documents(
        &self,
        collection: &Collection,
        page: usize,
        mut chosen: impl FnMut(&DocumentKey, &Document) -> Result<bool, HubError>,
    ) -> Result<(), HubError> {
        let mut after = None;
        loop {
            let found = self.store().scan(collection, after.as_ref(), page).await?;
            for (key, document) in found.documents {
                if chosen(&key, &document)? {
                    // A conflict means that another removed or replaced it.
                    let expected = Expected::Revision(document.revision);
                    self.swap(&key, expected, None).await?;
                }
                after = Some(key);
            }
            if !found.more {
                return Ok(());
            }
        }
    }

    /// Removes a document, if it is there and nobody writes it at this moment.
    pub(crate) async fn remove_document(&self, key: &DocumentKey) -> Result<(), HubError> {
        if let Some(found) = self.store().read(key).await? {
            let expected = Expected::Revision(found.revision);
            self.swap(key, expected, None).await?;
        }
        Ok(())
    }

    pub(crate) async fn read(&self, owner: &TwinOwner) -> Result<Option<Found>, HubError> {
        let Some(document) = self.0.store.read(&DocumentKey::of(owner)).await? else {
            return Ok(None);
        };
        let record = decode(owner, &document.content)?;
        Ok(Some(Found {
            device_etag_counter: record.identity.etag_counter,
            record,
            revision: document.revision,
        }))
    }
}

/// A record as it was read.
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) revision: Revision,
    /// That of the identity of the device, also for a module.
    pub(crate) device_etag_counter: u64,
}

/// What there is under an id.
pub(crate) enum Slot {
    /// The identity.
    Present(Box<Found>),
    /// No identity.
    Absent {
        /// The document of a module whose device was deleted and made again.
        leftover: Option<Revision>,
        /// The device, when the id is a module's.
        device: Option<Box<Record>>,
    },
}

/// Whether a change has to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// It has.
    Record,
    /// The record is as it was.
    Nothing,
}

pub(crate) fn decode(owner: &TwinOwner, content: &[u8]) -> Result<Record, HubError> {
    Record::decode(owner, content).map_err(|problem| HubError::Record {
        owner: owner.clone(),
        problem,
    })
}

fn is_system_module(owner: &TwinOwner) -> bool {
    owner.module().is_some_and(|module| module.is_system())
}
