//! The image store: every image whole, and no more of them than there may be.

use super::facts::images::Images;
use super::verdict::Verdict;
use crate::output::human;

/// Of a hundred of what the store may take, from where on it is told.
const NEARLY_FULL_PERCENT: u64 = 95;

/// Judges the store.
pub(super) fn judge(images: &Images) -> Verdict {
    let (usage, notes, faults) = match images {
        Images::None => return Verdict::skipped("there is no image store yet"),
        Images::Closed { problem } => {
            return Verdict::error(format!("the image store cannot be read: {problem}"))
                .hint("see that its files can be read by the user who runs the device");
        }
        Images::Found {
            usage,
            notes,
            faults,
        } => (usage, notes, faults),
    };
    let (size, max) = (human::size(usage.size_bytes), human::size(usage.max_bytes));
    let count = human::count(usage.images, "image");
    if !faults.is_empty() {
        let bad = faults.len();
        let details = faults
            .iter()
            .map(|(name, fault)| format!("`{name}`: {fault}"));
        return Verdict::error(format!("{bad} of {count} cannot be used"))
            .details(details)
            .hint("`wasm-edge image pull IMAGE` gets what is damaged anew, and so does a device that needs it");
    }
    if !notes.is_empty() {
        return Verdict::warning(format!("{count}, and their list is damaged"))
            .details(notes.iter().cloned())
            .hint(
                "the next start, or the next command under `wasm-edge image`, makes the list anew",
            );
    }
    let summary = format!("{count}, whole, {size} of {max}");
    let full = u128::from(usage.size_bytes) * 100
        >= u128::from(usage.max_bytes) * u128::from(NEARLY_FULL_PERCENT);
    match full {
        true => Verdict::warning(summary).hint(
            "the next image may not fit: `wasm-edge image prune --all` removes what no deployment holds, and `max_bytes` in `[images]` of the configuration is the limit",
        ),
        false => Verdict::ok(summary),
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_images::store::Usage;

    use super::super::verdict::Grade;
    use super::*;

    fn found(size_bytes: u64, faults: &[(&str, &str)]) -> Images {
        let faults = faults.iter();
        Images::Found {
            usage: Usage {
                images: 2,
                size_bytes,
                max_bytes: 1 << 20,
            },
            notes: Vec::new(),
            faults: faults
                .map(|(name, fault)| ((*name).to_owned(), (*fault).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_store_is_whole_and_has_room() {
        judge(&Images::None).assert(Grade::Skipped, &[]);
        judge(&found(1000, &[])).assert(Grade::Ok, &["2 images, whole, 1000 B of 1.00 MiB"]);
        judge(&found(1 << 20, &[])).assert(Grade::Warning, &["prune --all", "max_bytes"]);
        let damaged = [("a.org/b:1", "`sha256:12` was damaged")];
        let parts = ["1 of 2 images", "`a.org/b:1`: `sha256:12` was damaged"];
        judge(&found(1000, &damaged)).assert(Grade::Error, &parts);
        let mut unlisted = found(1000, &[]);
        if let Images::Found { notes, .. } = &mut unlisted {
            notes.push("the list was damaged".to_owned());
        }
        judge(&unlisted).assert(Grade::Warning, &["2 images", "the list was damaged"]);
        let problem = "permission denied".to_owned();
        judge(&Images::Closed { problem }).assert(Grade::Error, &["permission denied"]);
    }
}
