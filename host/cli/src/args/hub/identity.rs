//! What identities of devices and modules have in common: how they show who they are.

use clap::{ArgAction, Args};

use crate::args::far_hub::Secret;

/// The digits of a thumbprint: those of SHA-1 and of SHA-256.
const THUMBPRINT_DIGITS: [usize; 2] = [40, 64];

/// How an identity shows who it is; without any, by keys that the hub makes, or as it did.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "How it shows who it is")]
pub(crate) struct AuthenticationArgs {
    /// Its primary key (base64 of 16 to 64 bytes); `@FILE` reads it from a file
    #[arg(long, value_name = "KEY|@FILE", requires = "secondary_key")]
    pub(crate) primary_key: Option<Secret>,
    /// Its secondary key, given as the primary one
    #[arg(long, value_name = "KEY|@FILE", requires = "primary_key")]
    pub(crate) secondary_key: Option<Secret>,
    /// The SHA-1 or SHA-256 of its certificate, in hexadecimal digits; a second one is the certificate to come
    #[arg(long = "x509-thumbprint", value_name = "HEX", action = ArgAction::Append)]
    #[arg(value_parser = parse_thumbprint, conflicts_with_all = ["primary_key", "x509_ca"])]
    pub(crate) thumbprints: Vec<String>,
    /// A certificate of an authority that the hub trusts, with its id as the common name
    #[arg(long, conflicts_with = "primary_key")]
    pub(crate) x509_ca: bool,
}

/// Takes colons between the digits, as `openssl` prints them.
fn parse_thumbprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    match THUMBPRINT_DIGITS.contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit())
    {
        true => Ok(digits.to_ascii_uppercase()),
        false => Err("expected 40 or 64 hexadecimal digits".to_owned()),
    }
}

/// Whether a device may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StatusArg {
    /// It may.
    Enabled,
    /// It may not, and neither may its modules.
    Disabled,
}

impl StatusArg {
    /// Its name in the hub's REST face.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_have_the_length_of_a_digest() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_thumbprint(text).ok().as_deref(), expected, "{text}");
        };
        let sha1 = "0123456789abcdef0123456789ABCDEF01234567";
        check(sha1, Some(sha1.to_ascii_uppercase().as_str()));
        let colons: Vec<&str> = ["AB"; 32].to_vec();
        check(&colons.join(":"), Some("AB".repeat(32).as_str()));
        check("", None);
        check("AB", None);
        check(&"G".repeat(40), None);
        check(&"AB".repeat(33), None);
    }
}
