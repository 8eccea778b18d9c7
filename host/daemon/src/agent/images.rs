//! Images of a deployment: from what a module's manifest names to a digest, and from there to code.
//!
//! Owns the order of places where code is looked for. Leaves reading and checking to the images crate, and
//! compiling to the code store.

use wasm_edge_images::digest::Digest;
use wasm_edge_images::image::ModuleImage;
use wasm_edge_images::source::ImageSource;
use wasm_edge_model::manifest::{ImageReference, ModuleSpec};
use wasm_edge_runtime::precompiled::{ModuleCode, Origin};

use super::error::ModuleError;
use super::handle::image_folder;
use super::progress::Progress;
use crate::code::CodeStore;

/// Tells how far it is.
pub(super) type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// Gets images and their code; clones share it.
#[derive(Clone)]
pub(super) struct Images {
    code: CodeStore,
}

impl Images {
    pub(super) fn new(code: CodeStore) -> Self {
        Self { code }
    }

    /// The digest of the image that a module names now. Its bytes are read for that and let go.
    pub(super) async fn resolve(&self, spec: &ModuleSpec) -> Result<Digest, ModuleError> {
        Ok(read(&spec.image, None).await?.digest)
    }

    /// The code of an image by its digest alone, if this device has it.
    pub(super) async fn find(&self, digest: &Digest) -> Option<ModuleCode> {
        match self.code.find(digest).await {
            Ok(code) => code,
            Err(err) => {
                tracing::warn!(%digest, %err, "code that was compiled cannot be loaded");
                None
            }
        }
    }

    /// The code of a module's image: of the one with this digest, or of the one that it names now.
    pub(super) async fn load(
        &self,
        spec: &ModuleSpec,
        digest: Option<&Digest>,
        tell: Tell<'_>,
    ) -> Result<(Digest, ModuleCode, Origin), ModuleError> {
        let module = || spec.id.clone();
        if let Some(digest) = digest
            && let Some(code) = self.find(digest).await
        {
            tell(Progress::Cached { module: module() });
            return Ok((*digest, code, Origin::Cached));
        }
        let image = read(&spec.image, digest.copied()).await?;
        tell(Progress::Loading {
            module: module(),
            size_bytes: image.bytes.len(),
        });
        let digest = image.digest;
        let begun = wasm_edge_clock::now();
        let (code, origin) = self.code.load(image).await?;
        tell(match origin {
            Origin::Compiled => Progress::Compiled {
                module: module(),
                took: begun.elapsed(),
            },
            Origin::Cached => Progress::Cached { module: module() },
        });
        Ok((digest, code, origin))
    }
}

async fn read(
    reference: &ImageReference,
    digest: Option<Digest>,
) -> Result<ModuleImage, ModuleError> {
    let reference = reference.clone();
    let loaded = tokio::task::spawn_blocking(move || {
        ImageSource::new(image_folder()).load(&reference, digest.as_ref())
    });
    let image = loaded
        .await
        .expect("reading a file does not panic, and the runtime outlives the device")?;
    Ok(image)
}
