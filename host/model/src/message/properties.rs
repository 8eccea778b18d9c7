//! Application properties: what the sender says of a message.

use super::{MessageError, cut};

/// The most application properties of a message.
pub const PROPERTIES_MAX: usize = 256;

/// The longest name of an application property, in bytes.
pub const PROPERTY_NAME_MAX_BYTES: usize = 128;

/// Names with values, both text, in the order in which they were first set.
/// A name occurs once and is compared exactly.
///
/// Holds what it is given; [`Message::check`](super::Message::check) checks
/// names and number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Sets a property: in its place if the name is there, else at the end.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Takes a property away and gives its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of all names and values, in bytes.
    pub fn bytes(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    /// Checks the number of properties and their names.
    ///
    /// # Errors
    /// [`MessageError::TooManyProperties`], [`MessageError::PropertyName`].
    pub fn check(&self) -> Result<(), MessageError> {
        if self.len() > PROPERTIES_MAX {
            return Err(MessageError::TooManyProperties {
                count: self.len(),
                limit: PROPERTIES_MAX,
            });
        }
        let fault = self
            .iter()
            .find_map(|(name, _)| Some((name, name_fault(name)?)));
        match fault {
            Some((name, what)) => Err(MessageError::PropertyName {
                name: cut(name),
                what,
            }),
            None => Ok(()),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    /// Sets one after the other: of a repeated name the last value counts, at
    /// the place of the first.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(items: I) -> Self {
        let mut properties = Self::new();
        for (name, value) in items {
            properties.set(name, value);
        }
        properties
    }
}

fn name_fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        _ if name.len() > PROPERTY_NAME_MAX_BYTES => Some("has more than 128 bytes"),
        _ if name.contains(char::is_control) => Some("contains a control character"),
        // On the wire these name system properties, the sender's id among
        // them, which a module must not be able to write.
        _ if name.starts_with("$.") => {
            Some("begins with `$.`, which is kept for system properties")
        }
        _ => None,
    }
}
