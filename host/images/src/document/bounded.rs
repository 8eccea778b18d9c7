//! Lists and maps of a document that end being read where a limit is passed.
//!
//! A manifest of the largest size can state a third of a million entries; what is read of them must not take a
//! hundred times the memory of the text.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The most annotations of one thing: some twenty are defined, tools add their own.
const ANNOTATIONS_MAX: usize = 256;

/// How long the annotations of one thing may be together, keys and values. They are kept, listed and shown.
const ANNOTATIONS_BYTES_MAX: usize = 64 * 1024;

/// At most so many entries.
pub(super) struct Bounded<T, const MAX: usize>(pub(super) Vec<T>);

/// Annotations.
#[derive(Debug, Clone, Default)]
pub(super) struct Annotations(pub(super) BTreeMap<String, String>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor::<T, MAX>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnnotationsVisitor)
    }
}

struct BoundedVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedVisitor<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if read.len() == MAX {
                return Err(A::Error::custom(format_args!("more than {MAX} entries")));
            }
            read.push(entry);
        }
        Ok(Bounded(read))
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    /// Some tools write `null` for none.
    fn visit_unit<E>(self) -> Result<Annotations, E> {
        Ok(Annotations::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Annotations, A::Error> {
        let mut read = BTreeMap::new();
        let mut bytes = 0;
        while let Some((key, value)) = entries.next_entry::<String, String>()? {
            bytes += key.len() + value.len();
            if read.len() == ANNOTATIONS_MAX || bytes > ANNOTATIONS_BYTES_MAX {
                return Err(A::Error::custom(format_args!(
                    "more than {ANNOTATIONS_MAX} annotations, or more than {ANNOTATIONS_BYTES_MAX} bytes of them"
                )));
            }
            read.insert(key, value);
        }
        Ok(Annotations(read))
    }
}
