//! Arguments of the commands under `image`.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Arg, Args, Command, Subcommand};
use wasm_edge_images::reference::Reference;
use wasm_edge_model::manifest::without_login;

/// The heading over what is said of an image beside its component.
#[cfg(feature = "compiler")]
const ANNOTATIONS: &str = "What the image says of itself";

/// Reads the reference of an image. A password that somebody put into it is not repeated in the message.
#[derive(Clone)]
struct ReferenceArg;

impl TypedValueParser for ReferenceArg {
    type Value = Reference;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Reference, clap::Error> {
        // What is blanked is refused for the reason for which it is.
        let shown = value.to_str().map(without_login);
        let value = shown.as_deref().map_or(value, OsStr::new);
        (|text: &str| text.parse::<Reference>()).parse_ref(command, arg, value)
    }
}

/// The commands under `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Push a component to a registry, as an image that devices and other tools pull
    #[cfg(feature = "compiler")]
    Push(Box<ImagePushArgs>),
    /// Pull images from their registries into the image store
    Pull(ImagePullArgs),
    /// List the images of the image store, and who holds them
    List(ImageListArgs),
    /// Show all about one image of the image store
    Inspect(ImageInspectArgs),
    /// Remove images that no deployment holds
    Prune(ImagePruneArgs),
    /// Remove images by name
    Remove(ImageRemoveArgs),
    /// Take images from a folder or tar of the OCI image layout into the image store
    Load(ImageLoadArgs),
    /// Write images of the image store as a folder or tar of the OCI image layout
    Save(ImageSaveArgs),
}

/// Arguments of `image push`.
#[cfg(feature = "compiler")]
#[derive(Debug, Args)]
pub(crate) struct ImagePushArgs {
    /// The component (WebAssembly), or an image of the store of `--data-dir`
    pub(crate) file: PathBuf,

    /// Where it goes: `HOST[:PORT]/NAME[:TAG]`
    #[arg(value_name = "IMAGE", value_parser = ReferenceArg)]
    pub(crate) reference: Reference,

    /// Where its sources are; by default the `repository` of its crate
    #[arg(long, value_name = "URL", help_heading = ANNOTATIONS)]
    pub(crate) source: Option<String>,

    /// Its version; by default that of its crate
    #[arg(long = "image-version", value_name = "VERSION", help_heading = ANNOTATIONS)]
    pub(crate) image_version: Option<String>,

    /// Its licence, as an SPDX expression; by default that of its crate
    #[arg(long, value_name = "LICENCE", help_heading = ANNOTATIONS)]
    pub(crate) licence: Option<String>,

    /// An annotation of the image; may be repeated, and wins over the others
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = parse_annotation, help_heading = ANNOTATIONS)]
    pub(crate) annotations: Vec<Annotation>,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

#[cfg(feature = "compiler")]
impl ImagePushArgs {
    /// Whether it is said what the image is to say of itself.
    pub(crate) fn has_facts(&self) -> bool {
        let said = [&self.source, &self.image_version, &self.licence];
        !self.annotations.is_empty() || said.into_iter().any(Option::is_some)
    }
}

/// Arguments of `image pull`.
#[derive(Debug, Args)]
pub(crate) struct ImagePullArgs {
    /// Images in registries: `HOST[:PORT]/NAME[:TAG][@DIGEST]`
    #[arg(required = true, value_name = "IMAGE", value_parser = ReferenceArg)]
    pub(crate) references: Vec<Reference>,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// How images are kept and registries are reached, where this process does that.
#[derive(Debug, Default, Args)]
pub(crate) struct RegistryArgs {
    /// The configuration (TOML) with `[images]` and `[registries]`; a running device has its own
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `image list`.
#[derive(Debug, Args)]
pub(crate) struct ImageListArgs {
    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// Arguments of `image inspect`.
#[derive(Debug, Args)]
pub(crate) struct ImageInspectArgs {
    /// The image, by its name, its digest or that of its component, or the first digits of one
    #[arg(value_parser = parse_image)]
    pub(crate) image: String,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// Arguments of `image prune`.
#[derive(Debug, Args)]
pub(crate) struct ImagePruneArgs {
    /// All that nothing holds, and not only what was not used for `unused_max_days`
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// Arguments of `image remove`.
#[derive(Debug, Args)]
pub(crate) struct ImageRemoveArgs {
    /// Images, by their names or digests, or the first digits of these
    #[arg(required = true, value_name = "IMAGE", value_parser = parse_image)]
    pub(crate) images: Vec<String>,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// Arguments of `image load`.
#[derive(Debug, Args)]
pub(crate) struct ImageLoadArgs {
    /// A folder or a tar of the OCI image layout; `-` reads a tar from standard input
    pub(crate) path: PathBuf,

    /// The name of its one image, where the layout has none
    #[arg(long = "as", value_name = "IMAGE", value_parser = ReferenceArg)]
    pub(crate) name: Option<Reference>,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// Arguments of `image save`.
#[derive(Debug, Args)]
pub(crate) struct ImageSaveArgs {
    /// Images, by their names or digests, or the first digits of these
    #[arg(required = true, value_name = "IMAGE", value_parser = parse_image)]
    pub(crate) images: Vec<String>,

    /// What to write: a tar if it ends in `.tar`, else a folder, which is empty or not there; `-` is a tar on standard
    /// output
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,

    /// Replace a tar that is there
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) way: RegistryArgs,
}

/// The name of an image or digits of its digest, which the store understands.
fn parse_image(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("an image has a name or a digest, and this is empty".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// An annotation of `--annotation`.
#[cfg(feature = "compiler")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Annotation {
    /// Its name, as `org.opencontainers.image.vendor`.
    pub(crate) name: String,
    /// Its value, which may be empty.
    pub(crate) value: String,
}

#[cfg(feature = "compiler")]
fn parse_annotation(text: &str) -> Result<Annotation, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE".to_owned());
    };
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("the name before `=` is empty or has a space in it".to_owned());
    }
    Ok(Annotation {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::*;

    #[test]
    fn annotations_have_a_name() {
        let check = |text, expected: Option<(&str, &str)>| {
            let parsed = parse_annotation(text).ok();
            let parsed = parsed.as_ref();
            let parts = parsed.map(|found| (found.name.as_str(), found.value.as_str()));
            assert_eq!(parts, expected, "{text}");
        };
        check("a.b=c=d", Some(("a.b", "c=d")));
        check("a=", Some(("a", "")));
        check("a", None);
        check("=b", None);
        check("a b=c", None);
    }
}
